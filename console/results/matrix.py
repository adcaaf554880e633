"""Owns the matrix: one letter for each invocation of a run, in order."""

from dataclasses import dataclass

from console.members.models import User
from console.runs import services
from console.runs.models import Run
from console.runs.status import Status

# Letters, because a cell shows one where there is room: colour is never the only sign.
LETTERS = {
    Status.QUEUED: "q",
    Status.CONNECTING: "c",
    Status.RUNNING: "r",
    Status.DISCONNECTED: "d",
    Status.STOPPING: "g",
    Status.SUCCEEDED: "s",
    Status.FAILED: "f",
    Status.TIMED_OUT: "t",
    Status.STOPPED: "x",
    Status.CANCELLED: "n",
    Status.UNREACHABLE: "u",
    Status.SKIPPED: "k",
    Status.LOST: "l",
}


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the matrix draws. ``letters``, ``ordinals`` and ``names`` go together, one for each invocation."""

    revision: int
    has_ended: bool
    letters: str
    ordinals: list[int]
    names: list[str]

    def as_json(self, *, is_whole: bool) -> dict[str, object]:
        """Return what the browser reads; ordinals and names, which never change, only with the whole."""
        changing = {"revision": self.revision, "ended": self.has_ended, "letters": self.letters}
        return changing | {"ordinals": self.ordinals, "names": self.names} if is_whole else changing


def matrix(user: User, run: Run) -> Matrix:
    """Return the statuses of what a user may see of a run. Side effects: one query."""
    rows = list(services.visible_invocations(user, run).values_list("ordinal", "status", "instance_name"))
    return Matrix(
        revision=run.revision,
        has_ended=run.has_ended,
        letters="".join(LETTERS[Status(status)] for _, status, _ in rows),
        ordinals=[ordinal for ordinal, _, _ in rows],
        names=[name for _, _, name in rows],
    )
