"""Owns terminals on the worker's side: each from its login shell's start to its end, and the way of pages to it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from console.sessions import queue
from console.sessions.host import TerminalHost
from console.sessions.models import State
from console.sessions.recorder import NoRecorder
from console.sessions.relay import Line, RelayBroken, parsed
from console.worker.held import Ending, Held
from console.worker.recordings import Recordings
from instances.engine.transport import Connection, Size, Terminal

# How long what a shell printed last may take to arrive after its end.
DRAIN_S = 2.0
# How long the shell of a terminal that was hung up may take to be gone.
HANG_UP_S = 2.0
# How often is looked whether the instance still answers.
LOOK_S = 1.0
LOST = "The connection to the instance was lost. The shell there ends when the instance notices that, too."
NOT_CONFIRMED = "The instance has not confirmed that: what ran there may go on."

InDatabase = Callable[..., Awaitable[Any]]


class Terminals:
    """The terminals of one worker, by session."""

    def __init__(self, worker_id: uuid.UUID, in_database: InDatabase, recordings: Recordings) -> None:
        self._id = worker_id
        self._in_database = in_database
        self._recordings = recordings
        self._hosts: dict[int, TerminalHost] = {}

    async def show(self, line: Line) -> None:
        """Serve one page, for as long as it looks."""
        try:
            hello = parsed(await line.receive()) or {}
            host = self._hosts.get(int(hello.get("session", 0)))
            if host is not None:
                await host.serve(line, hello)
        except (RelayBroken, ValueError, KeyError, TypeError):
            # The page is gone, or speaks nonsense: it is hung up on, and connects again.
            return

    async def keep(self, held: Held, connection: Connection) -> Ending:
        """Open a terminal and see it to its end.

        Raises: EngineError when it cannot be opened.
        """
        order = held.order
        watched = _Watched()
        size = Size(order.columns, order.rows)
        tape = self._recordings.tape_for(order) if order.is_recorded else None
        host = TerminalHost(size, recorder=tape or NoRecorder(), is_recorded=order.is_recorded, watched=watched.note)
        terminal = await connection.open_terminal(size, sink=host)
        held.host = self._hosts[order.session_id] = host
        try:
            if tape is not None:
                await self._recordings.begin(tape, order.session_id)
            async with asyncio.TaskGroup() as side:
                tasks = [
                    side.create_task(host.type_into(terminal)),
                    side.create_task(self._tell_state(order.session_id, watched)),
                    side.create_task(_tell_news(host, terminal)),
                ]
                await self._in_database(queue.opened, self._id, order.session_id, state=State.DETACHED, remote_pid=None)
                held.is_open = True
                ending = await _see_its_end(held, terminal)
                for task in tasks:
                    task.cancel()
            return ending
        finally:
            del self._hosts[order.session_id]
            terminal.close()
            if tape is not None:
                await self._recordings.end(tape)

    async def _tell_state(self, session_id: int, watched: "_Watched") -> None:
        """Write whether anybody looks, whenever that has changed."""
        told = False
        while True:
            await watched.changed.wait()
            watched.changed.clear()
            if watched.now != told:
                told = watched.now
                state = State.READY if told else State.DETACHED
                await self._in_database(queue.note_state, self._id, session_id, state)


class _Watched:
    """Whether anybody looks."""

    def __init__(self) -> None:
        self.now = False
        self.changed = asyncio.Event()

    def note(self, is_watched: bool) -> None:
        self.now = is_watched
        self.changed.set()


async def _tell_news(host: TerminalHost, terminal: Terminal) -> None:
    """Tell whoever looks when the instance stops answering or does again, and when the recording breaks off."""
    while True:
        host.look_at_recording()
        host.note_answers(not terminal.is_unanswered)
        await asyncio.sleep(LOOK_S)


async def _see_its_end(held: Held, terminal: Terminal) -> Ending:
    """Wait until the shell ends, the line breaks, or somebody closes it."""
    wanted = asyncio.get_running_loop().create_task(held.to_close.wait())
    wanted.add_done_callback(lambda _: terminal.changed.set())
    try:
        await terminal.until(lambda: terminal.is_over or held.to_close.is_set(), None)
    finally:
        wanted.cancel()
    if terminal.exit is not None:
        if held.host is not None:
            held.host.let_run()
        await terminal.until(lambda: terminal.is_output_complete or terminal.is_lost, DRAIN_S)
        return _exited(terminal)
    if terminal.is_lost:
        return Ending("connection_lost", LOST, is_broken=True)
    assert held.why is not None
    terminal.close()
    await terminal.until(lambda: terminal.is_over, HANG_UP_S)
    if terminal.exit is None:
        return Ending(held.why.reason, f"{held.why.message} {NOT_CONFIRMED}")
    return held.why


def _exited(terminal: Terminal) -> Ending:
    exit_ = terminal.exit
    assert exit_ is not None
    if exit_.signal:
        return Ending("exited", f"The shell was ended by signal {exit_.signal}.")
    if exit_.status is None:
        return Ending("exited", "The shell ended.")
    return Ending("exited", f"The shell ended with exit status {exit_.status}.", exit_status=exit_.status)
