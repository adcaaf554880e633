"""A list of 10,000 instances: found, filtered, sorted, paged, selected and sent to in the browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.conftest import sign_in
from tests.support.console import running_console
from tests.support.many import in_console
from tests.support.until import until

COUNT = 10_000
ALL = "10,000"


@pytest.fixture(scope="module")
def large():
    """A console with 10,000 instances: one in twenty has Windows, two are this machine, the others do not answer."""
    with running_console() as console:
        in_console(console, f"add_instances({COUNT}, windows_every=20, local_every={COUNT // 2})")
        yield console


@pytest.fixture
def big_list(page, large):
    sign_in(page, large)
    expect(page.locator("#list tbody tr")).to_have_count(100)
    return page


def names(page):
    return page.locator("#list tbody th").all_inner_texts()


def first_is(page, name):
    expect(page.locator("#list tbody th").first).to_have_text(name)


def select_all(page):
    page.get_by_label("Select node-00001", exact=True).check()
    page.get_by_role("button", name=f"Select all {ALL} matching").click()
    expect(page.get_by_text(f"{ALL} instances selected")).to_be_visible()


def test_a_filter_a_facet_a_sort_and_the_last_page(big_list):
    page = big_list
    shown = page.locator("#list tbody th").first
    page.locator("#q").fill("node-0999")
    expect(shown).to_have_text("node-09990")
    expect(page.locator(".facets")).to_contain_text("10 instances match")
    page.locator("#q").fill("")
    expect(page.locator(".facets")).to_contain_text(f"{ALL} instances")

    page.get_by_text("env", exact=True).click()
    page.get_by_role("link", name=re.compile("^prod")).click()
    expect(page.locator(".facets")).to_contain_text("3,333 instances match")
    first_is(page, "node-00003")

    page.get_by_role("link", name="Name").click()
    first_is(page, "node-09999")
    page.get_by_role("link", name="Last page of instances").click()
    expect(page.locator(".pager")).to_contain_text(re.compile("3,301.3,333 of 3,333"))
    expect(page.locator("#list tbody th").last).to_have_text("node-00003")
    page.reload()
    expect(page.locator("#list tbody th").last).to_have_text("node-00003")


def test_page_100_by_its_number_and_back(big_list):
    page = big_list
    page.get_by_label("Page of instances").fill("100")
    page.get_by_label("Page of instances").press("Enter")
    first_is(page, "node-09901")
    expect(page).to_have_url(re.compile(r"\?page=100$"))
    page.get_by_role("link", name="Previous page of instances").click()
    first_is(page, "node-09801")
    page.go_back()
    first_is(page, "node-09901")
    page.go_back()
    first_is(page, "node-00001")


def test_a_selection_of_all_survives_paging_filter_reload_and_back(big_list):
    page = big_list
    select_all(page)
    page.get_by_label("Select node-00002", exact=True).uncheck()
    selected = page.get_by_text("9,999 instances selected")
    expect(selected).to_be_visible()
    page.get_by_role("link", name="Last page of instances").click()
    expect(page.get_by_label("Select node-10000", exact=True)).to_be_checked()
    expect(selected).to_be_visible()
    page.locator("#q").fill("node-0000")
    first_is(page, "node-00001")
    expect(page).to_have_url(re.compile("q=node-0000"))
    expect(page.get_by_label("Select node-00002", exact=True)).not_to_be_checked()
    expect(selected).to_be_visible()
    page.reload()
    expect(page.get_by_label("Select node-00002", exact=True)).not_to_be_checked()
    expect(page.get_by_label("Select node-00003", exact=True)).to_be_checked()
    page.go_back()
    expect(page.get_by_label("Select node-10000", exact=True)).to_be_checked()
    expect(selected).to_be_visible()


def test_a_command_to_all_shows_their_number_and_a_few_names_and_makes_one_run(big_list):
    page = big_list
    select_all(page)
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name=f"Run on {ALL} instances")).to_be_visible()
    expect(dialog.locator(".targets__names")).to_contain_text("and 9,950 more")
    assert dialog.locator(".tag").count() == 50
    expect(dialog.get_by_role("heading", name="Windows (500)")).to_be_visible()
    # Or those that do not answer may all be through before it is stopped.
    page.keyboard.type("sleep 300")
    dialog.locator("[name=leave_out_windows]").check()
    expect(dialog.get_by_role("button", name="Run on 9,500 instances")).to_be_visible()
    dialog.get_by_label(re.compile("^This goes to 9,500 instances")).fill("9500")
    dialog.get_by_role("textbox", name="Command", exact=True).focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-summary")).to_be_visible()
    expect(page.locator("#count-all b")).to_have_text("9,500")
    # The button is drawn anew with every piece of news, which leaves a browser no two frames to find it standing still.
    expect(dialog).to_have_count(0)
    page.keyboard.press("S")
    page.get_by_role("dialog").get_by_role("button", name="Stop all").click()
    expect(page.locator("#run-summary")).to_have_attribute("data-ended", "yes")


def test_thousands_of_ticked_ones_are_sent_to_as_they_were_ticked(big_list):
    page = big_list
    for number in range(1, 12):
        first_is(page, f"node-{(number - 1) * 100 + 1:05}")
        page.get_by_label("Select all on this page").check()
        page.get_by_role("link", name="Next page of instances").click()
    expect(page.get_by_text("1,100 instances selected")).to_be_visible()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Run on 1,100 instances")).to_be_visible()
    expect(page.locator(".targets__names")).to_contain_text("and 1,050 more")
    expect(page.get_by_role("heading", name="Windows (55)")).to_be_visible()
    page.keyboard.type("true")
    page.get_by_label(re.compile("^This goes to 1,100 instances")).fill("1100")
    page.get_by_role("textbox", name="Command for Windows", exact=True).click()
    page.keyboard.type("hostname")
    page.keyboard.press("Control+Enter")
    # Two runs are made; the first one is shown.
    expect(page.locator("#count-all b")).to_have_text("1,045")


def test_a_group_named_only_in_the_address_is_what_is_sent_to(big_list, large):
    page = big_list
    page.goto(f"{large.url}/?group=1")
    first_is(page, "node-00004")
    page.get_by_label("Select node-00004", exact=True).check()
    page.get_by_role("button", name="Select all 2,500 matching").click()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Run on 2,500 instances")).to_be_visible()
    expect(page.locator(".targets__names")).to_contain_text(re.compile("node-00004.*node-00008"))
    page.keyboard.type("true")
    page.get_by_label(re.compile("^This goes to 2,500 instances")).fill("2500")
    page.get_by_role("textbox", name="Command", exact=True).focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#count-all b")).to_have_text("2,500")


def test_a_whole_page_ticked_before_the_scripts_have_come_counts(big_list):
    page = big_list
    held = []
    page.route("**/js/main.js", lambda route: held.append(route))
    page.reload(wait_until="commit")
    page.get_by_label("Select all on this page").check()
    until(lambda: page.locator("html[data-scripts]").count() == 0 and held, within_s=90)
    held[0].continue_()
    expect(page.get_by_text("100 instances selected")).to_be_visible()
    expect(page.get_by_label("Select node-00100", exact=True)).to_be_checked()
