"""Choosing by names: a wrong one is told and left out, then a dry run, then the run on those that are ready."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_main_job import run


def test_names_with_a_wrong_one_then_a_dry_run_then_the_run(signed_in, console):
    page = signed_in
    page.keyboard.press("c")
    page.get_by_role("radio", name="Names").check(force=True)
    page.get_by_role("textbox", name="Names").fill("web-[01-03] web-09")
    expect(page.locator("#send-choice-error")).to_contain_text("Not in the list: web-09.")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/send/targets/" in request.url else None)
    page.get_by_label(re.compile("Leave out the 1 name")).hover()
    page.mouse.down()
    # A hand takes a while to let go: nothing is asked that would draw anew what it presses.
    page.evaluate("document.activeElement.name")
    assert asked == []
    page.mouse.up()
    expect(page.get_by_role("button", name="Run on 3 instances")).to_be_visible()
    expect(page.locator("#send-targets")).to_contain_text("web-[01-03]")
    page.locator(".cm-content").click()
    page.keyboard.type("echo it really ran")
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("#run-dry")).to_contain_text("nothing was executed")
    expect(page.locator("#run-rows").get_by_text("Succeeded")).to_have_count(3)
    expect(page.locator("#log")).not_to_contain_text("it really ran")
    page.get_by_role("link", name="Run it now on the 3 that are ready").click()
    expect(page.locator(".cm-content")).to_have_text("echo it really ran")
    expect(page.get_by_role("button", name="Run on 3 instances")).to_be_visible()
    run(page)
    expect(page.locator("#log")).to_contain_text("it really ran")
    expect(page.locator("#run-dry")).to_have_count(0)
    # Ticked rows outlive the rows the socket draws anew, and go into the dialog.
    page.get_by_label("Choose web-02", exact=True).check()
    page.get_by_role("button", name="Run again on chosen rows").click()
    expect(page.get_by_role("button", name="Run on 1 instance", exact=True)).to_be_visible()
    expect(page.locator("#send-targets")).to_contain_text("web-02")
