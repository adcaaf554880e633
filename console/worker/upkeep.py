"""Owns what a worker does once a day: retention, a short transaction at a time."""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

from django.conf import settings

from console.members import retention as sign_ins
from console.recordings import retention as recordings
from console.runs import disk_space, retention
from console.schedules import services as schedules
from console.transfers import retention as transfers

logger = logging.getLogger(__name__)

# How often a worker looks whether a day is over; what went wrong is tried again as often.
LOOK_EVERY_S = 600.0
# Between two transactions others write: at least this long, and as long as the last one took.
PAUSE_S = 0.02

Result = TypeVar("Result")


async def prune_daily(executor: Executor) -> None:
    """Prune once a day, for ever; of several workers the one that comes first. Cancel it at any time.

    ``executor`` is the worker's database thread. What goes wrong is logged and never raised: commands must not end
    because their history cannot be tidied.
    """
    while True:
        try:
            await prune_when_due(executor)
        except Exception:
            logger.exception("Retention did not come to its end; it is tried again", extra={"action": "prune"})
        await asyncio.sleep(LOOK_EVERY_S)


async def prune_when_due(executor: Executor) -> bool:
    """Prune if that was not done within the last day and nobody else is at it; say whether it was done."""
    try:
        turn = retention.Turn()
    except BlockingIOError:
        return False
    with turn:
        if not turn.is_due():
            return False
        await _prune(executor)
        turn.note_done()
    return True


async def _prune(executor: Executor) -> None:
    limits = retention.Limits(settings.ENV.retention_days, settings.ENV.retention_bytes)
    planned = await _in_thread(executor, retention.plan, limits)
    await _to_the_end(executor, transfers.prune(limits.days))
    await _to_the_end(executor, schedules.prune(limits.days))
    await _to_the_end(executor, recordings.prune(settings.ENV.recording_days))
    await _to_the_end(executor, sign_ins.prune(limits.days))
    removed = await _to_the_end(executor, retention.carry_out(planned, actor=None)) or retention.Removed()
    await _to_the_end(executor, disk_space.give_back())
    if said := retention.sentence("Removed", removed, limits):
        logger.info("%s", said, extra={"action": "prune"})


async def _to_the_end(executor: Executor, steps: Iterator[Result]) -> Result | None:
    """Take all steps, with room for others between them; return what the last one gave."""
    last: Result | None = None
    while True:
        started = time.monotonic()
        step = await _in_thread(executor, next, steps, None)
        if step is None:
            return last
        last = step
        await asyncio.sleep(max(PAUSE_S, time.monotonic() - started))


async def _in_thread(executor: Executor, call: Callable[..., Any], *args: object) -> Any:
    return await asyncio.get_running_loop().run_in_executor(executor, functools.partial(call, *args))
