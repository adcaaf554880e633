"""What is left in a browser after signing out: nothing."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, send


def test_after_signing_out_back_shows_nothing_and_nothing_is_kept(signed_in):
    page = signed_in
    send(page, "echo seen-$((40+2))", "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text("seen-42")
    page.goto(re.sub(r"/runs/.*", "/runs/", page.url))
    page.go_back()
    expect(page.locator("#log")).to_contain_text("seen-42")
    # A second command, begun and not sent, is a draft of this tab.
    page.locator("#run-close").click()
    page.keyboard.press("c")
    page.keyboard.type("echo draft")
    page.keyboard.press("Escape")
    assert page.evaluate("sessionStorage.length") > 0

    page.locator("summary", has_text="Account of").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    for _ in range(3):
        page.go_back()
        expect(page.get_by_label("Password")).to_be_visible()
        assert "seen-42" not in page.content()
        assert "web-01" not in page.content()
