"""From the Send Command dialog to a schedule that fires on a real instance, and its history."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from playwright.sync_api import expect

from tests.acceptance.test_main_job import select

SOON = """
from datetime import timedelta
from django.utils import timezone
from console.models import Schedule
soon = timezone.now() + timedelta(seconds=2)
assert Schedule.objects.filter(name="by itself").update(anchor_at=soon, next_at=soon) == 1
"""


def test_a_command_is_scheduled_from_the_dialog_and_runs_by_itself(signed_in, console):
    page = signed_in
    select(page, "web-01")
    page.keyboard.press("c")
    expect(page.locator(".cm-content")).to_be_visible()
    page.locator(".cm-content").click()
    page.keyboard.type("echo by-itself-$((40+2))")
    page.get_by_role("button", name="Schedule…").click()

    expect(page.get_by_role("heading", name="Schedule a command")).to_be_visible()
    expect(page.get_by_label("Command", exact=True)).to_have_text("echo by-itself-$((40+2))")
    # The browser's own zone was put there.
    zone = page.get_by_label("Time zone").input_value()
    assert zone == page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    page.get_by_role("radio", name="Cron expression").check()
    field, preview = page.get_by_role("textbox", name="Cron expression"), page.locator("#schedule-preview")
    field.fill("61 * * * *")
    expect(preview.get_by_text("There is something wrong with the minute: 0 to 59, or *.")).to_be_visible()
    field.fill("30 6 * * MON-FRI")
    expect(preview.get_by_text("At 06:30 on Monday through Friday")).to_be_visible()
    expect(preview.locator("li")).to_have_count(5)

    page.get_by_role("radio", name="Once").check()
    tomorrow = datetime.now(ZoneInfo(zone)) + timedelta(days=1)
    page.get_by_label("Date and time").fill(tomorrow.strftime("%Y-%m-%dT%H:%M:%S"))
    page.get_by_label("Name").fill("by itself")
    page.get_by_role("button", name="Schedule", exact=True).click()
    expect(page.get_by_role("heading", name="by itself")).to_be_visible()

    # Entered in the form, a time a few seconds away may have passed before a busy machine has read it.
    console.manage("shell", "-v", "0", "-c", SOON)
    page.reload()
    history = page.get_by_role("region", name="History")
    expect(history).to_contain_text("Succeeded")
    expect(history.locator("tbody tr")).to_have_count(1)
    expect(history).to_contain_text("Started")
    history.get_by_role("link", name=re.compile("Run ")).click()
    expect(page.locator("#log")).to_contain_text("by-itself-42")
    expect(page.locator("#run .run__meta")).to_contain_text("by schedule by itself")
