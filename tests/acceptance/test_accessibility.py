"""axe-core on every page, light and dark, wide and 320 px; and no horizontal scroll."""

import re
from pathlib import Path

import axe_playwright_python
import pytest
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
    "/retention/",
    "/instances/1/",
    "/instances/1/?tab=commands",
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


def violations(page):
    page.evaluate(AXE)
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})", RULES
    )
    return [(v["id"], [n["html"][:160] for n in v["nodes"][:3]]) for v in found["violations"]]


def look(page, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    # Colours that are on their way to the other scheme are nobody's to judge.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => 0)")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_have_no_violation_and_do_not_scroll_sideways(signed_in, console, scheme, width):
    page = signed_in
    look(page, scheme, width)
    found = {}
    for path in PAGES:
        page.goto(console.url + path)
        wrong = violations(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(("scrolls sideways", []))
        if wrong:
            found[path] = wrong
    assert found == {}


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_a_run_and_the_dialog_have_no_violation(signed_in, scheme, width):
    page = signed_in
    send(page, "echo hello; echo oh >&2; exit 3", "web-01", "web-02")
    look(page, scheme, width)
    assert violations(page) == []
    run(page)
    expect(page.locator("#run-rows").get_by_text("Failed")).to_have_count(2)
    assert violations(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_sign_in_has_no_violation(page, console):
    page.goto(f"{console.url}/sign-in/")
    assert violations(page) == []
    expect(page).to_have_title(re.compile("Sign in"))
