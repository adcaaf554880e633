"""axe-core on every page, light and dark, wide and 320 px; and no horizontal scroll."""

import re
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, send

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = [
    "/",
    "/?q=nothing-matches",
    "/send/",
    "/runs/",
    "/runs/?user=admin&tag=role%3Dweb",
    "/runs/search/?q=echo",
    "/saved/",
    "/saved/new/",
    "/saved/import/",
    "/schedules/",
    "/sessions/",
    "/sessions/?show=ended",
    "/sessions/open/?ids=1",
    "/retention/",
    "/recordings/",
    "/instances/1/",
    "/instances/1/?tab=commands",
    "/instances/1/sessions/",
    "/instances/add/",
    "/instances/paste/",
    "/instances/import/",
    "/groups/",
    "/credentials/",
    "/credentials/add/",
    "/host-keys/",
    "/host-keys/import/",
    "/host-keys/authorities/",
    "/host-keys/revoked/",
    "/people/",
    "/account/",
    "/notifications/",
    "/notifications/add/",
    "/notifications/log/",
]
LOOKS = [("light", 1440), ("dark", 1440), ("light", 320)]
TAGS = {"type": "tag", "values": RULES}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}

# Two frames for what the look changes; what an element inherits may begin to move when its parent has arrived.
SETTLED = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  for (let round = 0; round === 0 || (document.getAnimations().length && round < 50); round++) {
    await frame();
    await frame();
    await Promise.allSettled(document.getAnimations().map((one) => one.finished));
  }
}"""


def violations(page, only=TAGS):
    # Half a megabyte: once for each page that is loaded, not for each look at it.
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("only => axe.run(document, {runOnly: only, resultTypes: ['violations']})", only)
    return [(v["id"], [n["html"][:160] for n in v["nodes"][:3]]) for v in found["violations"]]


def look(page, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    # Colours that are on their way to the other scheme are nobody's to judge.
    page.evaluate(SETTLED)


def flaws(page, looks=LOOKS):
    """What is wrong with the page as it stands, in each of the looks; it is left in the first of them."""
    found, widths = [], set()
    for scheme, width in looks:
        look(page, scheme, width)
        # Where the width was seen, another scheme has other colours and nothing else.
        wrong = violations(page, COLOURS if width in widths else TAGS)
        widths.add(width)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(("scrolls sideways", []))
        if wrong:
            found.append((scheme, width, wrong))
    look(page, *looks[0])
    return found


def test_pages_have_no_violation_and_do_not_scroll_sideways(signed_in, console):
    found = {}
    for path in PAGES:
        signed_in.goto(console.url + path)
        if wrong := flaws(signed_in):
            found[path] = wrong
    assert found == {}


def test_a_run_and_the_dialog_have_no_violation(signed_in):
    page = signed_in
    send(page, "echo hello; echo oh >&2; exit 3", "web-01", "web-02")
    assert flaws(page) == []
    run(page)
    expect(page.locator("#run-rows").get_by_text("Failed")).to_have_count(2)
    assert flaws(page) == []


def test_sign_in_has_no_violation(page, console):
    page.goto(f"{console.url}/sign-in/")
    assert flaws(page) == []
    expect(page).to_have_title(re.compile("Sign in"))
