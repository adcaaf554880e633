"""A terminal attached to in a real PTY, over a real relay; the shell is this machine's."""

import asyncio
import os
import signal
import termios
import uuid
from contextlib import asynccontextmanager, suppress

import pytest
from asgiref.sync import sync_to_async

from console.sessions.attachment import Attachment
from console.sessions.host import TerminalHost
from console.sessions.models import Session
from console.sessions.own_terminal import OwnTerminal
from console.sessions.recorder import NoRecorder
from console.sessions.relay import RelayBroken, parsed, serving
from console.sessions.remarks import Way
from instances.access.models import Grant, Role
from instances.audit.models import AuditEntry
from instances.engine.local_terminal import open_local_terminal
from instances.engine.transport import Size
from instances.engine.types import Stream
from tests.support.factories import InstanceFactory, UserFactory, session
from tests.support.sockets import is_waiting, slow_to_read

pytestmark = pytest.mark.django_db(transaction=True)


class Seat:
    """Somebody at a shell, attached."""

    def __init__(self, row, actor, way):
        self.keys, self._screen = os.openpty()
        os.set_blocking(self.keys, False)
        self._usual = termios.tcgetattr(self._screen)
        self.own = OwnTerminal(self._screen)
        self.attachment = Attachment(actor, row, self.own, way, worker_is_alive=lambda worker: True)
        self.task = asyncio.get_running_loop().create_task(self.attachment.stay())
        self.shown = bytearray()

    def type(self, text):
        os.write(self.keys, text)

    async def until(self, *texts):
        try:
            async with asyncio.timeout(60):
                while not all(text in self.shown for text in texts):
                    assert not self.task.done(), (self.task, bytes(self.shown))
                    await self.look()
        except TimeoutError:
            raise AssertionError(f"{texts} not in {bytes(self.shown)!r}") from None

    async def left(self):
        async with asyncio.timeout(60):
            while not self.task.done():
                await self.look()
        return self.task.result()

    @property
    def is_as_it_was(self):
        return termios.tcgetattr(self._screen) == self._usual

    async def look(self):
        with suppress(BlockingIOError):
            self.shown += os.read(self.keys, 65536)
        await asyncio.sleep(0.005)

    def close(self):
        self.task.cancel()
        for handle in (self.keys, self._screen):
            os.close(handle)
        self.own.close()


class Room:
    def __init__(self, row, host):
        self.row, self.host = row, host
        self.seats = []
        self.lines = []

    def sit(self, actor=None, **way):
        seat = Seat(self.row, actor or self.row.owner, Way(**way))
        self.seats.append(seat)
        return seat


@pytest.fixture
def row(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    owner = UserFactory(username="olga", role=Role.OPERATOR)
    return session(InstanceFactory(name="web-1"), owner, kind="terminal", state="detached", worker=uuid.uuid4())


@pytest.fixture
def manager():
    return UserFactory(username="mona", role=Role.ADMINISTRATOR)


@asynccontextmanager
async def opened(row):
    host = TerminalHost(Size(80, 24), recorder=NoRecorder(), is_recorded=True, watched=lambda is_watched: None)
    room = Room(row, host)

    async def show(line):
        room.lines.append(line)
        with suppress(RelayBroken, ValueError, KeyError):
            await host.serve(line, parsed(await line.receive()))

    async with serving(row.worker, show):
        # Not root's own shell: whatever its start-up files do.
        environment = {"HOME": "/", "SHELL": "/bin/sh", "TERM": "xterm", "PATH": os.defpath}
        terminal = await open_local_terminal(environment, "/", Size(80, 24), sink=host)
        typing = asyncio.get_running_loop().create_task(host.type_into(terminal))
        try:
            yield room
        finally:
            for seat in room.seats:
                seat.close()
            typing.cancel()
            terminal.close()
            await terminal.until(lambda: terminal.exit is not None, 60)


async def audited():
    return await sync_to_async(lambda: list(AuditEntry.objects.order_by("pk").values_list("action", "actor_name")))()


async def test_who_comes_second_watches_until_taking_over(row, manager):
    async with opened(row) as room:
        first = room.sit()
        await first.until(b"[Terminal", b"on web-1. Recorded. Enter ~ ? for help.]")
        first.type(b"echo $((6*7))\r")
        await first.until(b"42\r\n")
        second = room.sit(manager)
        await second.until(b"olga types; you are only watching. Enter ~ t takes over.", b"42\r\n")
        await first.until(b"[mona looks on.]")
        second.type(b"echo in vain\r")
        await second.until(b"[What you type is not sent. olga types;")
        second.type(b"~t")
        await second.until(b"[You type now.]")
        await first.until(b"[mona types; you are only watching.")
        second.type(b"echo $((40+3))\r")
        await first.until(b"43\r\n")
        assert b"in vain\r\n" not in first.shown
        assert b"were not sent" not in first.shown
        assert await audited() == [("watch_terminal", "mona"), ("take_over_terminal", "mona")]


async def test_who_only_watches_sends_nothing_and_leaves_with_ctrl_c(row):
    async with opened(row) as room:
        seat = room.sit(watch=True)
        await seat.until(b"Nobody types; you are only watching. Enter")
        seat.type(b"~t")
        await seat.until(b"you cannot take over")
        seat.type(b"\x03")
        left = await seat.left()
        assert (left.status, left.sentence) == (0, f"Detached from terminal {row.pk}, which stays open.")
        assert room.host._taken == 0


async def test_lines_that_break_lose_and_double_nothing(row):
    async with opened(row) as room:
        seat = room.sit()
        seat.type(b"stty -echo; echo si''lent; cat\r")
        await seat.until(b"silent\r\n")
        for number in range(200):
            seat.type(b"%03d\r" % number)
            if number % 50 == 25:
                # The line to break is the one that came after the last break.
                while len(room.lines) <= number // 50:
                    await seat.look()
                room.lines[-1].close()
            await seat.look()
        await seat.until(b"199\r\n")
        expected = b"".join(b"%03d\r\n" % number for number in range(200))
        assert expected in bytes(seat.shown)
        assert len(room.lines) >= 5


async def test_what_was_asked_of_a_terminal_before_is_not_answered_by_the_next(row):
    async with opened(row) as room:
        seat = room.sit()
        # One process: Ctrl+C between the shell's two would be lost.
        seat.type(b"sh -c \"printf 'asks\\033[6n''done\\n'; exec cat\"\r")
        await seat.until(b"asks\x1b[6ndone")
        seat.type(b"\r~.")
        assert (await seat.left()).status == 0
        again = room.sit()
        await again.until(b"asksdone")
        again.type(b"\x03")
        await again.until(b"^C")
        again.type(b"printf 'asks\\033[5n''now\\n'\r")
        await again.until(b"asks\x1b[5nnow")
        assert b"\x1b[6n" not in again.shown


async def test_who_leaves_while_the_terminal_prints_makes_room_at_once(row, monkeypatch):
    """What a worker writes to somebody who is gone must not cost it what was said before that."""
    monkeypatch.setattr("console.sessions.attachment.LEAVE_S", 60.0)
    async with opened(row) as room:
        seat = room.sit()
        await seat.until(b"[Terminal")
        reads_on = slow_to_read(room.lines[0])
        seat.type(b"true")
        await seat.until(b"true")
        seat.type(b"\r~.")
        await is_waiting(room.lines[0], b"leave")
        room.host.write(Stream.STDOUT, b"printed meanwhile\r\n")
        await asyncio.sleep(0.1)
        reads_on.set()
        assert (await seat.left()).status == 0
        again = room.sit()
        await again.until(b"Recorded. Enter ~ ? for help.]")
        assert b"only watching" not in again.shown


async def test_an_instance_that_does_not_answer_is_told_and_a_full_screen_drawn_anew(row):
    async with opened(row) as room:
        seat = room.sit()
        seat.type(b"sh -c \"trap 'printf dra''wn' WINCH; printf '\\033[?1049hfu''ll'; while :; do sleep 0.05; done\"\r")
        await seat.until(b"full")
        room.host.note_answers(False)
        await seat.until(b"[The instance does not answer. What you type is sent when it does.]")
        room.host.note_answers(True)
        await seat.until(b"[It answers again.]", b"drawn")


async def test_whoever_may_no_longer_look_is_sent_away(row, manager, monkeypatch):
    monkeypatch.setattr("console.sessions.attachment.RECHECK_S", 0.05)
    async with opened(row) as room:
        seat = room.sit(manager)
        await seat.until(b"you are only watching")
        await sync_to_async(Grant.objects.filter(user=manager).delete)()
        left = await seat.left()
        assert (left.status, left.sentence) == (255, f"There is no terminal {row.pk}.")


async def test_a_signal_and_an_error_leave_the_terminal_as_it_was(row):
    async with opened(row) as room:
        seat = room.sit()
        await seat.until(b"for help")
        os.kill(os.getpid(), signal.SIGTERM)
        assert (await seat.left()).status == 128 + signal.SIGTERM
        assert seat.is_as_it_was
        broken = room.sit()
        await broken.until(b"for help")
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        assert not broken.is_as_it_was
        with pytest.raises(ExceptionGroup):
            await broken.left()
        assert broken.is_as_it_was


async def test_one_that_has_ended_says_how(row):
    await sync_to_async(Session.objects.filter(pk=row.pk).update)(
        state="closed", message="The shell ended with exit status 3.", exit_status=3
    )
    seat = Seat(row, row.owner, Way())
    left = await seat.left()
    seat.close()
    assert (left.status, left.sentence) == (3, "The shell ended with exit status 3.")


async def test_a_worker_that_is_gone_is_said(row):
    seat = Seat(row, row.owner, Way())
    seat.attachment._worker_is_alive = lambda worker: False
    left = await seat.left()
    seat.close()
    assert left.status == 255
    assert left.sentence.startswith("The console's worker that held it ended.")
