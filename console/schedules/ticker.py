"""Owns the worker's look at the clock: every second, and what it finds due is acted on, one at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from django.utils import timezone

from console.schedules import firing

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
BROKE = "The console could not start it: see its log."

InDatabase = Callable[..., Awaitable[Any]]
Clock = Callable[[], datetime]


async def tick_until(draining: asyncio.Event, in_database: InDatabase, clock: Clock = timezone.now) -> None:
    """Look each second until the worker drains: one that starts nothing more must not queue runs for a later day.

    ``in_database`` runs a short transaction in the worker's database thread. What goes wrong with a schedule is logged,
    written down and ends here: the commands of others must not end because of it.
    """
    while not draining.is_set():
        await tick(in_database, clock)
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await draining.wait()
        except TimeoutError:
            continue


async def tick(in_database: InDatabase, clock: Clock = timezone.now) -> None:
    """Act once on everything that is due by the clock. Side effects: two queries when nothing is."""
    for schedule_id, due_at in await in_database(lambda: firing.due(clock())):
        await _act(in_database, schedule_id, due_at, clock)
    for firing_id in await in_database(firing.waiting):
        await _start_waiting(in_database, firing_id, clock)


async def _act(in_database: InDatabase, schedule_id: int, due_at: datetime, clock: Clock) -> None:
    def act() -> None:
        # Asked in the database's thread: there it may have waited until what was due was missed.
        firing.act(schedule_id, due_at, clock())

    try:
        await in_database(act)
    except Exception:
        # The last resort: a schedule that cannot be acted on is told once, not each second.
        logger.exception("A schedule broke", extra={"action": "fire", "id": schedule_id})
        await in_database(firing.give_up, schedule_id, due_at, clock(), BROKE)


async def _start_waiting(in_database: InDatabase, firing_id: int, clock: Clock) -> None:
    try:
        await in_database(lambda: firing.start_waiting(firing_id, clock()))
    except Exception:
        # As above.
        logger.exception("What waited for the run before broke", extra={"action": "fire", "id": firing_id})
        await in_database(firing.give_up_waiting, firing_id, clock(), BROKE)
