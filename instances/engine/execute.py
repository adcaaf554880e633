"""Owns the life of one command on one connection, from the exec request to the one ending."""

from collections.abc import Awaitable, Callable
from time import monotonic

from instances.engine.contact import Reconnect, contact, named
from instances.engine.delivery import Delivery
from instances.engine.errors import ConnectionLost, StartRefused
from instances.engine.header import Header
from instances.engine.shells import deliver
from instances.engine.stop import GRACE_S, SIGNAL_S, Survivors
from instances.engine.transport import Connection, Exit, Process
from instances.engine.trees import ProcessTree, tree_of
from instances.engine.types import Command, Ended, Outcome, Sink, Started, StopCause, StopSignal

HEADER_S = 10.0
DRAIN_S = 2.0
# How long a sink may hold back the rest of the output of a command that has ended.
HELD_BACK_S = 600.0

_NOT_STARTED = {
    "cwd_missing": "The working directory does not exist or cannot be entered. The command did not run.",
    "interpreter_missing": "The interpreter does not exist or cannot be run. The command did not run.",
    "run_as_user_missing": "The user it was to run as does not exist there. The command did not run.",
    "run_as_denied": "sudo does not let the login user act as that user without a password. It did not run.",
    "sudo_missing": "There is no sudo, which running as another user needs. The command did not run.",
    "no_space": "The script could not be written to the temporary folder: it is full or read-only. It did not run.",
    "incomplete": "The script did not arrive as a whole. It did not run.",
    "bootstrap": "The instance did not start the shell as expected. The command did not run.",
    "connection_lost": "The connection was lost before the start. The command did not run.",
}
CAUSES = {StopCause.SHUTDOWN: "console_shutdown", StopCause.OUTPUT_CAP: "output_cap"}
_STILL_OPEN = "Something it started keeps its output open; what comes later is not shown."


async def execute(
    connection: Connection,
    command: Command,
    *,
    sink: Sink,
    before_start: Callable[[], Awaitable[None]],
    started: Callable[[Started], Awaitable[None]],
    stopping: Callable[[StopCause], Awaitable[None]],
    stop: StopSignal,
    reconnect: Reconnect,
    grace_s: float = GRACE_S,
) -> Ended:
    """Run the command and return its one ending.

    1. ``before_start`` is awaited right before the exec request leaves; a stop asked for until then sends nothing.
    2. ``started`` is awaited once the script runs; its first output may have reached the sink already.
    3. ``stopping`` is awaited when a stop or the time limit comes before the end.
    ``reconnect`` gives a connection for Stop, the same one if it still lives; ``grace_s`` lies between TERM and KILL.
    A dry run awaits none of them: it ends as EXITED with 0 where the script could have been started.
    Raises: EngineError only while the request certainly has not left.
    """
    delivery = deliver(command)
    if stop.cause is None and not command.is_dry_run:
        await before_start()
    if stop.cause is not None:
        return stopped_before_start(stop.cause)
    header = Header(delivery.nonce, sink, has_exit_line=delivery.has_exit_line)
    try:
        process = await connection.start(delivery.exec_request, stdin=delivery.opening, sink=header)
    except StartRefused:
        return not_started("bootstrap")
    except ConnectionLost as lost:
        if not lost.is_sent:
            raise
        return not_started("connection_lost")
    run = _Run(process, header, command, stop, reconnect, grace_s, delivery.has_exit_line)
    header.on_change = process.changed.set
    stop.listen(process.changed.set)
    try:
        ended = await run.begin(delivery)
        if ended is None and command.is_dry_run:
            return await run.see_ready()
        return ended or await run.follow(delivery, started, stopping)
    finally:
        stop.unlisten(process.changed.set)
        process.close()
        header.release()


class _Run:
    """One command between its exec request and its ending."""

    def __init__(
        self,
        process: Process,
        header: Header,
        command: Command,
        stop: StopSignal,
        reconnect: Reconnect,
        grace_s: float,
        has_exit_line: bool,
    ) -> None:
        self._process = process
        self._header = header
        self._command = command
        self._stop = stop
        self._reconnect = reconnect
        self._grace_s = grace_s
        self._has_exit_line = has_exit_line

    async def begin(self, delivery: Delivery) -> Ended | None:
        """Wait for the pid; until ``delivery.go`` is sent nothing of the script can run."""
        await self._until(
            lambda: self._header.started is not None or self._header.is_hopeless, HEADER_S + delivery.slack_s
        )
        if self._header.started is not None and self._stop.cause is None:
            return None
        # Without the last bytes the bootstrap ends by itself; a login that hangs before it may need more.
        self._process.write_eof()
        self._process.signal("TERM")
        await self._process.until(lambda: self._process.is_over, SIGNAL_S)
        if self._stop.cause is not None:
            return stopped_before_start(self._stop.cause)
        if self._process.is_lost:
            return not_started("connection_lost")
        return not_started("bootstrap", self._header.noise)

    async def follow(
        self,
        delivery: Delivery,
        started: Callable[[Started], Awaitable[None]],
        stopping: Callable[[StopCause], Awaitable[None]],
    ) -> Ended:
        """Let the script run and see it to its end."""
        self._process.write(delivery.go)
        self._process.write_eof()
        limit_s = self._command.timeout_s
        deadline = None if limit_s is None else monotonic() + limit_s
        await self._until(lambda: bool(self._header.verdict), limit_s)
        if self._header.verdict not in ("", "ok"):
            await self._process.until(lambda: self._process.is_over, SIGNAL_S)
            return not_started(self._header.verdict)
        if self._header.verdict == "ok":
            assert self._header.started is not None
            await started(self._header.started)
            left_s = None if deadline is None else max(0.0, deadline - monotonic())
            await self._process.until(lambda: self._process.is_over or self._stop.cause is not None, left_s)
        if self._process.exit is not None:
            return await self._finish(self._process.exit)
        if self._process.is_lost and self._stop.cause is None:
            return await self._probe("The connection was lost.", "connection_lost")
        cause = self._stop.cause or StopCause.TIMEOUT
        await stopping(cause)
        if self._process.exit is not None:
            return await self._finish(self._process.exit)
        return await self._end(cause)

    async def see_ready(self) -> Ended:
        """End a dry run: nothing was sent but what is looked for, and without the last bytes nothing can run.

        The bootstrap reads on once user, working directory and interpreter are there, and then says what it lacks.
        """
        self._process.write_eof()
        await self._until(lambda: bool(self._header.verdict), HEADER_S)
        await self._process.until(lambda: self._process.is_over, SIGNAL_S)
        if self._header.verdict == "incomplete":
            return Ended(Outcome.EXITED, 0, message="Everything is in place. Nothing was executed.")
        if self._stop.cause is not None:
            return stopped_before_start(self._stop.cause)
        if self._process.is_lost:
            return not_started("connection_lost")
        is_denied = bool(self._command.run_as) and not self._header.has_become
        otherwise = "run_as_denied" if is_denied else "bootstrap"
        return not_started(self._header.verdict or otherwise, "" if self._header.verdict else self._header.noise)

    async def _until(self, condition: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait for the condition, the end, a stop or the time limit.

        An exit record can overtake output, so after one the output that says how it started is waited for.
        """
        process, stop = self._process, self._stop
        await process.until(lambda: condition() or process.is_over or stop.cause is not None, timeout_s)
        if process.exit is not None and not condition():
            await process.until(lambda: condition() or process.is_output_complete or process.is_lost, DRAIN_S)

    async def _finish(self, exit_: Exit) -> Ended:
        """End as the command itself ended."""
        if not self._header.verdict:
            if self._process.is_output_complete:
                is_denied = bool(self._command.run_as) and not self._header.has_become
                return not_started("run_as_denied" if is_denied else "bootstrap", self._header.noise)
            return await self._probe("The instance did not say whether it started.", "start_unconfirmed")
        if not exit_.is_known:
            return await self._probe("The instance did not say how it ended.", "no_exit_status")
        message = "" if await self._drain() else _STILL_OPEN
        if self._status(exit_) is None and not exit_.signal:
            return await self._probe("The instance did not say how it ended.", "no_exit_status")
        survivors: tuple[int, ...] = ()
        if self._stop.cause is not None:
            left = await self._sweep()
            message, survivors = "Finished before the stop.", left.pids
            if not left.is_clean:
                message += f" What it left running could not be stopped{named(left.pids)}."
        outcome = Outcome.SIGNALLED if exit_.signal else Outcome.EXITED
        return Ended(outcome, self._status(exit_), exit_.signal, message=message, survivors=survivors)

    async def _drain(self) -> bool:
        """Take what output is on its way; time in which the sink holds it back does not count."""
        process, header = self._process, self._header
        left_s = DRAIN_S
        while left_s > 0 and not process.is_output_complete and not process.is_lost:
            if header.is_paused:
                if not await process.until(lambda: not header.is_paused or process.is_lost, HELD_BACK_S):
                    break
                continue
            began_at = monotonic()
            await process.until(lambda: process.is_output_complete or process.is_lost or header.is_paused, left_s)
            left_s -= monotonic() - began_at
        return process.is_output_complete

    async def _end(self, cause: StopCause) -> Ended:
        """Stop it, and say so only when it is proven."""
        if self._tree().takes_signals:
            self._process.signal("TERM")
            await self._process.until(lambda: self._process.is_over, SIGNAL_S)
        left = await self._sweep()
        exit_ = self._process.exit or Exit()
        if not left.is_clean:
            message = "It may still be running: the instance could not be reached to make sure."
            if left.is_verified:
                message = f"It could not be stopped{named(left.pids)}. It still runs."
            elif left.is_blind:
                message = (
                    f"It may still be running{named(left.pids)}: sudo refused to stop it as {self._command.run_as}."
                )
            return Ended(
                Outcome.LOST, self._status(exit_), exit_.signal, "stop_unconfirmed", message, survivors=left.pids
            )
        # The exit record may come after the last output.
        await self._process.until(lambda: self._process.is_over, DRAIN_S)
        await self._drain()
        exit_ = self._process.exit or Exit()
        outcome = Outcome.TIMED_OUT if cause is StopCause.TIMEOUT else Outcome.STOPPED
        message = "Stopped; nothing of it is left running."
        if cause is StopCause.TIMEOUT:
            message = "The time limit was reached. It was stopped; nothing of it is left running."
        return Ended(outcome, self._status(exit_), exit_.signal, CAUSES.get(cause, ""), message)

    async def _probe(self, what: str, reason: str) -> Ended:
        """Say what a new connection can see of a command whose end was missed."""
        left = await self._contact(lambda tree, connection: _look(tree, connection))
        if left.is_blind:
            state = f"It may still be running{named(left.pids)}: sudo refused to look as {self._command.run_as}."
        elif not left.is_verified:
            state = "The instance could not be reached again, so it may still be running."
        elif left.pids:
            state = f"It still runs{named(left.pids)}."
        else:
            state = "Nothing of it runs any more. It ran at least in part."
        return Ended(Outcome.LOST, reason=reason, message=f"{what} {state}", survivors=left.pids)

    def _tree(self) -> ProcessTree:
        command = self._command
        return tree_of(command.command_type, command.marker, self._header.started, command.run_as)

    def _status(self, exit_: Exit) -> int | None:
        return self._header.exit_code if self._has_exit_line else exit_.status

    async def _sweep(self) -> Survivors:
        return await self._contact(lambda tree, connection: tree.stop(connection, grace_s=self._grace_s))

    async def _contact(self, act: Callable[[ProcessTree, Connection], Awaitable[Survivors]]) -> Survivors:
        return await contact(self._reconnect, self._tree(), act)


async def _look(tree: ProcessTree, connection: Connection) -> Survivors:
    await tree.look(connection)
    return tree.survivors()


def not_started(reason: str, detail: str = "") -> Ended:
    """Return the ending of a command that certainly never ran; ``detail`` is what the machine said instead."""
    message = _NOT_STARTED.get(reason, _NOT_STARTED["bootstrap"])
    if detail:
        message += f" It answered: {detail}"
    return Ended(Outcome.NOT_STARTED, reason=reason, message=message)


def stopped_before_start(cause: StopCause) -> Ended:
    """Return the ending of a command that was stopped before anything was sent."""
    outcome = Outcome.TIMED_OUT if cause is StopCause.TIMEOUT else Outcome.STOPPED
    return Ended(outcome, reason="not_started", message="Stopped before it started. It did not run.")
