"""Owns the sessions one worker holds: opens what waits, closes what is due, tells how each is and how it ended."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from django.conf import settings

from console.sessions import queue, relay
from console.sessions.models import Kind
from console.sessions.queue import Order
from console.worker.held import Ending, Held
from console.worker.learnt import Learnt
from console.worker.recordings import Recordings
from console.worker.shells import Shells
from console.worker.terminals import Terminals
from instances.engine.errors import ConnectError, EngineError
from instances.engine.pool import Pool
from instances.inventory.targets import offered_with

logger = logging.getLogger(__name__)

OPENING_AT_ONCE = 50
NOTE_USED_S, NOTES_PER_IDLE_TIME = 20.0, 5
CLOSE_S = 10.0
SHUT_DOWN = ("console_shutdown", "Closed: the console, or its worker that held it, was shut down.")
BROKE = "The console made an error; its log says which. What ran there may go on."

InDatabase = Callable[..., Awaitable[Any]]


class Sessions:
    """What one worker keeps open, for as long as the worker lives."""

    def __init__(self, worker_id: uuid.UUID, pool: Pool, in_database: InDatabase) -> None:
        self._id = worker_id
        self._pool = pool
        self._in_database = in_database
        self._held: dict[int, Held] = {}
        self._recordings = Recordings(in_database)
        self._terminals = Terminals(worker_id, in_database, self._recordings)
        self.shells = Shells(worker_id, in_database)
        self._noted_at = 0.0
        self._is_closing = False
        self._none_left = asyncio.Event()
        self._none_left.set()

    @asynccontextmanager
    async def reachable(self) -> AsyncIterator[None]:
        """Let web processes reach the terminals, and have them recorded, for as long as the block runs."""
        async with relay.serving(self._id, self._terminals.show), self._recordings.kept():
            yield

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Open what waits, as far as there is room, and close what is due."""
        opening = sum(not held.is_open for held in self._held.values())
        room = 0 if self._is_closing else OPENING_AT_ONCE - opening
        for order in await self._in_database(queue.claim, self._id, room):
            self._hold(Held(order), tasks)
        if self._held:
            await self._note_used()
            for session_id, reason, message in await self._in_database(queue.due, self._id):
                if session_id in self._held:
                    self._held[session_id].close(reason, message)

    def _hold(self, held: Held, tasks: asyncio.TaskGroup) -> None:
        self._held[held.order.session_id] = held
        self._none_left.clear()
        if self._is_closing:
            # It was claimed when the end was asked for.
            held.close(*SHUT_DOWN)
        tasks.create_task(self._keep(held))

    def close_unused(self) -> None:
        """Open nothing more, and close all but what runs a command: the worker is to end."""
        self._is_closing = True
        for held in self._held.values():
            if not self.shells.is_lent(held.order.session_id):
                held.close(*SHUT_DOWN)

    async def close_all(self, reason: str, message: str) -> None:
        """Close everything, and wait until that is written."""
        for held in self._held.values():
            held.close(reason, message)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._none_left.wait()
        except TimeoutError:
            logger.warning("Sessions did not close in time", extra={"action": "close_sessions"})

    async def _keep(self, held: Held) -> None:
        order = held.order
        try:
            ending = await self._until_it_ends(held)
        except Exception:
            # The last resort: one broken session must not take the commands of this worker with it.
            logger.exception("A session broke", extra={"action": "session", "id": order.session_id})
            ending = Ending(is_broken=True, reason="internal_error", message=BROKE)
        try:
            await self._in_database(
                queue.ended,
                self._id,
                order.session_id,
                is_broken=ending.is_broken,
                reason=ending.reason,
                message=ending.message,
                exit_status=ending.exit_status,
            )
        finally:
            # Pages are told only now: what they ask for next must say the same.
            held.tell_ended(ending)
            self.shells.forget(order.session_id)
            del self._held[order.session_id]
            if not self._held:
                self._none_left.set()

    async def _until_it_ends(self, held: Held) -> Ending:
        order = held.order
        try:
            async with self._pool.borrow(order.target) as connection:
                await self._in_database(_note, order, None)
                if order.kind == Kind.TERMINAL:
                    return await self._terminals.keep(held, connection)
                return await self.shells.keep(held, connection, lambda: self._pool.borrow(order.target, for_stop=True))
        except EngineError as error:
            await self._in_database(_note, order, error)
            return Ending(is_broken=True, reason=error.reason, message=error.cause)

    async def _note_used(self) -> None:
        """Write down which terminals moved lately; what is due is decided by that."""
        now = monotonic()
        # Far from the limit: one that is used must not look idle between two notes.
        if now - self._noted_at < min(NOTE_USED_S, settings.ENV.session_idle_s / NOTES_PER_IDLE_TIME):
            return
        moved = [pk for pk, held in self._held.items() if held.moved_since(self._noted_at)]
        self._noted_at = now
        await self._in_database(queue.note_used, self._id, moved)


def _note(order: Order, error: EngineError | None) -> None:
    """Have the instance's page say whether it was reached, and count a refused credential."""
    if error is None or isinstance(error, ConnectError):
        learnt = Learnt()
        learnt.note(order.instance_id, error, offered=offered_with(order.target.key), via=order.target.via)
        learnt.save()
