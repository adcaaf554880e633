"""Waiting for what must come true, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def until(look: Callable[[], Result], within_s: float, *, every_s: float = 0.03) -> Result:
    """Return the first true answer of ``look``. Raises: AssertionError with the last answer after ``within_s``."""
    ends_at = time.monotonic() + within_s
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > ends_at:
            raise AssertionError(f"It did not come true within {within_s:g} s; the last answer was {answer!r}")
        time.sleep(every_s)
