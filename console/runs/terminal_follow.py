"""Owns following a run from a shell: looks again when something was committed, and passes Ctrl+C on as Stop."""

import asyncio
import functools
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

from console import bus
from console.members.models import User
from console.runs import stopping
from console.runs.models import Run
from console.runs.terminal_question import Question
from console.runs.terminal_view import INTERRUPTED, PIPE_CLOSED, TerminalView

LOOK_AGAIN_S = 1.0

Result = TypeVar("Result")


class LeftRunning(Exception):
    """The person pressed Ctrl+C again: the run was asked to stop, but nobody waited for it."""


class Follower:
    """Shows one run until it has ended.

    Database and terminal are used in one thread of its own, so that output that nobody reads holds up nothing else.
    """

    def __init__(self, actor: User, run: Run, view: TerminalView, *, say: Callable[[str], None]) -> None:
        self._actor, self._run, self._view, self._say = actor, run, view, say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="terminal")
        self._bell = bus.Bell(bus.WEB, f"shell-{uuid.uuid4().hex}", self._thread)
        self._question = Question(actor, run.pk, say=say)
        self._interrupts = 0
        self._stop_was_asked = False

    def interrupt(self) -> None:
        """Ask for a stop; the second time, for leaving. Call it in the loop's thread."""
        self._interrupts += 1
        self._bell.ring_myself()

    async def follow(self) -> int:
        """Show the run until it has ended and return the exit status. Raises: LeftRunning."""
        try:
            async with self._bell.listening():
                with self._question.listening(self._bell.ring_myself):
                    return await self._until_it_has_ended()
        finally:
            await self._in_thread(connection_close)
            self._thread.shutdown(wait=False)

    async def _until_it_has_ended(self) -> int:
        while not await self._in_thread(self._view.draw):
            if self._interrupts > 1:
                raise LeftRunning
            if (self._interrupts or self._view.is_broken) and not self._stop_was_asked:
                await self._stop()
                continue
            await self._in_thread(self._question.look)
            await self._bell.changed(within_s=LOOK_AGAIN_S)
        if self._view.is_broken:
            return PIPE_CLOSED
        return INTERRUPTED if self._stop_was_asked else await self._in_thread(self._view.exit_status)

    async def _stop(self) -> None:
        self._stop_was_asked = True
        self._say(f"Stopping run {self._run.pk}. Press Ctrl+C again to leave without waiting for it.")
        await self._in_thread(stopping.stop_run, self._actor, run=self._run)

    async def _in_thread(self, call: Callable[..., Result], *args: object, **kwargs: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(call, *args, **kwargs))


def connection_close() -> None:
    """Close this thread's own connection: ``connection`` is another one in each thread."""
    connection.close()
