"""A terminal in a real browser: opened, typed and pasted into, and what its screen shows against what it should."""

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyte
from playwright.sync_api import Locator, Page, expect

HEAD = 9
# What vim asks and sets that draws nothing; pyte stumbles over some of it.
UNDRAWN = re.compile(rb"\x1b\[[?>][\d;]*[mcn]|\x1b\[\??\d+\$p|\x1bP[^\x1b]*\x1b\\\\|\x1b\[[\d;]*t")


class Shown:
    """What went between a page and the console for its terminal, from now on.

    ``told`` are the messages beside what the instance printed, ``typed`` is how many bytes the page sent: both as of
    the last call of anything of the page, as Playwright hands out what it heard only then.
    """

    def __init__(self, page: Page) -> None:
        self._pieces: list[bytes | tuple[int, int]] = []
        self.told: list[dict[str, Any]] = []
        self.typed = 0
        page.on("websocket", self._look)

    def _look(self, socket):
        if "terminals" in socket.url:
            socket.on("framereceived", self._take)
            socket.on("framesent", self._note)

    def _take(self, payload):
        if isinstance(payload, bytes):
            self._pieces.append(payload[HEAD:])
            return
        message = json.loads(payload)
        self.told.append(message)
        if message["type"] in {"attached", "size"}:
            self._pieces.append((message["rows"], message["columns"]))

    def _note(self, payload):
        if isinstance(payload, bytes):
            self.typed += len(payload) - HEAD

    def times(self, kind: str) -> int:
        """How often the page was told something of this kind."""
        return sum(message["type"] == kind for message in self.told)

    @property
    def lines(self) -> list[str]:
        """The screen as pyte draws it, each piece in the size of its time, without the blanks at the lines' ends."""
        screen = pyte.Screen(80, 24)
        stream = pyte.ByteStream(screen)
        for size, pieces in itertools.groupby(self._pieces, lambda piece: piece if isinstance(piece, tuple) else None):
            if size:
                screen.resize(*size)
            else:
                stream.feed(UNDRAWN.sub(b"", b"".join(pieces)))
        return [line.rstrip() for line in screen.display]


@contextmanager
def terminal_on(page: Page, instance: str) -> Iterator[Locator]:
    """Open a terminal on an instance in the list of a page; the rows of its screen, with an empty prompt."""
    page.get_by_role("link", name=instance, exact=True).click()
    page.get_by_role("button", name="Terminal").click()
    expect(page.get_by_role("heading", name=instance)).to_be_visible()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text(re.compile(r"[$#] "))
    type_line(page, "PS1='> '; clear; set +o history")
    expect(rows).to_contain_text(re.compile(r"^> \s*$"))
    try:
        yield rows
    finally:
        # Closing the context beside a socket that is being closed has waited for ever.
        page.goto("about:blank")


def drawn(page: Page) -> list[str]:
    """The lines on the screen of the page, without the blanks at their ends."""
    rows = page.locator(".xterm-rows > div").all_text_contents()
    return [row.replace("\xa0", " ").rstrip() for row in rows]


def rows_on(page: Page) -> int:
    """How many rows the screen of the page has."""
    return page.locator(".xterm-rows > div").count()


def told_size(page: Page) -> tuple[int, int]:
    """The rows and columns that ``stty size`` printed last; zeros while it has not."""
    last = ([line for line in drawn(page) if re.fullmatch(r"\d+ \d+", line)] or ["0 0"])[-1]
    rows, columns = map(int, last.split())
    return rows, columns


def type_line(page: Page, text: str) -> None:
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def paste(page: Page, text: str) -> None:
    """Paste as Ctrl+Shift+V does, without a clipboard."""
    page.locator(".xterm-helper-textarea").evaluate(
        "(field, text) => { const clipboardData = new DataTransfer(); clipboardData.setData('text/plain', text);"
        " field.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true})); }",
        text,
    )
