"""Runs over 5,000 instances: watched live, paged, filtered, stopped, with a page that answers all the time."""

import logging
import re
import time
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from tests.acceptance.conftest import sign_in
from tests.acceptance.test_accessibility import flaws
from tests.acceptance.test_main_job import run
from tests.support.console import running_console
from tests.support.many import in_console
from tests.support.until import until
from tests.support.visitor import Records

COUNT = 5000
LOCAL_EVERY = 25
logger = logging.getLogger(__name__)
# At a time, in the run that is stopped.
PLACES = 8
# Whoever watches 5,000 instances has one page of them in the browser.
MAX_ROWS = 300
# What the browser was busy with, and how long it did not draw.
MEASURE = """
window.slow = {task: 0, frame: 0};
new PerformanceObserver((list) => {
  for (const {duration} of list.getEntries()) slow.task = Math.max(slow.task, duration);
}).observe({type: "longtask"});
let last = 0;
const note = (now) => {
  if (last) slow.frame = Math.max(slow.frame, now - last);
  last = now;
  requestAnimationFrame(note);
};
requestAnimationFrame(note);
"""
# Cells and controls whose text has no room; those that end in "…" mean to.
CUT = """[...document.querySelectorAll("#run-rows td.end, .pager *")]
  .filter((place) => place.checkVisibility() && !place.closest(".vh, .pager__word, .icon")
    && place.scrollWidth > place.clientWidth + 1 && getComputedStyle(place).display !== "inline")
  .map((place) => place.outerHTML)"""


@pytest.fixture(scope="module")
def crowd():
    """A console with 5,000 instances: 200 are this machine and run commands, the others have no credential."""
    with running_console() as console:
        in_console(console, f"add_instances({COUNT}, local_every={LOCAL_EVERY})")
        yield console


@pytest.fixture(scope="module")
def ended(crowd):
    """The address of a run over all of them that has ended."""
    return f"{crowd.url}/runs/{in_console(crowd, f'add_ended_run({COUNT})')}/"


def send_to_all(page, command, at_a_time):
    page.get_by_label("Select node-00001", exact=True).check()
    page.get_by_role("button", name="Select all 5,000 matching").click()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Run on 5,000 instances")).to_be_visible()
    page.keyboard.type(command)
    page.get_by_text("Options").click()
    page.get_by_label("At a time").fill(str(at_a_time))
    page.get_by_label(re.compile("^This goes to 5,000 instances")).fill(str(COUNT))
    clicked = time.monotonic()
    run(page)
    expect(page.locator("#run-summary")).to_be_visible()
    return time.monotonic() - clicked


def rows(page):
    return page.locator("#run-rows tr[data-i]")


def finished(page):
    return int(page.locator("#run-summary").get_attribute("data-finished"))


def expect_finished(page, number):
    """Wait until at least so many have ended."""
    until(lambda: finished(page) >= number, within_s=300, every_s=0.2)


def answered_ms(page, click, done):
    """How long it takes from a click until what it asked for is shown, in the browser's own time."""
    start = page.evaluate("performance.now()")
    click()
    done()
    return page.evaluate("performance.now()") - start


def show(page, status):
    """Click on a count; return how long it took until its rows were there."""
    place = page.locator(f'#run-rows[data-status="{status}"]')
    return answered_ms(page, lambda: page.locator(f"#count-{status}").click(), lambda: expect(place).to_be_visible())


def press_while_it_goes_on(page, frames, place):
    """Press a button, and let go of it once news of the run have come."""
    # In one call: what moves or scrolls would be pressed where it was.
    middle = "(at) => { const b = at.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }"
    x, y = page.locator(place).evaluate(middle)
    page.mouse.move(x, y)
    page.mouse.down()
    before = len(frames)
    # Frames are handed out while the page is asked something.
    until(lambda: page.evaluate("1") and any('id="run-summary"' in str(one) for one in frames[before:]), within_s=90)
    page.mouse.up()


def test_a_run_is_watched_live_while_the_page_answers(page, crowd, tmp_path):
    page.add_init_script(MEASURE)
    frames = []

    def take(frame):
        frames.append(frame)

    page.on("websocket", lambda socket: socket.on("framereceived", take))
    sign_in(page, crowd)
    # One goes on and has news until everything was looked at, however long that takes.
    talks = f"mkdir {tmp_path}/talks 2>/dev/null && until [ -e {tmp_path}/over ]; do echo on; sleep 0.2; done"
    made_s = send_to_all(page, f"echo out of $$; {talks}; case $$ in *7) exit 3;; esac", 200)
    answers = []
    for part in (500, 1000, 1500):
        expect_finished(page, part)
        assert rows(page).count() <= MAX_ROWS
    asked = page.get_by_role("dialog")
    # What was being drawn when the press began can still replace it, seldom; without the wait it always was replaced.
    for _ in range(5):
        press_while_it_goes_on(page, frames, "#stop-all")
        with suppress(PlaywrightTimeoutError):
            asked.wait_for(timeout=10_000)
            break
    expect(asked).to_contain_text("Stop run")
    asked.get_by_role("button", name="Cancel").click()
    answers.append(show(page, "unreachable"))
    states = page.locator("#run-rows tbody td:nth-child(2)").all_inner_texts()
    assert set(states) == {"Unreachable"}
    answers.append(show(page, "succeeded"))
    answers.append(show(page, "all"))
    last = page.get_by_role("link", name="Last page of this run")
    answers.append(answered_ms(page, last.click, lambda: expect(rows(page).last).to_contain_text("node-05000")))
    assert rows(page).count() <= MAX_ROWS
    rows(page).last.get_by_role("link").click()
    expect(page.locator("#run-opened")).to_contain_text("node-05000")
    assert finished(page) < COUNT
    (tmp_path / "over").touch()
    expect_finished(page, COUNT)
    expect(page.locator("#log")).to_contain_text(re.compile(r"out of \d+"))
    expect(page.locator("#run-opened")).to_contain_text("node-05000")
    expect(page.locator("#count-all")).to_have_text("All 5,000")
    slow = page.evaluate("slow")
    # How long they may take is for benchmarks/finding_out_browser.py to judge, on a machine that does nothing else.
    logger.info("%s", f"made in {made_s:.2f} s, answers {[round(ms) for ms in answers]} ms, {slow}")


def test_all_of_a_large_run_are_stopped_while_it_runs(page, crowd):
    sign_in(page, crowd)
    send_to_all(page, "echo begun; sleep 300", PLACES)
    # Those without a credential end at once, until this machine's fill all places.
    expect_finished(page, PLACES * (LOCAL_EVERY - 1))
    expect(page.locator("#count-active b")).to_have_text(str(PLACES))
    # Those that count as running may be connecting yet: stopped then, they never ran.
    running = "SELECT id FROM console_invocation WHERE status = 'running'"
    until(lambda: len(Records(crowd.folder).rows(running)) == PLACES, within_s=90)
    page.locator("#stop-all").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop all").click()
    expect(page.locator("#run-summary")).to_have_attribute("data-ended", "yes")
    expect(page.locator("#count-stopped b")).to_have_text(str(PLACES))
    assert finished(page) == COUNT
    expect(page.locator("#count-active")).to_have_count(0)


def test_one_instance_of_a_large_run_is_found_opened_and_linked_to(page, crowd, ended):
    sign_in(page, crowd)
    page.goto(ended)
    expect(rows(page)).to_have_count(50)
    page.get_by_label("Page of this run").fill("60")
    page.get_by_label("Page of this run").press("Enter")
    expect(rows(page).first).to_contain_text("node-02951")
    rows(page).nth(3).get_by_role("link").click()
    expect(page.locator("#log")).to_contain_text("hello from node-02954")
    expect(page).to_have_url(re.compile(r"i=2953"))
    page.reload()
    expect(rows(page).first).to_contain_text("node-02951")
    expect(page.locator("#log")).to_contain_text("hello from node-02954")
    page.get_by_role("link", name="Last page of this run").click()
    expect(rows(page).last).to_contain_text("node-05000")
    expect(page.locator("#run-rows .pager")).to_contain_text(re.compile(r"\b4,951.5,000 of 5,000"))
    page.go_back()
    expect(rows(page).first).to_contain_text("node-02951")


def test_what_is_open_stays_open_while_one_turns_the_pages(page, crowd, ended):
    sign_in(page, crowd)
    page.goto(f"{ended}?i=1")
    expect(page.locator("#log")).to_contain_text("hello from node-00002")
    page.get_by_role("link", name="Next page of this run").click()
    expect(rows(page).first).to_contain_text("node-00051")
    # By the time the rows of the next filter are there, the socket has said what it has to say about this page.
    show(page, "failed")
    expect(page.locator("#run-opened")).to_have_attribute("data-name", "node-00002")
    expect(page.locator("#log")).to_contain_text("hello from node-00002")


def test_pages_of_a_large_run_and_list_are_accessible_and_not_cut(page, crowd, ended):
    sign_in(page, crowd)
    for address in (f"{ended}?page=60&i=2954", f"{crowd.url}/?page=25"):
        page.goto(address)
        expect(page.locator(".pager").last).to_contain_text("of 5,000")
        for one in (("light", 1440), ("dark", 390), ("light", 320)):
            assert flaws(page, [one]) == []
            assert page.evaluate(CUT) == [], one


@pytest.mark.parametrize(("place", "seen"), [("#count-failed", "Failed"), ("#rows-next", "node-00051")])
def test_a_link_that_htmx_has_not_adopted_yet_does_not_leave_the_page(page, crowd, ended, place, seen):
    sign_in(page, crowd)
    page.goto(ended)
    expect(page.locator("#log")).to_contain_text("hello from node-00001")
    # As a frame of the socket leaves it for a moment: a new element that nothing listens on.
    page.evaluate(
        """(place) => {
          window.isSamePage = true;
          const fresh = document.querySelector(place).cloneNode(true);
          document.querySelector(place).replaceWith(fresh);
          fresh.click();
        }""",
        place,
    )
    expect(rows(page).first).to_contain_text(seen)
    assert page.evaluate("window.isSamePage")


def test_a_count_filters_the_rows_and_the_pages(page, crowd, ended):
    sign_in(page, crowd)
    page.goto(ended)
    expect(page.locator("#count-failed b")).to_have_text("500")
    show(page, "failed")
    expect(page.locator("#run-rows .pager")).to_contain_text(re.compile(r"\b1.50 of 500"))
    page.get_by_role("link", name="Last page of this run").click()
    expect(rows(page).last).to_contain_text("node-04999")
    expect(page).to_have_url(re.compile(r"status=failed&page=10"))
    assert set(page.locator("#run-rows tbody td:nth-child(2)").all_inner_texts()) == {"Failed"}
