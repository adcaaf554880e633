"""Waiting for what must come true, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

# Not how quick it is to be: two cores may be busy with other tests.
WITHIN_S = 90.0
Result = TypeVar("Result")


def until(look: Callable[[], Result], within_s: float = WITHIN_S, *, every_s: float = 0.03) -> Result:
    """Return the first true answer of ``look``. Raises: AssertionError with the last answer after ``within_s``."""
    ends_at = time.monotonic() + within_s
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > ends_at:
            raise AssertionError(f"It did not come true within {within_s:g} s; the last answer was {answer!r}")
        time.sleep(every_s)


async def wait_until(look: Callable[[], Result], within_s: float = WITHIN_S, *, every_s: float = 0.03) -> Result:
    """As ``until``, for what comes true while this event loop goes on."""
    ends_at = time.monotonic() + within_s
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > ends_at:
            raise AssertionError(f"It did not come true within {within_s:g} s; the last answer was {answer!r}")
        await asyncio.sleep(every_s)
