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
    # The row is told of it apart from the output, at a busy console later.
    expect(page.locator("#run-rows .rows__last").last).to_contain_text("begun")
    row, opened, summary = (
        page.locator(f"{part} [data-running-s]") for part in ("#run-rows", "#run-opened", "#run-summary")
    )
    expect(row).to_have_text(re.compile(r"^[1-9]\d* s"))
    # From here on nothing comes: the pieces that count are those that are there now.
    row.evaluate("place => { place.id = 'the-same'; }")
    first = [seconds(place) for place in (row, opened, summary)]
    for place, before in zip((row, opened, summary), first, strict=True):
        later = "|".join(f"{before + more} s" for more in range(2, 30))
        expect(place).to_have_text(re.compile(f"^({later})"))
    expect(page.locator("#the-same")).to_be_visible()
    page.locator("#stop-one").click()
    expect(page.locator("#run-rows")).to_contain_text("Stopped")
    expect(page.locator("[data-running-s]")).to_have_count(0)
    expect(page.locator("#run-rows tbody td:nth-child(4)")).to_have_text(re.compile(r"\d\.\d+ s"))
