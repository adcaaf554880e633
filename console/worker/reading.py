"""Owns when a worker reads ended runs into the index of words: in small steps, a fifth of its database thread."""

import asyncio
import fcntl
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from console.runs import indexing

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
# Of what a step took, how long the thread is left to others after it.
SHARE = 4
PAUSE_S = 0.02


async def read_for_ever(executor: Executor) -> None:
    """Read what has ended, for ever; one worker at a time. What goes wrong is logged: commands must not end by it."""
    while True:
        try:
            with _turn():
                await _read_all(executor)
        except BlockingIOError:
            pass
        except Exception:
            logger.exception("Reading runs into the index failed; it is tried again", extra={"action": "index"})
        await asyncio.sleep(LOOK_EVERY_S)


async def _read_all(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(executor, indexing.waiting().exists):
        steps = indexing.index_next()
        while True:
            started = time.monotonic()
            if await loop.run_in_executor(executor, next, steps, None) is None:
                break
            await asyncio.sleep(max(PAUSE_S, SHARE * (time.monotonic() - started)))


@contextmanager
def _turn() -> Iterator[None]:
    with (Path(settings.DATA_DIR) / "index.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
