"""Owns placements on the worker's side: place a key with today's credential, and believe only a fresh login with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from console.worker.learnt import Learnt
from instances.authorise import orders
from instances.authorise.models import KeyAction
from instances.authorise.orders import Order
from instances.engine import authorise
from instances.engine.errors import ConnectError, EngineError
from instances.engine.pool import Pool

logger = logging.getLogger(__name__)

AT_ONCE = 30

InDatabase = Callable[..., Awaitable[Any]]


class Placements:
    """The placements one worker has in hand; never more than ``AT_ONCE``, as a claim lasts for minutes only."""

    def __init__(self, pool: Pool, in_database: InDatabase) -> None:
        self._pool = pool
        self._in_database = in_database
        self._running = 0

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start a task for each placement that waits, as far as there is room."""
        if self._running >= AT_ONCE:
            return
        for order in await self._in_database(orders.claim, AT_ONCE - self._running):
            self._running += 1
            tasks.create_task(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        try:
            await (self._place(order) if order.action == KeyAction.PLACE else self._remove(order))
        except Exception:
            # The last resort: one broken placement must not take the commands of this worker with it.
            logger.exception("A placement broke", extra={"action": "place_key", "id": order.placement_id})
            sentence = "The console made an error; its log says which. Authorise again to see how things are."
            await self._in_database(orders.fail, order.placement_id, "internal_error", sentence)
        finally:
            self._running -= 1

    async def _place(self, order: Order) -> None:
        try:
            async with self._pool.borrow(order.sign_in) as connection:
                placed = await authorise.place(connection, order.line)
        except EngineError as error:
            await self._fail(order, error)
            return
        if not placed.was_there:
            await self._in_database(orders.note_placed, order.placement_id)
        is_ours = order.has_placed or not placed.was_there
        failed = await self._login_with_key(order)
        if failed is not None:
            told = f"The key was placed but did not get in: {failed.cause} {await self._take_back(order, is_ours)}"
            await self._in_database(orders.fail, order.placement_id, failed.reason, told)
            return
        await self._in_database(orders.succeed, order, _told(placed, is_ours, order.line))

    async def _login_with_key(self, order: Order) -> EngineError | None:
        """Sign in with the key on a connection of its own; None when that works."""
        assert order.key is not None
        try:
            async with self._pool.borrow(order.key) as connection:
                try:
                    await authorise.try_out(connection)
                finally:
                    # Nobody else can use it: its key is this login's alone.
                    connection.close()
        except EngineError as error:
            return error
        return None

    async def _take_back(self, order: Order, is_ours: bool) -> str:
        if not is_ours:
            return "Its line was there before, and was left."
        try:
            async with self._pool.borrow(order.sign_in) as connection:
                await authorise.remove(connection, order.public_key)
        except EngineError as error:
            return f"Its line stays, as it could not be removed again: {error.cause}"
        return "Its line was removed again; the instance keeps its credential."

    async def _remove(self, order: Order) -> None:
        try:
            async with self._pool.borrow(order.sign_in) as connection:
                removed = await authorise.remove(connection, order.public_key)
                # The way in may have been the key: whoever comes next must sign in anew.
                connection.close()
        except EngineError as error:
            await self._fail(order, error)
            return
        lines = "1 line" if removed.lines == 1 else f"{removed.lines} lines"
        told = f"{lines} removed." if removed.lines else "It was not there any more."
        await self._in_database(orders.succeed, order, told)

    async def _fail(self, order: Order, error: EngineError) -> None:
        await self._in_database(_note, order, error)
        await self._in_database(orders.fail, order.placement_id, error.reason, error.cause)


def _note(order: Order, error: EngineError) -> None:
    if isinstance(error, ConnectError):
        learnt = Learnt()
        learnt.note(order.instance_id, error, offered=order.offered, via=order.sign_in.via)
        learnt.save()


def _told(placed: authorise.Placed, is_ours: bool, line: str) -> str:
    if is_ours:
        return "Placed, and a fresh login with it worked."
    asked = "" if line.startswith("ssh-") else line.partition(" ")[0]
    if placed.options == asked:
        return "It was there already, and a fresh login with it worked."
    options = placed.options or "no restrictions"
    return f"It was there already with other options ({options}), which were left; a fresh login with it worked."
