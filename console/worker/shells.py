"""Owns kept shells on the worker's side: each from its opening to its end, and who may run a command in it."""

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from console.runs.in_sessions import closed
from console.sessions import queue
from console.sessions.models import Session, State
from console.worker.held import Ending, Held
from instances.engine.contact import Reconnect, named
from instances.engine.errors import CommandRefused
from instances.engine.kept_shell import KeptShell, open_shell
from instances.engine.kept_wish import ShellWish
from instances.engine.stop import Survivors
from instances.engine.transport import Connection
from instances.engine.types import CommandType

# These are how it was to end; anything else that ends a shell broke the session.
_WANTED = frozenset({"session_closed", "ended_by_command"})

InDatabase = Callable[..., Awaitable[Any]]


class Shells:
    """The kept shells of one worker, by session."""

    def __init__(self, worker_id: uuid.UUID, in_database: InDatabase) -> None:
        self._id = worker_id
        self._in_database = in_database
        self._shells: dict[int, KeptShell] = {}
        self._lent: set[int] = set()
        # Secrets in the environment of each shell, in the order they came; a command given others later has these too.
        self._secrets: dict[int, dict[str, None]] = {}

    async def keep(self, held: Held, connection: Connection, reconnect: Reconnect) -> Ending:
        """Open a shell and see it to its end; ``forget`` follows once that is written.

        Raises: EngineError when it cannot be opened.
        """
        order = held.order
        wish = ShellWish(order.marker, CommandType(order.command_type), order.interpreter, order.working_directory)
        shell = await open_shell(connection, wish, reconnect=reconnect)
        self._shells[order.session_id] = shell
        await self._in_database(
            queue.opened,
            self._id,
            order.session_id,
            state=State.READY,
            remote_pid=shell.started.pid,
            interpreter=shell.interpreter,
        )
        held.is_open = True
        return await _see_its_end(held, shell)

    def forget(self, session_id: int) -> None:
        """Let go of a shell that has ended: until now it could say why to a command that came too late."""
        self._shells.pop(session_id, None)
        self._secrets.pop(session_id, None)

    def secrets_of(self, session_id: int | None, given: tuple[str, ...]) -> tuple[str, ...]:
        """Return what to mask of a command that is given these: of one in a session, what came before it too.

        A variable stays in the shell after its command, and a later one can print it.
        """
        if session_id not in self._shells:
            return given
        known = self._secrets.setdefault(session_id, {})
        known.update(dict.fromkeys(given))
        return tuple(known)

    def lender(self, session_id: int | None) -> Callable[[], AbstractAsyncContextManager[KeptShell]] | None:
        """Return what lends a session's shell for one command; None for a command without a session."""
        return None if session_id is None else functools.partial(self._used, session_id)

    def is_lent(self, session_id: int) -> bool:
        """Whether a command runs in a session's shell."""
        return session_id in self._lent

    @asynccontextmanager
    async def _used(self, session_id: int) -> AsyncIterator[KeptShell]:
        """Lend a session's shell for one command; the session is busy meanwhile.

        One that has ended refuses the command, and says why. Raises: CommandRefused, which does, for one let go of.
        """
        shell = self._shells.get(session_id)
        if shell is None:
            # Since the command was taken; why is written by now.
            raise CommandRefused(await self._in_database(_why_gone, session_id), reason="session_closed")
        if not shell.is_open:
            yield shell
            return
        self._lent.add(session_id)
        try:
            await self._in_database(queue.note_state, self._id, session_id, State.BUSY)
            yield shell
        finally:
            self._lent.discard(session_id)
            if shell.is_open:
                await self._in_database(queue.note_state, self._id, session_id, State.READY)


def _why_gone(session_id: int) -> str:
    session = Session.objects.filter(pk=session_id).first()
    return closed(session) if session else "The session is gone. The command did not run."


async def _see_its_end(held: Held, shell: KeptShell) -> Ending:
    """Wait until the shell ends or somebody closes it."""
    wanted = asyncio.get_running_loop().create_task(held.to_close.wait())
    ended = asyncio.get_running_loop().create_task(shell.wait_closed())
    try:
        await asyncio.wait((wanted, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        wanted.cancel()
        ended.cancel()
    if shell.is_open and held.why is not None:
        left = await shell.close(held.why.message)
        return Ending(held.why.reason, held.why.message + _what_is(left))
    left = await shell.close()
    return Ending(shell.reason, shell.why_closed + _what_is(left), is_broken=shell.reason not in _WANTED)


def _what_is(left: Survivors) -> str:
    """Return a sentence, after a space, about what may go on after the end; nothing when nothing does."""
    if left.is_clean:
        return ""
    if left.is_verified:
        return f" Something of it could not be ended{named(left.pids)} and still runs."
    return f" The instance was not reached to make sure that nothing of it goes on{named(left.pids)}."
