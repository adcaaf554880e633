"""The history asked as a user does it: filters set and kept, and a word searched in the outputs."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.support.until import until
from tests.support.visitor import run_on

COMMAND = "case $SSH_CONNECTION in *127.3.0.2*) echo first; echo a quince here; exit 29;; esac"


def test_runs_are_filtered_the_filter_is_kept_and_a_word_is_found_in_an_output(signed_in, console):
    page = signed_in
    # The second ended so elsewhere.
    run_on(console, COMMAND, "web-01", "web-02")
    run_on(console, "exit 29", "web-01")

    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_text("More filters").click()
    page.get_by_role("textbox", name="Exit status").fill("29")
    page.get_by_label("Instance", exact=True).fill("web-02")
    page.get_by_label("When").select_option("Last hour")
    page.get_by_label("Dry runs").select_option("Without dry runs")
    page.get_by_role("button", name="Filter", exact=True).click()
    found = page.get_by_role("region", name="Runs").locator("tbody tr")
    expect(found).to_have_count(1)
    expect(found).to_contain_text("quince")
    expect(page.get_by_role("textbox", name="Exit status")).to_be_visible()

    page.get_by_label("Keep this filter as").fill("Broken")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("link", name="Without Instance: web-02").click()
    expect(found).not_to_have_count(1)
    page.get_by_role("link", name="Broken").click()
    expect(page).to_have_url(re.compile(r"exit_status=29"))
    expect(found).to_have_count(1)
    assert violations(page) == []

    page.get_by_label("Words in outputs and commands").fill("QUINC")
    # A worker reads what has ended within seconds.
    hit = page.get_by_role("link", name="web-02, line 2")
    page.get_by_role("button", name="Search outputs").click()
    expect(page.get_by_role("heading", name="Search the history")).to_be_visible()
    until(lambda: hit.is_visible() or not page.reload(), within_s=120, every_s=0.5)
    hit.click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/\?i=1#L2$"))
    expect(page.locator("#log")).to_contain_text("a quince here")
