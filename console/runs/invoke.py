"""Owns one invocation from its claim to its end status: target, connection, engine, and what each answer means."""

import asyncio
import functools
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from django.utils import timezone

from console.runs.journal import Journal
from console.runs.masking import Mask, MaskedOutput
from console.runs.rate import MAY_PASS
from console.runs.status import Status
from instances.engine.errors import ConnectError, EngineError
from instances.engine.execute import execute
from instances.engine.kept_shell import KeptShell
from instances.engine.transport import Connection
from instances.engine.types import Command, Ended, Outcome, Started, StopCause, StopSignal, Target

logger = logging.getLogger(__name__)

NEVER_STARTED = "Stopped before it started. The command did not run."
STATUS_OF_STOP = {StopCause.TIMEOUT: Status.TIMED_OUT}


class Pool(Protocol):
    """What is needed of the connection pool."""

    def borrow(
        self, target: Target, *, for_stop: bool = False, on_retry: Callable[[int], None] | None = None
    ) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for the length of a block."""


@dataclass(slots=True)
class Work:
    """Everything ``invoke`` needs about one claimed invocation."""

    journal: Journal
    target: Target
    command: Command
    allowed_exit_statuses: frozenset[int]
    stop: StopSignal
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_last_attempt: bool = True
    # Lends the shell of the session it is sent to, or None when that is gone.
    shell: Callable[[], AbstractAsyncContextManager[KeptShell]] | None = None

    def may_pass(self, error: ConnectError) -> bool:
        """Say whether another attempt is to be made, because why it was not reached may pass by itself."""
        return not self.is_last_attempt and self.stop.cause is None and error.reason in MAY_PASS


async def invoke(work: Work, *, pool: Pool, flush: Callable[[], Awaitable[None]]) -> ConnectError | None:
    """Run the command on its instance and leave the end status in the journal.

    Returns why the instance could not be reached, or None when it was.

    1. Borrow a connection; a connect error ends the invocation as ``unreachable``: it never ran. One that may pass does
       not while another attempt is to be made: then there is no end status, and the caller puts the invocation back.
    2. Commit ``start_sent_at`` before the start request leaves: a crash never leads to a second start.
    3. ``running`` once the instance reported the pid; output flows into the journal, secrets in it masked.
    4. The engine's one ``Ended`` becomes the end status. A dry run goes there from ``connecting``.
    Raises: nothing of the engine's.
    """
    journal, stop = work.journal, work.stop
    mask = Mask(work.secrets)
    masked = MaskedOutput(journal, mask) if work.secrets else None

    async def before_start() -> None:
        journal.set(start_sent_at=timezone.now(), marker=work.command.marker)
        await flush()
        if journal.is_fenced_out:
            raise FencedOut

    async def started(what: Started) -> None:
        now = timezone.now()
        journal.set(
            Status.RUNNING,
            started_at=now,
            remote_pid=what.pid,
            remote_started=what.start_time,
            code_page=what.code_page[:10],
        )

    async def stopping(cause: StopCause) -> None:
        journal.set(Status.STOPPING, message=SAY_STOPPING[cause])

    try:
        async with AsyncExitStack() as stack:
            execution = await _way(work, pool, stack)
            if execution is None:
                finish_unstarted(journal)
                return None
            ended = await execution(
                work.command,
                sink=masked or journal,
                before_start=before_start,
                started=started,
                stopping=stopping,
                stop=stop,
            )
    except FencedOut:
        logger.warning(
            "Another worker owns this invocation now", extra={"action": "fence", "id": journal.invocation_id}
        )
        return None
    except ConnectError as error:
        if not work.may_pass(error):
            finish_unreachable(journal, error, stopped=stop.cause is not None)
        return error
    except EngineError as error:
        # A session that ended since the claim: what is sent to it later is skipped, and so is this.
        status = Status.SKIPPED if error.reason == "session_closed" else Status.FAILED
        journal.finish(status, at=timezone.now(), reason=error.reason, message=mask.text(str(error)))
        return None
    if masked is not None:
        masked.flush()
    _finish(work, ended, mask)
    return None


async def _way(work: Work, pool: Pool, stack: AsyncExitStack) -> Callable[..., Awaitable[Ended]] | None:
    """Return what runs the command: its session's shell, or a connection of the pool; None when it is stopped before.

    Raises: ConnectError; CommandRefused when the session is not open any more.
    """
    if work.shell is not None:
        return (await stack.enter_async_context(work.shell())).execute
    target = work.target
    connection = await _unless_stopped(lambda: stack.enter_async_context(pool.borrow(target)), work.stop)
    if connection is None:
        return None
    return functools.partial(execute, connection, reconnect=lambda: pool.borrow(target, for_stop=True))


async def _unless_stopped(reach: Callable[[], Awaitable[Connection]], stop: StopSignal) -> Connection | None:
    """Return the connection, or None as soon as a stop is asked for: nobody waits for a time-out to be stopped."""
    task = asyncio.current_task()
    if task is None or stop.cause is not None:
        return None

    def give_up() -> None:
        task.cancel()

    stop.listen(give_up)
    try:
        return await reach()
    except asyncio.CancelledError:
        if stop.cause is None or task.uncancel():
            raise
        return None
    finally:
        stop.unlisten(give_up)


class FencedOut(Exception):
    """This worker's lease ran out and another took the invocation over; nothing may be started or written."""


SAY_STOPPING = {
    StopCause.USER: "Stopping: waiting until nothing of the command is left.",
    StopCause.TIMEOUT: "The time limit was reached. Stopping.",
    StopCause.SHUTDOWN: "The console is shutting down. Stopping.",
    StopCause.OUTPUT_CAP: "The output limit was reached. Stopping.",
}


def new_marker() -> uuid.UUID:
    """Return the marker of one attempt; Stop finds the processes of exactly this attempt by it."""
    return uuid.uuid4()


def finish_unstarted(journal: Journal) -> None:
    """End an invocation that was stopped before its start request left."""
    journal.finish(Status.CANCELLED, at=timezone.now(), reason="stopped_before_start", message=NEVER_STARTED)


def finish_unreachable(journal: Journal, error: ConnectError, *, stopped: bool) -> None:
    """End an invocation whose instance could not be reached."""
    if stopped:
        finish_unstarted(journal)
    else:
        journal.finish(Status.UNREACHABLE, at=timezone.now(), reason=error.reason, message=str(error))


def _finish(work: Work, ended: Ended, mask: Mask) -> None:
    status, reason, message = verdict(ended, work.stop.cause, work.allowed_exit_statuses, work.command.timeout_s)
    if work.command.is_dry_run and status is Status.SUCCEEDED:
        # In one commit with its end: until then a dry run is connecting, and a worker that dies leaves it queued.
        work.journal.set(Status.RUNNING, started_at=timezone.now())
    work.journal.finish(
        status,
        at=timezone.now(),
        reason=reason,
        message=mask.text(message),
        exit_status=ended.exit_status,
        exit_signal=ended.exit_signal,
    )


def verdict(
    ended: Ended, cause: StopCause | None, allowed_exit_statuses: frozenset[int], timeout_s: float | None
) -> tuple[Status, str, str]:
    """Return the end status, reason and message for what the engine saw. Pure."""
    match ended.outcome:
        case Outcome.EXITED if ended.exit_status in allowed_exit_statuses:
            return Status.SUCCEEDED, ended.reason, ended.message
        case Outcome.EXITED:
            return Status.FAILED, ended.reason or "exit_status", ended.message
        case Outcome.SIGNALLED:
            return Status.FAILED, "signal", ended.message or f"It was ended by signal {ended.exit_signal}."
        case Outcome.NOT_STARTED:
            return Status.FAILED, ended.reason, ended.message
        case Outcome.TIMED_OUT:
            return Status.TIMED_OUT, "time_limit", f"Ended at the time limit of {timeout_s:g} s; nothing of it is left."
        case Outcome.STOPPED if ended.reason == "not_started":
            return Status.CANCELLED, "stopped_before_start", NEVER_STARTED
        case Outcome.STOPPED if cause is StopCause.SHUTDOWN:
            return Status.STOPPED, "console_shutdown", "Stopped because the console shut down; nothing of it is left."
        case Outcome.STOPPED if cause is StopCause.OUTPUT_CAP:
            return Status.STOPPED, "output_cap", "Stopped because it wrote more than is kept; nothing of it is left."
        case Outcome.STOPPED:
            return Status.STOPPED, ended.reason, ended.message or "Stopped; nothing of it is left."
        case Outcome.LOST:
            return Status.LOST, ended.reason or "connection_lost", ended.message
