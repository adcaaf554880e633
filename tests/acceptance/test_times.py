"""The time of what runs goes on in the page, with nothing new from the server."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, send


def seconds(place):
    return int(re.search(r"(\d+) s", place.inner_text()).group(1))


def test_the_time_of_a_silent_command_goes_on_without_news(signed_in):
    page = signed_in
    send(page, "echo begun; sleep 300", "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text("begun")
    row, opened, summary = (
        page.locator(f"{part} [data-running-s]") for part in ("#run-rows", "#run-opened", "#run-summary")
    )
    expect(row).to_have_text(re.compile("^[1-9] s"))
    # From here on nothing comes: the pieces that count are those that are there now.
    row.evaluate("place => { place.id = 'the-same'; }")
    first = [seconds(place) for place in (row, opened, summary)]
    for place, before in zip((row, opened, summary), first, strict=True):
        expect(place).to_have_text(re.compile(rf"^{before + 2} s|^{before + 3} s"), timeout=8000)
    expect(page.locator("#the-same")).to_be_visible()
    page.locator("#stop-one").click()
    expect(page.locator("#run-rows")).to_contain_text("Stopped", timeout=10_000)
    expect(page.locator("[data-running-s]")).to_have_count(0)
    expect(page.locator("#run-rows tbody td:nth-child(4)")).to_have_text(re.compile(r"\d\.\d+ s"))
