"""Sessions as a user has them: opened on two instances, sent to one after the other, closed, and sent to again."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import select


def send_to_chosen(page, command):
    page.get_by_role("button", name="Send to chosen").click()
    expect(page.locator("dialog #send-sessions")).to_be_visible()
    page.locator(".cm-content").first.click()
    # The draft of the former one is still there.
    page.keyboard.press("Control+A")
    page.keyboard.type(command)
    page.get_by_role("button", name=re.compile(r"^Run in \d session")).click()
    expect(page.locator("#run")).to_be_visible()


def choose(page, console, *instances):
    page.goto(f"{console.url}/sessions/")
    for name in instances:
        page.get_by_label(f"Choose deploy on {name}").check()


def test_a_shell_on_each_of_two_instances_keeps_what_commands_leave_there(signed_in, console):
    page = signed_in
    select(page, "web-01", "web-02")
    page.locator("summary").filter(has_text=re.compile("^More$")).click()
    page.get_by_role("button", name="Open session…").click()
    page.get_by_label("Name").fill("deploy")
    page.get_by_role("button", name="Open on 2 instances").click()
    # Others may have left terminals open, and what ended lately is listed too.
    rows = page.locator("#sessions tbody tr").filter(has=page.locator(".pick-session")).filter(has_text="deploy")
    expect(rows.filter(has_text="Ready")).to_have_count(2)

    # Ticked before the list is drawn anew, and still ticked after it.
    page.get_by_label("Choose deploy on web-01").check()
    page.get_by_label("Choose deploy on web-02").check()
    page.evaluate("document.querySelector('#sessions').dataset.old = '1'")
    expect(page.locator("#sessions[data-old]")).to_have_count(0)
    expect(page.locator(".pick-session:checked")).to_have_count(2)
    assert violations(page) == []

    send_to_chosen(page, "cd /tmp && count=7 && greet() { echo it-is-$count-in-$PWD; }")
    expect(page.locator("#run-summary")).to_contain_text("2 of 2")
    choose(page, console, "web-01", "web-02")
    send_to_chosen(page, "read line < <(sleep 600)")
    first = page.url
    expect(page.locator("#run-rows").get_by_text("Running", exact=True)).to_have_count(2)
    choose(page, console, "web-01", "web-02")
    expect(rows.filter(has_text="At work")).to_have_count(2)
    send_to_chosen(page, "greet")
    expect(page.locator("#run-rows").get_by_text("waits for the session")).to_have_count(2)
    second = page.url

    page.goto(first)
    page.get_by_role("button", name=re.compile("^Stop all")).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
    expect(page.locator("#run-rows").get_by_text("Stopped", exact=True)).to_have_count(2)
    page.goto(second)
    expect(page.locator("#log")).to_contain_text("it-is-7-in-/tmp")
    expect(page.locator("#run-rows").get_by_text("Succeeded", exact=True)).to_have_count(2)

    choose(page, console, "web-01")
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(rows).to_have_count(1)
    page.goto(second)
    page.locator("summary", has_text="Run again").click()
    page.get_by_role("link", name="In all sessions").click()
    expect(page.locator("#send-sessions li", has_text="web-01")).to_contain_text("Closed by admin.")
    assert violations(page) == []
    page.get_by_role("button", name="Run in 2 sessions").click()
    expect(page.locator("#run-opened")).to_contain_text("has ended")
    expect(page.locator("#run-rows").get_by_text("Succeeded", exact=True)).to_have_count(1)
    expect(page.locator("#run-rows").get_by_text("Skipped", exact=True)).to_have_count(1)
