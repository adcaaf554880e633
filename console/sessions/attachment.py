"""Owns a terminal of an instance in the terminal of a shell: ``attach`` is there what a page is in the browser."""

import asyncio
import base64
import functools
import os
import secrets
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection

from console.members.models import User
from console.sessions.escapes import Escape, Escapes
from console.sessions.models import Session, State
from console.sessions.own_terminal import OwnTerminal
from console.sessions.queue import WORKER_GONE
from console.sessions.relay import Line, Record, RelayBroken, parsed, reach
from console.sessions.remarks import Remarks, Way
from console.sessions.rights import Rights, note, rights_of
from console.sessions.shown import Shown
from console.sessions.typed import Typed

NOT_OPEN, INTERRUPTED = 255, 130
RECHECK_S = 3.0
OPENING_S = 60.0
RECONNECT_S = (0.1, 0.3, 1.0, 2.0)
# How long what was typed last may take to be sent before one leaves, and how long the goodbye may.
SEND_S = LEAVE_S = 1.0
_CTRL_C = b"\x03"
# What ends the process: the terminal is put back first.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Left:
    """How it ended here: the exit status, and what there is to say. ``is_over``: the terminal has ended, too."""

    status: int
    sentence: str
    is_over: bool = False


class Attachment:
    """One terminal, from when it is open until one leaves it or it ends.

    ``worker_is_alive`` says whether the worker of an id is; the database is used in one thread of its own.
    """

    def __init__(
        self, actor: User, row: Session, own: OwnTerminal, way: Way, *, worker_is_alive: Callable[[Any], bool]
    ) -> None:
        self._actor, self._session_id, self._own, self._way = actor, row.pk, own, way
        self._worker_is_alive = worker_is_alive
        self._tab = secrets.token_hex(8)
        self._escapes, self._typed, self._shown = Escapes(way.escape), Typed(), Shown(own)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attach")
        self._remarks = Remarks(own, self._typed, way, title=f"Terminal {row.pk} on {row.instance_name}")
        self._line: Line | None = None
        self._tries = 0
        self._arrived = asyncio.Event()

    async def stay(self) -> Left:
        """Show the terminal until one leaves it, or it ends."""
        loop = asyncio.get_running_loop()
        self._left: asyncio.Future[Left] = loop.create_future()
        # What breaks outside of a task must not leave the terminal as it is now.
        loop.set_exception_handler(self._break_off)
        for number in ENDING:
            loop.add_signal_handler(
                number,
                self._leave,
                Left(128 + number, f"Left by {number.name}; terminal {self._session_id} stays open."),
            )
        try:
            rights = await self._once_open()
            if rights is None:
                return await self._left
            return await self._show(rights)
        finally:
            if self._line is not None:
                await self._line.hang_up()
            await self._read(_close_connection)
            self._thread.shutdown(wait=False)

    async def _once_open(self) -> Rights | None:
        """Wait until the terminal is open; None when it is not to be, or somebody does not want to wait."""
        ends_at = asyncio.get_running_loop().time() + OPENING_S
        pause_s = 0.02
        while not self._left.done():
            rights = await self._read(rights_of, self._actor.pk, self._session_id)
            self._look_at(rights)
            if rights is not None and rights.state != State.OPENING:
                return None if self._left.done() else rights
            if asyncio.get_running_loop().time() > ends_at:
                self._leave(Left(NOT_OPEN, f"Terminal {self._session_id} was not open after {OPENING_S:.0f} s."))
            await asyncio.wait([self._left], timeout=pause_s)
            pause_s = min(pause_s * 1.5, 0.5)
        return None

    async def _show(self, rights: Rights) -> Left:
        loop = asyncio.get_running_loop()
        with self._own.raw(self):
            loop.add_signal_handler(signal.SIGWINCH, self._resize)
            loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                going = [tasks.create_task(self._keep_looking()), tasks.create_task(self._recheck(rights))]
                left = await self._left
                if not left.is_over:
                    await self._say_goodbye(going[0])
                for task in going:
                    task.cancel()
        if (lost := self._typed.unsent) and not left.is_over:
            return Left(left.status, f"{left.sentence} {lost:,} bytes typed here were not sent.")
        return left

    async def _say_goodbye(self, looking: asyncio.Task[None]) -> None:
        """Send what was typed, and let whoever comes next type."""
        try:
            async with asyncio.timeout(SEND_S):
                while self._line is not None and self._typed.unsent:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            # How many bytes are lost is said at the end.
            pass
        try:
            if self._line is not None:
                self._line.say(type="leave")
                self._line.finish()
                await asyncio.wait([looking], timeout=LEAVE_S)
        except RelayBroken:
            # It has gone first.
            return

    def _leave(self, left: Left) -> None:
        if not self._left.done():
            self._left.set_result(left)

    def _break_off(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._left.done():
            self._left.set_exception(context.get("exception") or RuntimeError(context["message"]))

    # ------------------------------------------------------------------ the line to the worker

    async def _keep_looking(self) -> None:
        """Show the terminal over one line after another, until it is known to have ended."""
        while not self._left.done():
            rights = await self._read(rights_of, self._actor.pk, self._session_id)
            if self._look_at(rights) or rights is None:
                return
            try:
                self._line = await reach(rights.worker)
                self._attach(self._line, rights)
                if not rights.is_mine and self._shown.upto is None:
                    await self._note("watch_terminal")
                await self._draw(self._line)
                return
            except RelayBroken:
                if self._line is not None:
                    self._line.close()
                    self._line = None
            if self._left.done():
                return
            if not await self._read(self._worker_is_alive, rights.worker):
                # What it wrote last counts, if it did.
                if not self._look_at(await self._read(rights_of, self._actor.pk, self._session_id)):
                    self._leave(Left(NOT_OPEN, WORKER_GONE))
                return
            await asyncio.sleep(RECONNECT_S[min(self._tries, len(RECONNECT_S) - 1)])
            self._tries += 1
            if self._tries == len(RECONNECT_S):
                self._remarks.not_reached()

    def _attach(self, line: Line, rights: Rights) -> None:
        size = self._own.size
        line.say(
            type="attach",
            session=self._session_id,
            tab=f"{self._actor.pk}:{self._tab}",
            is_owner=rights.is_mine,
            user_name=self._actor.get_username(),
            may_write=rights.may_write and not self._way.watch,
            columns=size.columns,
            rows=size.rows,
            **{"from": self._shown.upto},
        )

    async def _draw(self, line: Line) -> None:
        """Show what comes until the terminal ends. Raises: RelayBroken."""
        while True:
            payload = await line.receive()
            message = parsed(payload)
            if message is None:
                self._shown.add(Record.unpack(payload), is_writer=self._typed.is_writer)
                self._catch_up()
                await self._own.drained()
                if (upto := self._shown.to_acknowledge()) is not None:
                    line.say(type="ack", upto=upto)
            elif message["type"] == "ended":
                self._leave(_ended(message))
                return
            elif handler := _HANDLERS.get(message["type"]):
                handler(self, message)

    def _look_at(self, rights: Rights | None) -> bool:
        """Leave where the terminal is over, or not to be seen; say whether that is so."""
        if rights is None:
            self._leave(Left(NOT_OPEN, f"There is no terminal {self._session_id}."))
        elif rights.ended is not None:
            self._leave(_ended(rights.ended))
        elif not rights.may_watch:
            self._leave(Left(NOT_OPEN, f"{self._actor} may not see terminal {self._session_id}."))
        return self._left.done()

    async def _recheck(self, had: Rights) -> None:
        """Look every few seconds whether one may still look, and type."""
        while True:
            await asyncio.sleep(RECHECK_S)
            rights = await self._read(rights_of, self._actor.pk, self._session_id)
            if rights is not None and rights.ended is not None:
                # What it printed last comes over the line, before that.
                continue
            if self._look_at(rights):
                return
            if rights is not None and had.may_write and not rights.may_write:
                self._leave(Left(NOT_OPEN, f"{self._actor} may no longer type into terminal {self._session_id}."))
                return

    # ------------------------------------------------------------------ what the worker says

    def _attached(self, message: dict[str, Any]) -> None:
        is_first = self._shown.upto is None
        self._tries = 0
        self._shown.begin(message)
        self._remarks.note_size(message)
        if message["skipped"]:
            self._remarks.skipped(message["skipped"])
        if not is_first:
            self._note_who_types(message)
            return
        lost = self._typed.note_who_types(message)
        self._remarks.begin(message)
        if lost:
            self._remarks.typed_in_vain()
        if self._way.take_over and not self._typed.is_writer:
            self._tasks.create_task(self._take_over())
        self._send()

    def _note_who_types(self, message: dict[str, Any]) -> None:
        was_writer = self._typed.is_writer
        lost = self._typed.note_who_types(message)
        self._remarks.note_who_types(message, was_writer=was_writer, lost=lost)
        self._resize()
        self._send()

    def _prefix(self, message: dict[str, Any]) -> None:
        self._own.show(base64.b64decode(message["data"]))

    def _note_arrived(self, message: dict[str, Any]) -> None:
        self._typed.acknowledge(message["upto"])
        self._arrived.set()
        self._send()

    def _note_size(self, message: dict[str, Any]) -> None:
        self._remarks.note_size(message)
        self._catch_up()

    def _note_viewers(self, message: dict[str, Any]) -> None:
        self._remarks.note_viewers(message["names"])

    def _complain(self, message: dict[str, Any]) -> None:
        self._remarks.say(message["message"])

    def _note_answers(self, message: dict[str, Any]) -> None:
        self._remarks.note_answers(message["answers"])
        # A full-screen program draws anew what that was said over.
        self._resize(again=message["answers"] and self._own.is_full_screen)

    def _catch_up(self) -> None:
        """Make the remarks that wait; they would be lost in what was printed long ago."""
        if self._shown.is_up_to_date:
            self._remarks.catch_up()

    # ------------------------------------------------------------------ what happens here

    def pressed(self, data: bytes) -> None:
        """Take what was typed."""
        for event in self._escapes.feed(data):
            if isinstance(event, bytes):
                self._type(event)
            else:
                self._do(event)

    def hung_up(self) -> None:
        """Leave: there is no terminal here any more."""
        self._leave(Left(128 + signal.SIGHUP, "The terminal here is gone."))

    def _type(self, data: bytes) -> None:
        if self._typed.is_writer or self._shown.upto is None:
            self._typed.add(data)
            self._own.read(self._typed.has_room)
            self._send()
        elif self._way.watch and _CTRL_C in data:
            self._leave(self._detached())
        elif not data.startswith(b"\x1b"):
            # Not a terminal's answer to what the output asks it.
            self._remarks.typed_in_vain()

    def _do(self, escape: Escape) -> None:
        if escape is Escape.DETACH:
            self._leave(self._detached())
        elif escape is Escape.SUSPEND:
            self._suspend()
        elif escape is Escape.HELP:
            self._remarks.help()
        elif self._way.watch:
            self._remarks.say("You attached with --watch: you cannot take over.")
        elif not self._typed.is_writer:
            self._tasks.create_task(self._take_over())

    def _detached(self) -> Left:
        return Left(0, f"Detached from terminal {self._session_id}, which stays open.")

    async def _take_over(self) -> None:
        rights = await self._read(rights_of, self._actor.pk, self._session_id)
        if rights is None or not rights.may_write:
            self._remarks.say("You may not type into this terminal.")
            return
        await self._note("take_over_terminal")
        with suppress(RelayBroken):
            if self._line is not None:
                self._line.say(type="take_over")

    async def _note(self, action: str) -> None:
        await self._read(note, self._actor, action, self._session_id, self._way.os_user)

    def _suspend(self) -> None:
        """Stop this process until the shell continues it, with the terminal as the shell wants it."""
        was_full_screen = self._own.is_full_screen
        with self._own.set_back():
            os.kill(os.getpid(), signal.SIGSTOP)
        self._resize(again=was_full_screen)

    def _resize(self, *, again: bool = False) -> None:
        """Tell the size here; ``again`` has a full-screen program draw anew though it is the same."""
        if self._line is None or not self._typed.is_writer:
            return
        size = self._own.size
        try:
            if again:
                self._line.say(type="resize", columns=size.columns, rows=size.rows - 1)
            self._line.say(type="resize", columns=size.columns, rows=size.rows)
        except RelayBroken:
            # The next line begins with the size.
            return

    def _send(self) -> None:
        if self._line is None:
            return
        try:
            for record in self._typed.to_send():
                self._line.send(record.pack())
        except RelayBroken:
            # The next line says from where on it is sent again.
            return
        self._own.read(self._typed.has_room)

    async def _read(self, call: Callable[..., Result], *arguments: Any) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(call, *arguments))


def _ended(message: dict[str, Any]) -> Left:
    status = message["exit_status"]
    return Left(NOT_OPEN if status is None else status, message["message"], is_over=True)


def _close_connection() -> None:
    connection.close()


_HANDLERS: dict[str, Callable[[Attachment, dict[str, Any]], None]] = {
    "attached": Attachment._attached,
    "prefix": Attachment._prefix,
    "size": Attachment._note_size,
    "input_ack": Attachment._note_arrived,
    "writer": Attachment._note_who_types,
    "viewers": Attachment._note_viewers,
    "answers": Attachment._note_answers,
    "unrecorded": Attachment._complain,
    "error": Attachment._complain,
}
