"""Owns the tapes of the terminals that one worker holds, and takes them to the database about once a second."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.utils import timezone

from console.recordings import services
from console.recordings.asciicast import Room, Tape
from console.recordings.models import Recording
from console.recordings.services import Addition
from console.sessions.models import Session
from console.sessions.queue import Order
from instances.engine.transport import Size

logger = logging.getLogger(__name__)

FLUSH_S = 1.0
# So much is taken at once, however long ago the last time was; packing it takes some 15 ms.
FLUSH_BYTES = 1024 * 1024
# Between two transactions others write: at least this long, and as long as the last one took.
PAUSE_S = 0.02

InDatabase = Callable[..., Awaitable[Any]]


@dataclass(eq=False)
class _Open:
    """A recording that goes on, and how much of its file is written."""

    recording_id: int
    tape: Tape
    written: int


class Recordings:
    """What one worker records. All terminals share a transaction; none waits for it."""

    def __init__(self, in_database: InDatabase) -> None:
        self._in_database = in_database
        self._room = Room()
        self._open: dict[Tape, _Open] = {}
        self._turn = asyncio.Lock()
        self._has_some, self._has_much = asyncio.Event(), asyncio.Event()

    def tape_for(self, order: Order) -> Tape:
        """Return what a terminal can be recorded on from its first byte; ``begin`` follows once it is open."""
        size = Size(order.columns, order.rows)
        return Tape(size, title=order.title, started_at=timezone.now(), room=self._room, changed=self._note)

    async def begin(self, tape: Tape, session_id: int) -> None:
        """Begin to write a tape to the database, at once: a file without its header is none."""
        found = await self._in_database(_begin, session_id, tape)
        self._open[tape] = begun = _Open(found.pk, tape, found.size)
        async with self._turn:
            await self._write([begun])

    async def end(self, tape: Tape) -> None:
        """Write the rest of a tape, and that this was all; nothing is written of one that was not begun."""
        ended_ms = tape.now_ms
        tape.end()
        if (open_one := self._open.get(tape)) is not None:
            async with self._turn:
                while not tape.is_empty:
                    await self._write([open_one])
            del self._open[tape]
            await self._in_database(services.end, open_one.recording_id, duration_ms=ended_ms)
        # What still comes must not take the others' room.
        tape.throw_away()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Take what is recorded to the database, for as long as the block runs."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._keep())
            try:
                yield
            finally:
                task.cancel()

    def _note(self) -> None:
        self._has_some.set()
        if self._room.used_bytes >= FLUSH_BYTES:
            self._has_much.set()

    async def _keep(self) -> None:
        while True:
            await self._has_some.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._has_much.wait()
            self._has_some.clear()
            self._has_much.clear()
            await self._flush()

    async def _flush(self) -> None:
        """Write what waited when it began; what came since waits for the next time."""
        waiting = [one for one in self._open.values() if not one.tape.is_empty]
        while waiting:
            started = monotonic()
            async with self._turn:
                waiting = await self._write(waiting)
            await asyncio.sleep(max(PAUSE_S, monotonic() - started))
        if any(not one.tape.is_empty for one in self._open.values()):
            self._note()

    async def _write(self, those: list[_Open]) -> list[_Open]:
        """Write what waits on some tapes, about ``FLUSH_BYTES`` in all; return those it was not the turn of."""
        written, left, room = list[tuple[_Open, Addition]](), list[_Open](), FLUSH_BYTES
        for one in those:
            if room <= 0:
                left.append(one)
            elif (lines := one.tape.take(room)) is not None:
                room -= len(lines.data)
                place = (one.recording_id, one.written)
                written.append((one, Addition(*place, lines.data, lines.events, lines.until_ms, lines.lost)))
                one.written += len(lines.data)
        if written:
            await self._append(written)
        return left

    async def _append(self, written: list[tuple[_Open, Addition]]) -> None:
        try:
            await self._in_database(services.append, [addition for _, addition in written])
        except Exception:
            # The last resort: terminals and commands of this worker go on without a recording.
            logger.exception("Recordings could not be written", extra={"action": "record"})
            for one, _ in written:
                one.tape.throw_away()


def _begin(session_id: int, tape: Tape) -> Recording:
    row = Session.objects.get(pk=session_id)
    return services.begin(
        session_id=row.pk,
        instance_id=row.instance_id,
        instance_name=row.instance_name,
        owner_id=row.owner_id,
        owner_name=row.owner_name,
        started_at=tape.started_at,
        columns=tape.size.columns,
        rows=tape.size.rows,
    )
