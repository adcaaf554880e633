"""The main job, as a user does it: select, Send Command, watch, Stop."""

import re

from playwright.sync_api import expect

from tests.support.sshd import marked_by
from tests.support.until import until
from tests.support.visitor import Records, marker_of


def select(page, *names):
    for name in names:
        page.get_by_label(f"Select {name}", exact=True).check()


def send(page, command, *names):
    select(page, *names)
    page.get_by_role("button", name=re.compile("^Send Command")).last.click()
    page.keyboard.type(command)


def run(page):
    page.get_by_role("button", name=re.compile("^Run on")).click()


def alive(console, number):
    """The processes that live of a run."""
    begun = [row for row in Records(console.folder).invocations(number) if row["marker"]]
    return [pid for row in begun for pid in marked_by("MUSTER_INVOCATION", marker_of(row))]


def test_three_instances_from_the_list_to_live_output_to_nothing_left(signed_in, console):
    page = signed_in
    send(page, "echo line-$((40+2)); sleep 300 & sleep 300", "web-01", "web-02", "web-03")
    run(page)
    # Usually after 0.3 s; benchmarks/latency.py measures it.
    expect(page.locator("#log")).to_contain_text("line-42")
    expect(page).to_have_url(re.compile(r"/runs/\d+/"))
    expect(page.get_by_role("checkbox", name="Select web-01")).to_be_checked()
    number = int(page.locator("#run").get_attribute("data-run"))
    # What was seen is the output of one of them.
    until(lambda: len(alive(console, number)) >= 6, within_s=90)
    page.get_by_role("button", name=re.compile("^Stop all")).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
    expect(page.locator("#run-rows").get_by_text("Stopped")).to_have_count(3)
    assert alive(console, number) == []
