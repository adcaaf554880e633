"""Saved commands in a browser: kept at Run, changed, compared, an older version sent again."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import flaws
from tests.acceptance.test_main_job import run, send


def test_kept_at_run_edited_compared_and_its_older_version_sent(signed_in):
    page = signed_in
    send(page, "echo first-$((1+1))", "web-01")
    page.locator("details.options > summary").click()
    page.get_by_label("Keep this command as").fill("greeting")
    run(page)
    expect(page.locator("#log")).to_contain_text("first-2")
    expect(page.locator("#run-made-from")).to_have_text("from greeting, version 1")
    # The page of a saved command says how its runs stand when it is loaded, and not how they go on.
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")

    page.locator("#run-made-from a").click()
    expect(page.get_by_role("heading", name="greeting")).to_be_visible()
    expect(page.get_by_role("region", name="Latest runs")).to_contain_text("Succeeded")
    expect(page.get_by_role("link", name="Saved", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Shell, for Linux and macOS").fill("echo second\necho added\n")
    page.get_by_label("What you changed").fill("says more")
    assert flaws(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved as version 2.")).to_be_visible()
    assert flaws(page) == []

    page.get_by_role("button", name="Compare").click()
    removed, added = page.locator(".diff__removed"), page.locator(".diff__added")
    expect(removed.locator(".diff__text")).to_have_text("echo first-$((1+1))")
    expect(added.locator(".diff__text")).to_have_text(["echo second", "echo added"])
    assert flaws(page) == []

    page.get_by_role("link", name="Send version 1").click()
    page.get_by_role("link", name="choose instances").click()
    expect(page.get_by_role("status").filter(has_text="Choose instances")).to_be_visible()
    page.get_by_label("Select web-02", exact=True).check()
    page.get_by_role("button", name=re.compile("^Send Command")).last.click()
    expect(page.locator(".cm-content").first).to_have_text("echo first-$((1+1))")
    run(page)
    expect(page.locator("#log")).to_contain_text("first-2")
    expect(page.locator("#run-made-from")).to_have_text("from greeting, version 1")

    # From the dialog: the latest version for what is selected, changed, and kept as the next one.
    page.get_by_role("link", name="Close the run").click()
    page.keyboard.press("c")
    page.get_by_label("Use a saved command").select_option("greeting")
    expect(page.locator(".cm-content").first).to_contain_text("echo second")
    expect(page.get_by_role("button", name="Run on 2 instances")).to_be_visible()
    page.locator(".cm-content").first.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("echo third; ")
    page.get_by_label("Keep as a new version").check()
    run(page)
    expect(page.locator("#log")).to_contain_text("third")
    expect(page.locator("#run-made-from")).to_have_text("from greeting, version 3")
