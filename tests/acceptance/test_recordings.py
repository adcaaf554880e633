"""A recording in a real browser: it plays to the screen that was there, can be searched, and sends nothing."""

import json
import re

import pyte
import pytest
from playwright.sync_api import expect

from tests.acceptance.test_accessibility import LOOKS, flaws
from tests.support.terminal_screen import UNDRAWN, drawn, rows_on, type_line
from tests.support.until import until


def last_screen(cast):
    """The lines that pyte draws of a recording."""
    header, *events = map(json.loads, cast.splitlines())
    judge = pyte.Screen(header["width"], header["height"])
    stream = pyte.ByteStream(judge)
    for _, kind, data in events:
        if kind == "o":
            stream.feed(UNDRAWN.sub(b"", data.encode()))
        elif kind == "r":
            columns, rows = map(int, data.split("x"))
            judge.resize(rows, columns)
    return [line.rstrip() for line in judge.display]


@pytest.mark.sshd
def test_a_recording_plays_to_the_screen_that_was_there(signed_in, console, request):
    page = signed_in
    rows = request.getfixturevalue("screen")
    type_line(page, "seq 100; printf '\\033[32mgreen \\346\\274\\242\\n'; echo needle$((4+4))")
    expect(rows).to_contain_text("needle8")
    before = rows_on(page)
    page.set_viewport_size({"width": 1000, "height": 700})
    until(lambda: rows_on(page) < before, within_s=60)
    type_line(page, "vim -u NONE -N -n -R -c 'set number ruler' /etc/services")
    expect(rows).to_contain_text("1,1")
    page.keyboard.type("/443.tcp\nzt")
    # Printed last, when everything else is drawn.
    type_line(page, ":redraw | echo 'all dr' . 'awn'")
    expect(rows).to_contain_text("all drawn")
    shown = drawn(page)
    # Closed where vim is on the screen: this is where the recording ends.
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Close terminal").click()
    expect(page.get_by_text(re.compile("is being closed"))).to_be_visible()

    sockets = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(f"{console.url}/recordings/")
    page.locator("main table a").first.click()
    played, bar = page.locator(".player .xterm-rows"), page.get_by_role("slider", name="Time", exact=True)
    at = page.locator("[data-player-time]")
    expect(at).to_have_text(re.compile("^0:00 /"))
    # What was shown last is written a moment after the terminal was closed.
    until(lambda: page.get_by_text("still recording").count() == 0 or not page.reload(), within_s=90, every_s=0.3)
    expect(at).to_have_text(re.compile("^0:00 /"))
    bar.press("End")
    until(lambda: drawn(page) == shown, within_s=60)
    cast = page.request.get(console.url + page.get_by_role("link", name="Download").get_attribute("href"))
    assert last_screen(cast.text()) == shown
    bar.press("Home")
    expect(played).not_to_contain_text("https")
    page.get_by_label("Speed").select_option("8")
    page.get_by_label("Skip idle time").check()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("The end.")).to_be_visible()
    until(lambda: drawn(page) == shown, within_s=60)

    page.get_by_label("Search in what it shows").fill("needle8")
    page.get_by_role("button", name="Search").click()
    page.locator(".recording__hits a").first.click()
    expect(played).to_contain_text("needle8")
    assert flaws(page, LOOKS[1:]) == []
    assert not [url for url in sockets if "terminals" in url]
