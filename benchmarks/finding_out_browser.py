"""What somebody at a browser waits for in a run over 5,000 instances, and how smoothly it is drawn while it goes.

python benchmarks/finding_out_browser.py [--instances N] [--repetitions N] [--seconds N] [--only ended|live]
"""

import argparse
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import CDPSession, Page, sync_playwright
from rig import quantile, say, say_machine, used

from tests.acceptance.conftest import CHROMIUM, sign_in
from tests.support.console import Console, running_console

SWITCHES = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
# 100 bytes each.
LINES = 100
AT_A_TIME = 50
# Every fifth instance is this machine: a second each, so that it lasts.
COMMAND = "echo out of $$; sleep 1"
# A step between those that count.
BACK = ""
TABLE, GROUPS, MATRIX = "#tab-table", "#tab-groups", "#tab-matrix"
# Click (at a point of it), and wait for the frame in which what was asked for is there; in the page, so that only the
# page's time counts.
CLICK = """async ([click, place, text, at]) => {
  const drawn = () => new Promise((done) => requestAnimationFrame(done));
  const target = document.querySelector(click);
  const begun = performance.now();
  if (at) {
    const {left, top} = target.getBoundingClientRect();
    target.dispatchEvent(new MouseEvent("click", {clientX: left + at[0], clientY: top + at[1], bubbles: true}));
  } else target.click();
  while (!document.querySelector(place)?.textContent.includes(text)) {
    if (performance.now() - begun > 60000) throw new Error(`no ${text} at ${place}`);
    await drawn();
  }
  await drawn();
  return performance.now() - begun;
}"""
FRAMES = """window.frames_ms = [];
let last = 0;
const note = (now) => {
  if (last) frames_ms.push(now - last);
  last = now;
  requestAnimationFrame(note);
};
requestAnimationFrame(note);"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="how long each view of the live run is watched")
    parser.add_argument("--only", choices=("ended", "live"))
    options = parser.parse_args()
    say_machine()
    with running_console() as console:
        _made(console, f"add_instances({options.instances}, local_every=5)")
        if options.only != "live":
            _ended(console, options.instances, options.repetitions)
        if options.only != "ended":
            _live(console, options.instances, options.seconds)


def _made(console: Console, call: str) -> str:
    """Call one of tests/support/many.py in the console's database."""
    try:
        return console.manage("shell", "-v", "0", "-c", f"from tests.support import many; print(many.{call})").strip()
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.stderr) from error


@contextmanager
def _browser(console: Console) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        sign_in(page, console)
        yield page
        browser.close()


# ------------------------------------------------------------------ a run that has ended


def _ended(console: Console, count: int, repetitions: int) -> None:
    """Print what each click takes: the first run's is the first look, where something is remembered afterwards."""
    took: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repetitions):
        # A run of its own each time: what its outputs come to has not been seen.
        number = _made(console, f"add_ended_run({count}, lines={LINES})")
        with _browser(console) as page:
            before = _cpu_s(console)
            for name, ms in _walk(page, console, number, count):
                after = _cpu_s(console)
                took.setdefault(name, []).append((ms, (after - before) * 1000))
                before = after
    say(f"{count:,} instances, 10 kB each, ended; {repetitions} times | p50 ms | most ms | console's CPU, p50 ms")
    took.pop(BACK)
    for name, figures in took.items():
        times, cpu = zip(*figures, strict=True)
        say(f"    {name} | {statistics.median(times):.0f} | {max(times):.0f} | {statistics.median(cpu):.0f}")


def _cpu_s(console: Console) -> float:
    return sum(used(pid)[0] for pid in console.children())


def _walk(page: Page, console: Console, number: str, count: int) -> Iterator[tuple[str, float]]:
    def click(place: str, result: str, text: str = "", at: tuple[int, int] | None = None) -> float:
        return page.evaluate(CLICK, [place, result, text, at])

    def both(name: str, place: str, result: str, back: str, there: str) -> Iterator[tuple[str, float]]:
        yield name, click(place, result)
        yield BACK, click(back, there)
        yield f"{name}, again", click(place, result)

    page.goto(f"{console.url}/runs/{number}/")
    shown = "document.querySelectorAll('#run-rows tr[data-i]').length && performance.now()"
    yield "the page of the run, loaded", page.evaluate(shown)
    yield "a row to its output", click('#run-rows tr[data-i="7"] a', "#log", "node-00008")
    yield "the last page of rows", click("#rows-last", f'#run-rows tr[data-i="{count - 1}"]')
    yield from both("groups", GROUPS, "#groups .group", TABLE, "#run-rows tr[data-i]")
    yield BACK, click("#ignore-own_name", '#groups [href*="own_name=1"]')
    times = '#groups [href*="times=1"]'
    yield from both("groups, times and own name ignored", "#ignore-times", times, "#ignore-times", _without(times))
    yield "groups, numbers ignored too", click("#ignore-numbers", "#groups [role=status]", "3 groups of")
    yield BACK, click("#ignore-numbers", _without('#groups [href*="numbers=1"]'))
    yield "diff with the largest", click("#groups a[id^=diff-]", "#diff .diff__lines")
    yield from both("matrix, drawn", MATRIX, "#matrix[height]", TABLE, "#run-rows tr[data-i]")
    yield "a cell of the matrix to its output", click("#matrix", "#log", "node-00001", (3, 3))
    yield from both("combined", "#tab-combined", "#combined-log .combined__line", TABLE, "#run-rows tr[data-i]")
    yield "earlier lines", click("#earlier-lines", "#combined-log .combined__line ~ .combined__line:nth-child(1500)")
    yield BACK, click("#tab-search", "#search-q")
    page.locator("#search-q").fill(f"is {count - 1:08} and")
    yield "search for what is in the last one, all of it", click("#search-go", "#search-on[role=status]")
    page.locator("#search-q").fill("something of it")
    yield "search for what is in all, the first line", click("#search-go", '.hits__one [href*="something"]')


def _without(place: str) -> str:
    """Return a selector for the groups when nothing in them is at a place."""
    return f"#groups:not(:has({place.removeprefix('#groups ')}))"


# ------------------------------------------------------------------ a run that goes on


def _live(console: Console, count: int, seconds: float) -> None:
    with _browser(console) as page:
        sent: list[tuple[float, str]] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda data: _note(sent, data)))
        page.add_init_script(FRAMES)
        page.reload()
        page.locator("html[data-scripts]").wait_for()
        watched = "CPU of the page | frames p50 ms | p95 ms | longest ms | socket frames/s | partials | ended meanwhile"
        say(f"run over {count:,}, {AT_A_TIME} at a time; watched | {watched}")
        debugger = page.context.new_cdp_session(page)
        debugger.send("Performance.enable", {"timeDomain": "threadTicks"})
        # What the browser and the machine do by themselves.
        _watch(page, debugger, "the list, no run", seconds, sent)
        began = _send(page, count)
        page.locator("#run-summary").wait_for()
        made = time.monotonic() - began
        page.locator("#run-rows").get_by_text(re.compile(r"^out of \d")).first.wait_for()
        first = time.monotonic() - began
        say(f"    after Run: the run is there {made:.2f} s, its first output {first:.2f} s")
        for name, open_view in _views(page).items():
            open_view()
            _watch(page, debugger, name, seconds, sent)
        # Alone on the machine it ends before everything was looked at.
        if page.locator("#stop-all").is_visible():
            page.locator("#stop-all").click()
            page.get_by_role("dialog").get_by_role("button", name=re.compile("Stop")).click()
        page.locator("#run-summary[data-ended=yes]").wait_for()


def _send(page: Page, count: int) -> float:
    """Send to all of them; return when Run was pressed."""
    page.get_by_label("Select node-00001", exact=True).check()
    page.get_by_role("button", name=f"Select all {count:,} matching").click()
    page.keyboard.press("c")
    page.get_by_role("button", name=f"Run on {count:,} instances").wait_for()
    page.keyboard.type(COMMAND)
    page.get_by_text("Options").click()
    page.get_by_label("At a time").fill(str(AT_A_TIME))
    if (typed := page.get_by_label(re.compile(f"^This goes to {count:,} instances"))).count():
        typed.fill(str(count))
    began = time.monotonic()
    page.get_by_role("button", name=re.compile("^Run on")).click()
    return began


def _views(page: Page) -> dict[str, Callable[[], None]]:
    def groups_ignoring() -> None:
        page.locator("#ignore-times").check()
        page.locator("#ignore-own_name").check()

    return {
        "table": lambda: None,
        "groups": lambda: page.locator(GROUPS).click(),
        "groups, times and own name ignored": groups_ignoring,
        "matrix": lambda: page.locator(MATRIX).click(),
        "combined": lambda: page.locator("#tab-combined").click(),
    }


def _watch(page: Page, debugger: CDPSession, name: str, seconds: float, sent: list[tuple[float, str]]) -> None:
    """Watch the view that is open; what opening it takes is not part of it."""
    page.wait_for_timeout(1000)
    finished = _finished(page)
    sent.clear()
    page.evaluate("frames_ms.length = 0")
    busy = _busy_s(debugger)
    page.wait_for_timeout(seconds * 1000)
    busy = (_busy_s(debugger) - busy) / seconds
    frames = page.evaluate("frames_ms")
    texts = [data for _, data in sent if data]
    partials = max((data.count("<hx-partial") for data in texts), default=0)
    say(
        f"    {name} | {busy:.0%} | {statistics.median(frames):.1f} | {quantile(frames, 0.95):.1f} | {max(frames):.0f}"
        f" | {len(texts) / seconds:.1f} | {partials} | {_finished(page) - finished}"
    )


def _busy_s(debugger: CDPSession) -> float:
    """Return the CPU seconds of the page's main thread."""
    metrics = {one["name"]: one["value"] for one in debugger.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def _finished(page: Page) -> int:
    summary = page.locator("#run-summary")
    return int(summary.get_attribute("data-finished") or 0) if summary.count() else 0


def _note(sent: list[tuple[float, str]], data: str | bytes) -> None:
    """Keep a frame of text; output comes in binary ones."""
    sent.append((time.monotonic(), data if isinstance(data, str) else ""))


if __name__ == "__main__":
    main()
