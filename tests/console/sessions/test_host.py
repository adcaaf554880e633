"""One terminal and its pages over a real relay; the terminal is this machine's."""

import asyncio
import base64
import os
import uuid
from contextlib import asynccontextmanager, suppress

import pytest

from console.sessions import host as hosts
from console.sessions.host import CREDIT_BYTES, TerminalHost
from console.sessions.recorder import NoRecorder
from console.sessions.relay import Record, RelayBroken, parsed, reach, serving
from console.sessions.screen import Scrollback
from instances.engine import local
from instances.engine.local import LocalConnection
from instances.engine.transport import Size
from tests.support.until import until

SIZE = Size(80, 24)


class Page:
    """The web process's side of one page."""

    def __init__(self, line):
        self.line = line
        self.told = []
        self.shown = bytearray()

    def attach(self, tab, **more):
        self.line.say(
            **{"type": "attach", "tab": tab, "user_name": tab, "is_owner": True, "may_write": True, "from": None}
            | {"columns": 80, "rows": 24}
            | more
        )

    def type(self, offset, text):
        self.line.send(Record(offset, text).pack())

    async def hear(self):
        payload = await self.line.receive()
        if (message := parsed(payload)) is None:
            record = Record.unpack(payload)
            self.shown += record.data
            self.line.say(type="ack", upto=record.offset + len(record.data))
        else:
            self.told.append(message)

    async def until(self, condition):
        try:
            async with asyncio.timeout(60):
                while not condition():
                    await self.hear()
        except TimeoutError:
            raise AssertionError(f"{bytes(self.shown[-300:])!r} {self.told[-5:]}") from None

    async def heard(self, kind, **fields):
        wanted = {"type": kind, **fields}.items()
        await self.until(lambda: any(wanted <= one.items() for one in self.told))
        return next(one for one in reversed(self.told) if wanted <= one.items())

    async def shows(self, text):
        await self.until(lambda: text in self.shown)


class Room:
    """A terminal and a way to look at it."""

    def __init__(self, worker, host, watched):
        self.worker = worker
        self.host = host
        self.watched = watched
        self.pages = []

    async def page(self, tab="one", **more):
        page = Page(await reach(self.worker))
        self.pages.append(page)
        page.attach(tab, **more)
        return page


@pytest.fixture
def room(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    environment = {"HOME": str(tmp_path), "SHELL": "/bin/sh", "PATH": os.defpath}
    monkeypatch.setattr(local, "_environment", lambda: environment)

    @asynccontextmanager
    async def make():
        worker, watched = uuid.uuid4(), []
        host = TerminalHost(SIZE, recorder=NoRecorder(), is_recorded=True, watched=watched.append)

        async def show(line):
            with suppress(RelayBroken, ValueError, KeyError):
                await host.serve(line, parsed(await line.receive()))

        async with serving(worker, show):
            terminal = await LocalConnection().open_terminal(SIZE, sink=host)
            typing = asyncio.get_running_loop().create_task(host.type_into(terminal))
            here = Room(worker, host, watched)
            try:
                yield here
            finally:
                for page in here.pages:
                    await page.line.hang_up()
                typing.cancel()
                terminal.close()
                await terminal.until(lambda: terminal.exit is not None, 60)

    return make


async def test_what_is_typed_arrives_and_is_acknowledged(room, monkeypatch):
    monkeypatch.setattr(hosts, "ACK_EVERY_BYTES", 20)
    async with room() as here:
        page = await here.page()
        attached = await page.heard("attached")
        assert (attached["writer"], attached["recorded"], attached["reset"]) == (True, True, True)
        page.type(0, b"echo $((6*7)); stty size\r")
        await page.shows(b"42\r\n24 80")
        assert (await page.heard("input_ack"))["upto"] == 25
        assert here.watched == [True]


async def test_what_is_sent_twice_is_typed_once(room):
    async with room() as here:
        page = await here.page()
        page.type(0, b"stty -echo; ec")
        page.type(0, b"stty -echo; echo on")
        page.type(7, b"cho; echo once\r")
        # The second begins before what was taken, and goes on after it.
        await page.shows(b"once\r\n")
        assert here.host._taken == 22


async def test_a_gap_in_what_is_typed_ends_the_line(room):
    async with room() as here:
        page = await here.page()
        await page.heard("attached")
        page.type(5, b"rm -rf /important")
        with pytest.raises(RelayBroken):
            await page.until(lambda: False)
        assert here.host._taken == 0


async def test_a_page_that_comes_back_goes_on_and_another_starts_anew(room):
    async with room() as here:
        page = await here.page()
        page.type(0, b"echo $((6*7))\r")
        await page.shows(b"42\r\n")
        page.line.close()
        again = await here.page(**{"from": here.host._scrollback.end})
        attached = await again.heard("attached")
        assert (attached["reset"], attached["writer"], attached["input_upto"]) == (False, True, 14)
        assert not again.shown
        other = await here.page("two")
        attached = await other.heard("attached")
        assert (attached["reset"], attached["writer"], attached["writer_name"]) == (True, False, "one")
        await other.shows(bytes(page.shown))


async def test_what_nobody_reads_is_not_sent_for_over_and_over(room):
    async with room() as here:
        page = await here.page()
        page.type(0, b"stty raw -echo; echo $((50+8)); sleep 1000\r")
        await page.shows(b"58")
        begun = here.host._taken
        # The first half fills what lies between here and the program.
        for upto in (begun + 96_000, begun + 192_000):
            for offset in range(upto - 96_000, upto, 16_000):
                page.type(offset, b"x" * 16_000)
            while here.host._taken < upto:  # noqa: ASYNC110
                await asyncio.sleep(0)
        page.line.close()
        attached = await (await here.page()).heard("attached")
        assert attached["input_upto"] == begun + 192_000
        assert begun < attached["written_upto"] < begun + 192_000


async def test_who_only_looks_types_nothing_until_it_takes_over(room):
    async with room() as here:
        first, second = await here.page("one"), None
        await first.heard("attached")
        second = await here.page("two")
        await second.heard("attached", writer=False)
        second.type(0, b"echo from the second\r")
        await second.heard("error")
        second.line.say(type="take_over")
        told = await second.heard("writer", writer=True)
        assert (await first.heard("writer", writer=False))["writer_name"] == "two"
        second.type(told["input_upto"], b"echo $((40+2))\r")
        await first.shows(b"42\r\n")
        # The former writer types on in its own generation: nothing of it gets through.
        first.type(0, b"echo from the first\r")
        await first.heard("error")
        assert b"from the" not in first.shown


async def test_who_typed_before_is_told_how_far_that_was_taken(room):
    async with room() as here:
        first, second = await here.page("one"), await here.page("two")
        first.type(0, b"echo $((6*7))\r")
        await second.shows(b"42\r\n")
        second.line.say(type="take_over")
        told = await second.heard("writer", writer=True)
        assert (await first.heard("writer", writer=False))["typed_upto"] == 14
        second.type(told["input_upto"], b"echo $((40+3))\r")
        await first.shows(b"43\r\n")
        first.line.close()
        back = await here.page("one")
        attached = await back.heard("attached")
        assert (attached["typed_upto"], attached["input_upto"]) == (14, 29)


async def test_who_may_not_type_does_not_take_over(room):
    async with room() as here:
        watcher = await here.page("two", may_write=False)
        assert not (await watcher.heard("attached"))["writer"]
        watcher.line.say(type="take_over")
        watcher.type(0, b"x")
        await watcher.heard("error")
        writer = await here.page("one")
        assert (await writer.heard("attached"))["writer"]


async def test_who_does_not_own_it_types_only_after_taking_it_over(room):
    async with room() as here:
        page = await here.page("two", is_owner=False)
        assert not (await page.heard("attached"))["writer"]
        page.line.say(type="take_over")
        await page.heard("writer", writer=True)


async def test_a_page_that_was_closed_leaves_its_place_and_one_that_was_cut_off_keeps_it(room, monkeypatch):
    monkeypatch.setattr(hosts, "AWAY_S", 3600.0)
    async with room() as here:
        first = await here.page("one")
        await first.heard("attached", writer=True)
        first.line.close()
        await asyncio.to_thread(until, lambda: not here.host.viewers, 60)
        second = await here.page("two")
        await second.heard("attached", writer=False)
        back = await here.page("one")
        assert (await back.heard("attached"))["generation"] == 1
        back.line.say(type="leave")
        back.line.close()
        await asyncio.to_thread(until, lambda: here.host.viewers < 2, 60)
        third = await here.page("three")
        assert (await third.heard("attached"))["writer"]


async def test_the_brake_holds_for_who_types_and_who_looks_skips(room, monkeypatch):
    monkeypatch.setattr(hosts, "Scrollback", lambda size: Scrollback(size, limit_bytes=64 * 1024))
    async with room() as here:
        writer, slow = await here.page("one"), await here.page("two")
        await writer.heard("attached", writer=True)
        await slow.heard("attached")
        writer.type(0, b"head -c 3000000 /dev/zero | tr '\\0' x; echo $((6*7))\r")
        await asyncio.to_thread(until, lambda: here.host._is_paused, 60)
        assert here.host._scrollback.end < CREDIT_BYTES + 200_000
        await writer.shows(b"42\r\n")
        # What it acknowledged last is on its way.
        await asyncio.to_thread(until, lambda: not here.host._is_paused, 60)
        # It acknowledged nothing meanwhile; what is gone is counted.
        await slow.until(lambda: any(one.get("skipped") for one in slow.told))
        attached = next(one for one in slow.told if one.get("skipped"))
        assert len(slow.shown) + attached["skipped"] == attached["output_from"] == attached["gap"]
        await slow.shows(b"42\r\n")


async def test_modes_of_what_is_gone_come_first(room, monkeypatch):
    monkeypatch.setattr(hosts, "Scrollback", lambda size: Scrollback(size, limit_bytes=1024))
    async with room() as here:
        page = await here.page()
        page.type(0, b"printf '\\033[?1049h\\033[?2004h'; head -c 100000 /dev/zero | tr '\\0' x; echo $((6*7))\r")
        await page.shows(b"42\r\n")
        other = await here.page("two")
        prefix = base64.b64decode((await other.heard("prefix"))["data"])
        assert b"\x1b[?1049h" in prefix


async def test_the_size_is_the_writers_and_reaches_everybody_in_its_place(room):
    async with room() as here:
        writer, other = await here.page("one"), await here.page("two", columns=10, rows=5)
        await other.heard("attached", columns=80, rows=24)
        other.line.say(type="resize", columns=11, rows=6)
        writer.line.say(type="resize", columns=120, rows=40)
        await other.heard("size", columns=120, rows=40)
        writer.type(0, b"stty size\r")
        await writer.shows(b"40 120")


async def test_everybody_is_told_the_end_after_the_last_output(room):
    async with room() as here:
        page = await here.page()
        page.type(0, b"echo $((6*7))\r")
        await page.shows(b"42\r\n")
        here.host.end("closed", "Closed by somebody.", None)
        assert (await page.heard("ended"))["message"] == "Closed by somebody."
        late = await here.page("two")
        await late.heard("ended")
        assert b"42\r\n" in late.shown


async def test_who_looks_is_told_that_the_instance_does_not_answer(room):
    async with room() as here:
        page = await here.page()
        await page.heard("attached")
        here.host.note_answers(True)
        here.host.note_answers(False)
        await page.heard("answers", answers=False)
        late = await here.page("two")
        await late.heard("answers", answers=False)
        assert late.told[0]["type"] == "attached"
        here.host.note_answers(True)
        await page.heard("answers", answers=True)
        await late.heard("answers", answers=True)
        assert [one["answers"] for one in page.told if one["type"] == "answers"] == [False, True]


async def test_who_looks_is_told_that_the_recording_broke_off(room):
    async with room() as here:
        page = await here.page()
        assert (await page.heard("attached"))["recorded"]
        # This one keeps nothing.
        here.host.look_at_recording()
        here.host.look_at_recording()
        assert "not recorded" in (await page.heard("unrecorded"))["message"]
        late = await here.page("two")
        assert not (await late.heard("attached"))["recorded"]
        assert [one["type"] for one in page.told].count("unrecorded") == 1


@pytest.mark.parametrize("said", [b"x", b"{", b"[]", b'{"type": "ack"}', b"\x02" + bytes(8) + b"x"])
async def test_nonsense_ends_that_line_alone(said, room):
    async with room() as here:
        page, other = await here.page("one"), await here.page("two")
        await page.heard("attached")
        page.line.send(said)
        with pytest.raises(RelayBroken):
            await page.until(lambda: False)
        await other.heard("viewers", names=[])


async def test_nobody_reaches_a_worker_that_is_not_there(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    with pytest.raises(RelayBroken):
        await reach(uuid.uuid4())
