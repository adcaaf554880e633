"""Outputs beyond what a page can hold: one endless line, a million empty ones, a progress bar of 100,000 states."""

import logging
import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, send
from tests.support.until import until

logger = logging.getLogger(__name__)
# The page holds 64 million characters of a log at most, at one or two bytes each, and little besides.
HEAP_BYTES = 200e6
MAX_ROWS = 5000
ENDLESS_LINE = "head -c 200000000 /dev/zero | tr '\\0' x"
EMPTY_LINES = "yes '' | head -n 1000000"
PROGRESS = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); printf '\\rprogress %d of 100000' $i; done"
NUMBERS = "seq 1 500000"
COUNTING = "i=0; while :; do i=$((i+1)); echo row $i; sleep 0.01; done"

AT_REST = """async (log) => {
  for (let at = NaN, frames = 0; frames < 10; frames = log.scrollTop === at ? frames + 1 : 0) {
    at = log.scrollTop;
    await new Promise(requestAnimationFrame);
  }
}"""


def show(page, command):
    """Send a command to one instance and watch it to its end."""
    send(page, command, "web-01")
    run(page)
    expect(page.locator("#run-rows")).to_contain_text("Succeeded", timeout=180_000)


def heap_bytes(page):
    """What the page's scripts hold, after what they let go of was collected."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    logger.info("heap of %.1f MB", metrics["JSHeapUsedSize"] / 1e6)
    return metrics["JSHeapUsedSize"]


def lines(page):
    return page.locator("#log .ln")


def gap(page):
    return page.locator("#log .ln--gap")


def top_line(page):
    """The number of the first line that is seen."""
    return page.locator("#log").evaluate(
        """(log) => Number([...log.querySelectorAll(".ln")].find(
             (row) => row.getBoundingClientRect().bottom > log.getBoundingClientRect().top + 1).dataset.n)"""
    )


def last_number(page):
    """The number in the last line as the list of instances has it."""
    return int(page.locator("#run-rows td.rows__last").inner_text().removeprefix("row "))


def download_size(page):
    address = page.locator("#download").get_attribute("href")
    answer = page.request.get(page.url.partition("/runs/")[0] + address, headers={"Range": "bytes=0-0"})
    return int(answer.headers["content-range"].rpartition("/")[2])


def test_one_line_of_200_mb_is_bounded_counted_and_downloadable(signed_in):
    page = signed_in
    show(page, ENDLESS_LINE)
    assert heap_bytes(page) < HEAP_BYTES
    assert lines(page).count() <= MAX_ROWS
    expect(page.locator("#run-opened")).to_contain_text("of output were over the limit and not kept")
    expect(page.locator("#run-rows")).to_contain_text("xxx")
    # The limit, and at most one more piece of the end that is always kept.
    assert 0 <= download_size(page) - 64 * 1024 * 1024 < 64 * 1024

    page.reload()
    # Whoever comes later is shown the end, and how much came before it.
    expect(gap(page)).to_contain_text("199.7 MB not shown here (see Download)")
    expect(page.locator("#log")).to_contain_text("more characters in this line, see Download")
    assert heap_bytes(page) < HEAP_BYTES
    page.locator("[data-log=wrap]").click()
    expect(page.locator("[data-log=wrap]")).to_have_attribute("aria-pressed", "true")


def test_a_million_empty_lines_are_numbered_to_the_last(signed_in):
    page = signed_in
    show(page, EMPTY_LINES)
    page.reload()
    expect(page.locator('#log .ln[data-n="1000000"]')).to_be_in_viewport()
    assert lines(page).count() <= MAX_ROWS
    assert heap_bytes(page) < HEAP_BYTES
    page.locator("#log").evaluate("log => { log.scrollTop = 0; }")
    expect(page.locator('#log .ln[data-n="1"]')).to_be_in_viewport()
    page.locator("#log").evaluate("log => { log.scrollTop = log.scrollHeight / 2; }")
    expect(page.locator('#log .ln[data-n="1"]')).to_have_count(0)
    expect(lines(page).first).to_have_attribute("data-n", re.compile(r"^(4[89]|50)\d{4}$"))
    page.locator("[data-log=follow]").click()
    expect(page.locator('#log .ln[data-n="1000000"]')).to_be_in_viewport()


def test_a_progress_bar_of_100_000_states_is_one_line(signed_in):
    page = signed_in
    show(page, PROGRESS)
    expect(lines(page).last).to_have_text("progress 100000 of 100000\n", use_inner_text=False)
    # One line, and another before what was skipped if this page was behind.
    assert lines(page).count() <= 1 + 2 * gap(page).count()
    expect(page.locator("#run-rows .rows__last").last).to_contain_text("progress 100000 of 100000")
    assert heap_bytes(page) < HEAP_BYTES / 4
    page.reload()
    expect(lines(page).last).to_have_text("progress 100000 of 100000\n")
    assert lines(page).count() == 1 + gap(page).count()


def test_search_finds_what_is_held_and_earlier_parts_are_loaded(signed_in):
    page = signed_in
    show(page, NUMBERS)
    page.reload()
    expect(gap(page)).to_have_count(0)
    expect(lines(page).last).to_have_text(re.compile("^500000"))
    hits = page.locator("#log-hits")
    page.locator("#log-search").fill("499999")
    expect(hits).to_have_text("1 of 1")
    expect(page.locator("#log .ln--hit")).to_have_text(re.compile("^499999"))
    expect(page.locator("#log .ln--hit")).to_be_in_viewport()
    page.locator("#log-search").fill("123456")
    expect(hits).to_have_text("0 lines")

    for left in ("3.1 MB", "2.1 MB", "1.0 MB"):
        page.locator("#log").evaluate("log => { log.scrollTop = 0; }")
        expect(gap(page)).to_contain_text(f"{left} not shown here")
        gap(page).get_by_role("button", name="Load earlier").click()
        expect(gap(page)).to_have_count(0)
    page.locator("#log-search").fill("123456")
    expect(hits).to_have_text("1 of 1")
    expect(page.locator("#log .ln--hit")).to_have_text(re.compile("^123456"))


def test_reading_pauses_following_and_nothing_jumps(signed_in):
    page = signed_in
    send(page, COUNTING, "web-01")
    run(page)
    follow = page.locator("[data-log=follow]")
    # Any three figures: of a busy log only what is in view is there, and may be by when one looks.
    expect(page.locator("#log")).to_contain_text(re.compile(r"row \d{3}"))
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.locator("#log").hover()
    page.mouse.wheel(0, -400)
    expect(follow).to_have_attribute("aria-pressed", "false")
    # A wheel may move on for some frames.
    page.locator("#log").evaluate(AT_REST)
    at = top_line(page)
    # The list is told of it apart from the output, at a busy console later.
    expect(page.locator("#run-rows td.rows__last")).to_contain_text("row")
    seen = last_number(page)
    until(lambda: last_number(page) > seen + 150, within_s=90)
    assert top_line(page) == at
    page.keyboard.press("f")
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(lines(page).last).to_be_in_viewport()
    # The button is drawn anew with every piece of news, which leaves a browser no two frames to find it standing still.
    page.keyboard.press("s")
    expect(page.locator("#run-rows")).to_contain_text("Stopped")


@pytest.mark.parametrize("count", [300, 60_000])
def test_wrapped_lines_do_not_scroll_sideways(signed_in, count):
    page = signed_in
    show(page, f"word=$(printf %0400d 7); i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo $i $word; done")
    expect(lines(page).last).to_have_text(re.compile(f"^{count} "))
    log = page.locator("#log")
    assert log.evaluate("log => log.scrollWidth > log.clientWidth")
    page.locator("#log").focus()
    page.keyboard.press("w")
    expect(log).to_have_class(re.compile("log--wrap"))
    expect(lines(page).last).to_be_in_viewport()
    assert not log.evaluate("log => log.scrollWidth > log.clientWidth")
