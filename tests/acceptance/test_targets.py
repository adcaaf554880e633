"""Choosing what a command is sent to: an address typed in, everything that matches, and a selection that changed."""

import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, select


def test_everything_matching_a_filter_but_one(signed_in):
    page = signed_in
    select(page, "web-01")
    page.get_by_role("button", name=re.compile("Select all 3 matching")).click()
    page.get_by_label("Select web-02", exact=True).uncheck()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Run on 2 instances")).to_be_visible()
    page.keyboard.type("true")
    run(page)
    expect(page.locator("#run-rows").get_by_text("Succeeded")).to_have_count(2)
    expect(page.locator("#run-rows")).not_to_contain_text("web-02")


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_selection_that_matches_another_number_by_now_is_shown_again(signed_in, console, is_answered):
    page, held = signed_in, []
    if not is_answered:
        page.route(re.compile("/send/targets/"), lambda route: held.append(route))
    select(page, "web-01")
    page.get_by_role("button", name=re.compile("Select all 3 matching")).click()
    page.keyboard.press("c")
    # The button says so before the server has.
    expect(page.get_by_role("button", name="Run on 3 instances")).to_be_visible()
    if is_answered:
        expect(page.locator("#send-targets [data-count='3']")).to_be_visible()
    page.keyboard.type("echo not yet")
    instance = "from instances.models import Instance; "
    console.shell(instance + "Instance.objects.create(name='late', address='10.9.9.9')")
    try:
        run(page)
        expect(page.locator("#send-ids-error")).to_contain_text("now 4")
        expect(page.locator(".cm-content")).to_have_text("echo not yet")
    finally:
        console.shell(instance + "Instance.objects.filter(name='late').delete()")


def test_an_address_typed_in_is_told_that_it_has_no_credential_and_is_not_listed(signed_in, sshd):
    page = signed_in
    page.get_by_role("link", name="Send to…").click()
    expect(page.locator("#id_filter_text")).to_be_focused()
    page.get_by_role("radio", name="Address").check()
    page.get_by_role("textbox", name="Address").fill(f"nobody@127.3.0.77:{sshd.port}")
    page.locator(".cm-content").click()
    page.keyboard.type("true")
    run(page)
    expect(page.locator("#run-rows")).to_contain_text("Unreachable")
    expect(page.locator("#run-opened")).to_contain_text("credential")
    expect(page.locator("#instances")).not_to_contain_text("127.3.0.77")


def test_a_wrong_address_is_told_beside_the_field(signed_in):
    page = signed_in
    page.get_by_role("link", name="Send to…").click()
    page.get_by_role("radio", name="Address").check()
    page.get_by_role("textbox", name="Address").fill("-oProxyCommand=touch")
    page.locator(".cm-content").click()
    page.keyboard.type("true")
    run(page)
    expect(page.locator("#send-address-error")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
def test_from_an_instances_page_its_own_command_and_history(signed_in, width):
    page = signed_in
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("link", name="web-03", exact=True).click()
    expect(page.get_by_role("heading", name="web-03")).to_be_visible()
    its_page = page.url.partition("?")[0]
    page.get_by_role("link", name="Send Command").first.click()
    page.locator(".cm-content").click()
    page.keyboard.type("echo from the page")
    run(page)
    expect(page.locator("#log")).to_contain_text("from the page")
    page.go_back()
    page.goto(f"{its_page}?tab=commands")
    expect(page.locator("body")).to_contain_text("echo from the page")


def test_a_kept_command_is_in_the_saved_list_and_sends_again(signed_in):
    page = signed_in
    select(page, "web-01")
    expect(page.get_by_text("1 instance selected")).to_be_visible()
    page.keyboard.press("c")
    page.keyboard.type("echo kept for later")
    page.get_by_text("Options").click()
    page.get_by_label("Keep this command as").fill("for later")
    run(page)
    expect(page.locator("#log")).to_contain_text("kept for later")
    page.get_by_role("link", name="Saved", exact=True).click()
    expect(page.get_by_text("for later", exact=True)).to_be_visible()
    row = page.get_by_role("row").filter(has_text="for later")
    row.get_by_role("link", name=re.compile("^Send")).click()
    expect(page.locator(".cm-content")).to_have_text("echo kept for later")
