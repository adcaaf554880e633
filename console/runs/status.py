"""Owns the statuses of invocations and runs, and how the one follows from the other. Pure: no database, no clock."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """The closed set of an invocation's statuses; docs/reference/statuses.md says what each means exactly."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    RUNNING = "running"
    DISCONNECTED = "disconnected"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"
    LOST = "lost"


ACTIVE = frozenset({Status.CONNECTING, Status.RUNNING, Status.DISCONNECTED, Status.STOPPING})
UNFINISHED = ACTIVE | {Status.QUEUED}
END = frozenset(Status) - UNFINISHED
# Ends of a command that was never started: safe to send again.
NEVER_RAN = frozenset({Status.CANCELLED, Status.UNREACHABLE, Status.SKIPPED})
# Ends that use up ``max_errors``.
ERRORS = frozenset({Status.FAILED, Status.TIMED_OUT, Status.UNREACHABLE, Status.LOST})

# Which statuses may follow which. An end status is written once; ``lost`` alone may later be resolved.
NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.CONNECTING, Status.CANCELLED, Status.SKIPPED}),
    Status.CONNECTING: frozenset(
        {
            Status.QUEUED,
            Status.RUNNING,
            Status.STOPPING,
            Status.FAILED,
            Status.CANCELLED,
            Status.UNREACHABLE,
            Status.SKIPPED,
            Status.LOST,
        }
    ),
    Status.RUNNING: frozenset({Status.DISCONNECTED, Status.STOPPING, Status.SUCCEEDED, Status.FAILED, Status.LOST}),
    Status.DISCONNECTED: frozenset({Status.RUNNING, Status.STOPPING, Status.SUCCEEDED, Status.FAILED, Status.LOST}),
    Status.STOPPING: frozenset(
        {Status.STOPPED, Status.TIMED_OUT, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.LOST}
    ),
    Status.LOST: END - {Status.LOST},
}


class RunStatus(StrEnum):
    """What a whole run comes to."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    FAILED = "failed"
    PARTIAL = "partial"


ENDED_RUN = frozenset({RunStatus.SUCCEEDED, RunStatus.STOPPED, RunStatus.FAILED, RunStatus.PARTIAL})
# Only of these can anything be started: workers look at no others.
STARTABLE = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.STOPPING})


def may_follow(old: Status, new: Status) -> bool:
    """Say whether an invocation may go from one status to another."""
    return new in NEXT.get(old, frozenset())


def sources_of(new: Status) -> frozenset[Status]:
    """Return the statuses from which an invocation may come to ``new``; for compare-and-set updates."""
    return frozenset(old for old in Status if may_follow(old, new))


def roll_up(
    counts: Mapping[str, int], *, stop_asked: bool, is_waiting: bool = False, is_paused: bool = False
) -> RunStatus:
    """Derive a run's status from how many invocations are in each status.

    A run succeeded only if every invocation did; a lost one is never hidden behind "stopped". One that waits for an
    answer, or is paused, is called so once nothing of it is active.
    """
    present = {Status(name) for name, count in counts.items() if count}
    if Status.QUEUED in present and not present & ACTIVE and (is_waiting or is_paused):
        return RunStatus.PAUSED if is_paused else RunStatus.WAITING
    if present & ACTIVE or (Status.QUEUED in present and present != {Status.QUEUED}):
        return RunStatus.STOPPING if stop_asked else RunStatus.RUNNING
    if present == {Status.QUEUED}:
        return RunStatus.QUEUED
    if present == {Status.SUCCEEDED}:
        return RunStatus.SUCCEEDED
    if stop_asked and present & {Status.STOPPED, Status.CANCELLED} and Status.LOST not in present:
        return RunStatus.STOPPED
    if Status.SUCCEEDED not in present:
        return RunStatus.FAILED
    return RunStatus.PARTIAL
