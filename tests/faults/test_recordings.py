"""Recordings of real terminals: played again they come to the same screen, and what is not shown is not in them."""

import asyncio
import json
import os
import re
import signal

import pyte
import pytest

from tests.support.fleet import register
from tests.support.terminal_page import TerminalPage
from tests.support.until import until
from tests.support.visitor import Visitor


class SizedPage(TerminalPage):
    """A page that remembers from which byte on it had which size."""

    async def _hear(self, message):
        await super()._hear(message)
        if message["type"] in {"attached", "size"}:
            sizes = self.__dict__.setdefault("sizes", [])
            sizes.append((self.offset, message["columns"], message["rows"]))


@pytest.fixture(scope="module")
def open_page(console, sshd, remote_user):
    """Open a terminal and return a page of it."""
    (instance,) = register(console, sshd, remote_user, 1, net="127.8.1")

    def open_one(**how):
        visitor = Visitor(console)
        answer = visitor.post(f"/instances/{instance}/terminal/")
        session = int(answer.headers["Location"].strip("/").split("/")[-1])
        return SizedPage(console, visitor, session, **how)

    return open_one


def newest(page):
    """The address of the newest recording."""
    return re.search(r"/recordings/\d+/", page.visitor.get("/recordings/").body.decode())[0]


def events_of(page):
    """The header and the events of the newest recording."""
    file = page.visitor.get(newest(page) + "data").body.decode()
    header, *events = [json.loads(line) for line in file.splitlines()]
    return header, events


def replayed(header, events):
    """The screen that a recording comes to."""
    screen = pyte.Screen(header["width"], header["height"])
    stream = pyte.Stream(screen)
    for _, kind, text in events:
        if kind == "o":
            stream.feed(text)
        else:
            columns, rows = map(int, text.split("x"))
            screen.resize(rows, columns)
    return screen


def seen(page):
    """The screen that the page came to."""
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    ends = [offset for offset, _, _ in page.sizes[1:]] + [len(page.shown)]
    for (offset, columns, rows), end in zip(page.sizes, ends, strict=True):
        screen.resize(rows, columns)
        stream.feed(bytes(page.shown[offset:end]))
    return screen


async def test_a_recording_comes_to_the_same_screen_and_holds_nothing_that_was_not_shown(open_page):
    page = open_page(columns=100, rows=30)
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"stty size\r")
        await page.until(b"30 100")
        await page.type(b"for i in 1 2 3 4 5 6; do printf '\\033[3%sm\\303\\251%s\\033[0m ' $i $i; done; echo done\r")
        await page.until("é6\x1b[0m done".encode())
        await page.type(b"read -rs -p 'Secret''? ' word; echo; echo $((${#word} * 1000))\r")
        await page.until(b"Secret? ")
        await page.type(b"canary-typed\r")
        await page.until(b"12000\r\n")
        await page.say(type="resize", columns=77, rows=20)
        await page.type(b"stty size\r")
        await page.until(b"20 77")
        await page.type(b"TERM=xterm-256color top -n1; echo $((6*7)).\r")
        await page.until(b"42.\r\n")
        await page.type(b"exit\r")
        await living
    header, events = events_of(page)
    assert (header["width"], header["height"]) == (80, 24)
    assert [text for _, kind, text in events if kind == "r"] == ["100x30", "77x20"]
    assert "".join(text for _, kind, text in events if kind == "o") == page.shown.decode()
    again, live = replayed(header, events), seen(page)
    assert again.buffer == live.buffer
    assert again.display == live.display
    assert any("COMMAND" in line for line in live.display)
    assert (again.cursor.x, again.cursor.y) == (live.cursor.x, live.cursor.y)
    assert "canary-typed" not in str(events)
    times = [seconds for seconds, _, _ in events]
    assert times == sorted(times)
    found = page.visitor.get(newest(page) + "?q=LOAD").body.decode()
    assert "load average" in found


async def test_when_its_worker_dies_the_page_is_told_and_what_was_recorded_stays(open_page):
    page = open_page()
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"echo before $((6*7))\r")
        await page.until(b"before 42\r\n")
        await asyncio.to_thread(until, lambda: "before 42" in str(events_of(page)), every_s=0.5)
        os.kill(page.console.child("worker"), signal.SIGKILL)
        await living
    assert page.ended["reason"] == "console_restarted"
    assert "before 42" in str(events_of(page))
    assert "still recording" not in page.visitor.get(newest(page)).body.decode()
