"""Finding out within one run: groups while it goes and how two differ, the matrix, all lines together, a search."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import run, send

# The place of the second cell: the largest there are, side by side.
SECOND_CELL = {"x": 33, "y": 11}
LINES = """echo begun
case $SSH_CONNECTION in
*127.3.0.2*) seq 1 400; echo 'here is the needle' >&2; seq 401 800;;
*127.3.0.3*) printf 'no line end'; sleep 300;;
esac"""
ONE_IS_OTHER = "case $SSH_CONNECTION in *127.3.0.2*) echo inactive;; *) echo active;; esac; echo at 10:00:0$$"


def test_groups_grow_while_the_run_goes_and_two_of_them_are_compared(signed_in):
    page = signed_in
    send(page, f"{ONE_IS_OTHER}; case $SSH_CONNECTION in *127.3.0.3*) sleep 300;; esac", "web-01", "web-02", "web-03")
    run(page)
    page.locator("#tab-groups").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/groups/"))
    expect(page.locator("#groups")).to_contain_text("still running")
    # The other two: stopped before their end they would be of its group.
    expect(page.locator("#run-summary")).to_have_attribute("data-finished", "2")
    page.locator("#ignore-numbers").check()
    page.locator("#ignore-own_name").check()
    page.locator("#stop-all").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
    # No reload: the list asks by itself.
    expect(page.locator("#groups")).to_contain_text("3 groups of 3 instances.")
    expect(page.locator("#groups")).not_to_contain_text("still running")
    expect(page.locator("#groups .group__names", has_text="web-03")).to_be_visible()
    page.locator(".group__head a[id^=diff-]").click()
    expect(page.locator(".diff__gone")).to_contain_text("active")
    expect(page.locator(".diff__new")).to_contain_text("inactive")
    expect(page.locator("#diff")).to_contain_text("1 line only in web-01, 1 only in web-02.")
    assert violations(page) == []
    page.go_back()
    expect(page.locator("#ignore-numbers")).to_be_checked()
    expect(page.locator(".diff__gone")).to_have_count(0)
    page.locator("#ignore-numbers").uncheck()
    expect(page).not_to_have_url(re.compile("numbers=1"))
    page.locator(".group__head a[id^=diff-]").click()
    expect(page.locator("#diff")).to_contain_text("2 lines only in web-01, 2 only in web-02.")
    page.locator("#tab-matrix").click()
    expect(page.locator("#matrix")).to_have_attribute("aria-label", re.compile("2 succeeded"))
    # Drawn: one row of cells high.
    expect(page.locator("#matrix")).to_have_attribute("height", "22")
    page.locator("#matrix").click(position=SECOND_CELL)
    expect(page.locator("#matrix-said")).to_have_text("web-02: Succeeded")
    expect(page.locator("#run-opened")).to_have_attribute("data-name", "web-02")
    expect(page.locator("#log")).to_contain_text("inactive")
    expect(page).to_have_url(re.compile(r"/matrix/\?i=1$"))
    assert violations(page) == []


def test_all_lines_are_read_together_while_the_run_goes_and_one_is_searched_for(signed_in):
    page = signed_in
    send(page, LINES, "web-01", "web-02", "web-03")
    run(page)
    page.locator("#tab-combined").click()
    log = page.locator("#combined-log")
    expect(log.locator(".combined__name", has_text="web-03")).to_be_visible()
    expect(log.locator(".combined__line--stderr")).to_contain_text("web-02here is the needle")
    expect(page.locator("#combined-later")).to_contain_text("Later lines")
    page.get_by_label("Without names").check()
    expect(page).to_have_url(re.compile(r"/combined/\?.*bare=1"))
    expect(log.locator(".combined__name", has_text="web-03")).to_be_hidden()
    assert violations(page) == []
    page.get_by_label("Without names").uncheck()
    expect(log.locator(".combined__name", has_text="web-03")).to_be_visible()
    page.locator("#stop-all").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
    # No reload: it asks by itself.
    expect(page.locator("#combined-later")).to_have_text("The end.")
    expect(log.locator(".combined__line", has_text="no line end")).to_have_count(1)

    page.locator("#tab-search").click()
    page.get_by_label("Search all outputs for").fill("NEEDLE")
    page.get_by_label("Search all outputs for").press("Enter")
    expect(page.locator("#search-on")).to_have_text("All 3 instances searched.")
    assert violations(page) == []
    page.get_by_role("link", name="here is the needle").click()
    expect(page.locator("#run-opened")).to_have_attribute("data-name", "web-02")
    needle = page.locator("#log .ln", has_text="here is the needle")
    expect(needle).to_be_in_viewport()
    number = needle.get_attribute("data-n")
    expect(page).to_have_url(re.compile(rf"#L{number}$"))
    page.reload()
    expect(needle).to_be_in_viewport()
    expect(page.locator("#search-on")).to_have_text("All 3 instances searched.")
