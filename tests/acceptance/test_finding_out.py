"""Finding out within one run: groups while it goes and how two differ."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import run, send

ONE_IS_OTHER = "case $SSH_CONNECTION in *127.3.0.2*) echo inactive;; *) echo active;; esac; echo at 10:00:0$$"


def test_groups_grow_while_the_run_goes_and_two_of_them_are_compared(signed_in):
    page = signed_in
    send(page, f"{ONE_IS_OTHER}; case $SSH_CONNECTION in *127.3.0.3*) sleep 300;; esac", "web-01", "web-02", "web-03")
    run(page)
    page.locator("#tab-groups").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/groups/"))
    expect(page.locator("#groups")).to_contain_text("still running")
    page.locator("#ignore-numbers").check()
    page.locator("#ignore-own_name").check()
    page.locator("#stop-all").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
    # No reload: the list asks by itself.
    expect(page.locator("#groups")).to_contain_text("3 groups of 3 instances.", timeout=20_000)
    expect(page.locator("#groups")).not_to_contain_text("still running")
    expect(page.locator("#groups .group__names", has_text="web-03")).to_be_visible()
    page.locator(".group__head a[id^=diff-]").click()
    expect(page.locator(".diff__gone")).to_contain_text("active")
    expect(page.locator(".diff__new")).to_contain_text("inactive")
    assert violations(page) == []
    page.go_back()
    expect(page.locator("#ignore-numbers")).to_be_checked()
    expect(page.locator(".diff__gone")).to_have_count(0)
