"""Owns deliveries on the worker's side: files sent and fetched, and how far they are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from console.transfers import queue, store
from console.transfers.models import Direction
from console.transfers.queue import Order
from console.worker.learnt import Learnt
from instances.engine import files
from instances.engine.errors import ConnectError, EngineError
from instances.engine.pool import Pool
from instances.inventory.targets import offered_with

logger = logging.getLogger(__name__)

AT_ONCE = 20
PROGRESS_S = 1.0

InDatabase = Callable[..., Awaitable[Any]]


class Deliveries:
    """The deliveries one worker has in hand, at most ``AT_ONCE``."""

    def __init__(self, pool: Pool, in_database: InDatabase) -> None:
        self._pool = pool
        self._in_database = in_database
        self._running = 0

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start a task for each delivery that waits, as far as there is room."""
        if self._running >= AT_ONCE:
            return
        for order in await self._in_database(queue.claim, AT_ONCE - self._running):
            self._running += 1
            tasks.create_task(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        done = [0]
        telling = asyncio.get_running_loop().create_task(self._tell(order, done))
        try:
            await self._deliver(order, done)
        except EngineError as error:
            await self._in_database(_note, order, error)
            await self._in_database(queue.fail, order.delivery_id, error.reason, error.cause)
        except Exception:
            # The last resort: one broken delivery must not take the commands of this worker with it.
            logger.exception("A delivery broke", extra={"action": "deliver", "id": order.delivery_id})
            sentence = "The console made an error; its log says which. The file may or may not be in place."
            await self._in_database(queue.fail, order.delivery_id, "internal_error", sentence)
        finally:
            telling.cancel()
            self._running -= 1

    async def _deliver(self, order: Order, done: list[int]) -> None:
        def progress(so_far: int) -> None:
            done[0] = so_far

        path = store.path_of(order.stored)
        async with self._pool.borrow(order.target) as connection:
            if order.direction == Direction.SEND:
                sent = await files.send(
                    connection, path, order.wanted, progress=progress, reconnect=lambda: self._pool.borrow(order.target)
                )
                told = "In place, and its checksum is right." if sent.is_changed else "The same file was there already."
                await self._in_database(
                    queue.succeed, order.delivery_id, size=sent.size, sha256=sent.sha256, message=told
                )
                return
            limit = settings.ENV.file_limit
            got = await files.fetch(connection, order.wanted.path, path, limit_bytes=limit, progress=progress)
        await self._in_database(
            queue.succeed,
            order.delivery_id,
            size=got.size,
            sha256=got.sha256,
            message="Fetched.",
            stored=order.stored,
        )

    async def _tell(self, order: Order, done: list[int]) -> None:
        """Write down how far it is, once a second; that also keeps the delivery for this worker."""
        while True:
            await asyncio.sleep(PROGRESS_S)
            await self._in_database(queue.note_progress, order.delivery_id, done[0])


def _note(order: Order, error: EngineError) -> None:
    if isinstance(error, ConnectError):
        learnt = Learnt()
        learnt.note(order.instance_id, error, offered=offered_with(order.target.key), via=order.target.via)
        learnt.save()
