"""Owns the life of one command in a kept shell, from the lines it is fed to the one ending."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Protocol

from instances.engine.contact import Reconnect, contact, named
from instances.engine.errors import ConnectionLost
from instances.engine.execute import CAUSES, DRAIN_S, HELD_BACK_S, not_started, stopped_before_start
from instances.engine.kept_language import CommandTree, KeptLanguage
from instances.engine.kept_output import KeptOutput, Marks
from instances.engine.stop import KILL_S, POLLS_S, SIGNAL_S, Survivors
from instances.engine.transport import Connection, Process
from instances.engine.types import Command, Ended, Outcome, Sink, Started, StopCause, StopSignal

# A shell that was idle begins at once; what it has not begun by then it does not begin.
BEGIN_S = 60.0
# A shell may drop what it has read ahead when something interrupts it: the end is asked for again, ever less often.
FIRST_NUDGE_S, LAST_NUDGE_S = 2.0, 60.0

_STOPPED = "Stopped; nothing of it is left running."
_WITH_SESSION = "Stopped with its session; nothing of it is left running."
_LIMIT = "The time limit was reached. It was stopped; nothing of it is left running."
# How long a shell with nothing left to wait for may take to come back.
BACK_S = 2.0
_GOES_ON = "The session goes on."
_CLOSED_WITH_IT = "The session is being closed."
_ENDED_IT = "It ended the session."
_SHELL_DIED = "The shell ended with it, so the session was closed."
_NOT_REACHED = "The instance could not be reached to stop a command, so the session was closed."
_SHELL_ENDED = "The shell did not come back to take the next command, so the session was closed."


class Keeper(Protocol):
    """What the command needs of the shell it runs in."""

    started: Started

    @property
    def reconnect(self) -> Reconnect:
        """Give a connection for Stop."""

    @property
    def exit_status(self) -> int | None:
        """How the shell has ended."""

    @property
    def is_closing(self) -> bool:
        """Whether the session is to be closed."""

    @property
    def why_closing(self) -> str:
        """Why it is, as a sentence; empty where that is not known."""

    def mark_closed(self, reason: str, why: str) -> None:
        """Have it take no more commands."""

    async def end(self, *, grace_s: float) -> Survivors:
        """End the shell and everything in its session."""


class KeptCommand:
    """One command of a kept shell."""

    def __init__(
        self,
        keeper: Keeper,
        process: Process,
        output: KeptOutput,
        language: KeptLanguage,
        command: Command,
        marks: Marks,
        stop: StopSignal,
        grace_s: float,
    ) -> None:
        self._keeper = keeper
        self._process = process
        self._output = output
        self._language = language
        self._command = command
        self._marks = marks
        self._stop = stop
        self._grace_s = grace_s

    async def execute(
        self,
        fed: bytes,
        sink: Sink,
        before_start: Callable[[], Awaitable[None]],
        started: Callable[[Started], Awaitable[None]],
        stopping: Callable[[StopCause], Awaitable[None]],
    ) -> Ended:
        """Feed it and see it to its end.

        Raises: ConnectionLost while nothing was sent.
        """
        if self._cause is None:
            await before_start()
        if (cause := self._cause) is not None:
            return stopped_before_start(cause)
        if self._process.is_over:
            raise ConnectionLost(is_sent=False)
        limit_s = self._command.timeout_s
        deadline = None if limit_s is None else monotonic() + limit_s
        self._output.expect(self._marks, sink)
        self._process.write(fed)
        ended = await self._begin()
        if ended is not None:
            return ended
        await started(self._keeper.started)
        await self._wait(deadline)
        if self._is_over:
            return await self._finish()
        if self._process.is_lost and self._cause is None:
            return await self._lost("The connection was lost.", "connection_lost")
        cause = self._cause or StopCause.TIMEOUT
        await stopping(cause)
        return await (self._finish() if self._is_over else self._end(cause))

    @property
    def _cause(self) -> StopCause | None:
        return self._stop.cause or (StopCause.USER if self._keeper.is_closing else None)

    @property
    def _ends_with_session(self) -> bool:
        """Whether it is stopped because the session is closed, and for nothing else."""
        return self._stop.cause is None and self._keeper.is_closing

    @property
    def _is_over(self) -> bool:
        """Whether the command has ended by itself, or the shell with it."""
        return self._output.ended is not None or self._process.exit is not None

    async def _begin(self) -> Ended | None:
        """Wait until the shell says that the command begins; a stop waits for that too, for it is being read."""
        output, process = self._output, self._process
        await process.until(lambda: output.begun is not None or output.ended is not None or process.is_over, BEGIN_S)
        if process.exit is not None and output.begun is None:
            # The exit record can overtake output.
            await process.until(lambda: output.begun is not None or process.is_output_complete, DRAIN_S)
        if output.begun is not None:
            return None
        if output.ended is not None:
            return not_started("bootstrap", output.noise)
        if process.is_lost:
            return await self._lost("The instance did not say whether it started.", "start_unconfirmed")
        if process.exit is None:
            left = await self._end_session(Survivors(is_verified=False), _SHELL_ENDED)
            if not left.is_clean:
                return self._unconfirmed(left, None)
        return not_started("bootstrap", output.noise)

    async def _wait(self, deadline: float | None) -> None:
        """Wait for the end, a stop or the time limit."""
        pause_s = FIRST_NUDGE_S
        while True:
            left_s = None if deadline is None else max(0.0, deadline - monotonic())
            turn_s = pause_s if left_s is None else min(left_s, pause_s)
            if await self._process.until(
                lambda: self._is_over or self._process.is_lost or self._cause is not None, turn_s
            ):
                return
            if left_s is not None and monotonic() >= (deadline or 0.0):
                return
            self._process.write(self._language.end(self._marks))
            pause_s = min(pause_s * 2, LAST_NUDGE_S)

    async def _finish(self) -> Ended:
        """End as the command itself ended."""
        await self._drain()
        exit_, ended = self._process.exit, self._output.ended
        status, signal, message = _status(ended), "", ""
        if ended is None and exit_ is not None:
            status, signal = self._keeper.exit_status, exit_.signal
            message = _ENDED_IT
            how = f"by signal {signal}" if signal else f"with exit status {status}"
            self._keeper.mark_closed("ended_by_command", f"A command ended the shell of the session {how}.")
            if not exit_.is_known:
                return await self._lost("The instance did not say how it ended.", "no_exit_status")
        survivors: tuple[int, ...] = ()
        if self._cause is not None:
            left = await contact(
                self._keeper.reconnect, self._tree(), lambda tree, there: tree.stop(there, grace_s=self._grace_s)
            )
            what = "its session was closed" if self._ends_with_session else "the stop"
            message, survivors = f"Finished before {what}. {message}".strip(), left.pids
            if not left.is_clean:
                message += f" What it left running could not be stopped{named(left.pids)}."
        outcome = Outcome.SIGNALLED if signal else Outcome.EXITED
        return Ended(outcome, status, signal, message=message, survivors=survivors)

    async def _drain(self) -> None:
        """Take what output is on its way; time in which the sink holds it back does not count."""
        process, output = self._process, self._output
        left_s = DRAIN_S

        def is_complete() -> bool:
            if process.is_lost or (output.ended is not None and output.is_complete):
                return True
            return process.exit is not None and process.is_output_complete

        while left_s > 0 and not is_complete():
            if output.is_paused:
                if not await process.until(lambda: not output.is_paused or process.is_lost, HELD_BACK_S):
                    break
                continue
            began_at = monotonic()
            await process.until(lambda: is_complete() or output.is_paused, left_s)
            left_s -= monotonic() - began_at

    async def _end(self, cause: StopCause) -> Ended:
        """Stop it, and say so only when it is proven; the shell is ended only where it does not come back."""
        left = await contact(self._keeper.reconnect, self._tree(), self._interrupt)
        after = _CLOSED_WITH_IT if self._keeper.is_closing else _GOES_ON
        if not left.is_verified:
            self._keeper.mark_closed("stop_needed_it", _NOT_REACHED)
            self._process.close()
        elif not self._is_back:
            after = _SHELL_ENDED if self._process.exit is None else _SHELL_DIED
            left = await self._end_session(left, after)
        if not left.is_clean:
            return self._unconfirmed(left, _status(self._output.ended))
        await self._drain()
        outcome = Outcome.TIMED_OUT if cause is StopCause.TIMEOUT else Outcome.STOPPED
        message, reason = f"{_LIMIT if cause is StopCause.TIMEOUT else _STOPPED} {after}", CAUSES.get(cause, "")
        if cause is StopCause.USER and self._ends_with_session:
            message, reason = f"{_WITH_SESSION} {self._keeper.why_closing}".strip(), "session_closed"
        exit_ = self._process.exit
        signal = exit_.signal if exit_ is not None else ""
        status = exit_.status if exit_ is not None else _status(self._output.ended)
        return Ended(outcome, status, signal, reason, message)

    async def _interrupt(self, tree: CommandTree, connection: Connection) -> Survivors:
        """INT, TERM, KILL to what it runs, and INT to the shell, until that is idle and nothing is left."""
        pids: tuple[int, ...] = ()
        for signal, patience_s in (("INT", SIGNAL_S), ("TERM", self._grace_s), ("KILL", KILL_S)):
            began_at, turn = monotonic(), 0
            while not self._process.is_over:
                hits = signal if turn == 0 or signal == "KILL" else ""
                may = partial(self._may_interrupt, signal == "INT" or bool(pids))
                pids = await tree.hit(connection, hits, may)
                if hits and not self._is_back:
                    # It may have dropped what it had read ahead.
                    self._process.write(self._language.end(self._marks))
                if self._is_back and not pids:
                    return tree.survivors()
                if turn == 0 or self._output.is_paused:
                    # A busy machine takes its time for the signal, and no end is seen while the output is held back.
                    began_at = monotonic()
                if monotonic() - began_at >= (patience_s if pids else max(patience_s, BACK_S)):
                    break
                poll_s = POLLS_S[min(turn, len(POLLS_S) - 1)]
                if self._is_back:
                    await asyncio.sleep(poll_s)
                else:
                    await self._process.until(lambda: self._is_back or self._process.is_over, poll_s)
                turn += 1
            if not pids and signal == "TERM":
                # Only the shell is left, and INT does not reach it.
                break
        return tree.survivors()

    def _may_interrupt(self, is_wanted: bool) -> bool:
        """Say whether to interrupt the shell: not an idle one, for ash ends over it.

        It ``is_wanted`` once, and then as long as there is something that it may be waiting for.
        """
        return is_wanted and not self._is_back

    @property
    def _is_back(self) -> bool:
        """Whether the shell is past the command."""
        return self._output.ended is not None and not self._process.is_over

    async def _end_session(self, left: Survivors, why: str) -> Survivors:
        """End the shell with all that is in its session, and what is left of the command elsewhere."""
        if not self._process.is_lost:
            self._keeper.mark_closed("stop_needed_it", why)
        if left.is_clean:
            return await self._keeper.end(grace_s=SIGNAL_S)
        tree, reconnect = self._tree(), self._keeper.reconnect
        # Before its shell is gone: what descends from that alone could not be told any more.
        await contact(reconnect, tree, _look)
        left = await self._keeper.end(grace_s=SIGNAL_S)
        # After it: as long as the shell lives it may start the next one.
        rest = await contact(reconnect, tree, lambda tree, there: tree.stop(there, grace_s=SIGNAL_S))
        pids = tuple(sorted({*rest.pids, *left.pids}))
        return Survivors(pids, is_verified=rest.is_verified and left.is_verified)

    def _unconfirmed(self, left: Survivors, status: int | None) -> Ended:
        message = "It may still be running: the instance could not be reached to make sure."
        if left.is_verified:
            message = f"It could not be stopped{named(left.pids)}. It still runs."
        return Ended(Outcome.LOST, status, reason="stop_unconfirmed", message=message, survivors=left.pids)

    async def _lost(self, what: str, reason: str) -> Ended:
        """Say what a new connection can see of a command whose end was missed."""
        tree = self._tree()
        left = await contact(self._keeper.reconnect, tree, _look)
        pids = left.pids
        if left.is_verified and tree.is_shell_there:
            # Without its input the shell would be gone if it were not at work.
            pids = (self._keeper.started.pid, *pids)
        if not left.is_verified:
            state = "The instance could not be reached again, so it may still be running."
        elif pids:
            # What follows is the end of the session, with all that is in it.
            state = f"It still ran{named(pids)}, and is ended with its session."
        else:
            state = "Nothing of it runs any more. It ran at least in part."
        return Ended(Outcome.LOST, reason=reason, message=f"{what} {state}", survivors=pids)

    def _tree(self) -> CommandTree:
        return self._language.tree(self._command.marker, self._keeper.started, self._output.begun or "")


async def _look(tree: CommandTree, connection: Connection) -> Survivors:
    await tree.look(connection)
    return tree.survivors()


def _status(payload: str | None) -> int | None:
    try:
        return None if payload is None else int(payload)
    except ValueError:
        return None
