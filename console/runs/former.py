"""Owns the instances of a former run as a choice: those that failed, did not run, …, or rows a person ticked."""

from dataclasses import dataclass

from console.members.models import User
from console.runs import services
from console.runs.number_sets import is_id, unfold
from console.runs.services import RunError
from console.runs.status import NEVER_RAN, Status

ROWS = "rows"
ALL = "all"
# More rows than a run has.
ROWS_LIMIT = 100_000
# What one may run again on: the words for a sentence, and the statuses it takes.
WHICH: dict[str, tuple[str, frozenset[Status]]] = {
    ALL: ("all", frozenset(Status)),
    "failed": ("those that failed", frozenset({Status.FAILED, Status.TIMED_OUT})),
    "did_not_run": ("those on which it did not run", NEVER_RAN),
    "unreachable": ("those that were not reached", frozenset({Status.UNREACHABLE})),
    "lost": ("those whose outcome is unknown", frozenset({Status.LOST})),
    "stopped": ("those that were stopped", frozenset({Status.STOPPED})),
    "succeeded": ("those that succeeded", frozenset({Status.SUCCEEDED})),
    ROWS: ("chosen rows", frozenset(Status)),
}


@dataclass(frozen=True, slots=True)
class Former:
    """What a choice from a run comes to: ids of instances in the run's order, and the names of those deleted since."""

    ids: tuple[int, ...]
    deleted: tuple[str, ...]


def instances_of_run(user: User, run: str, which: str, ordinals: str) -> Former:
    """Return the instances of these rows of a run, whatever they were chosen by then.

    Raises: RunError for a run the user may not see, an unknown ``which``, and rows that cannot be read.
    """
    found = services.visible_runs(user).filter(pk=run).first() if is_id(run) else None
    if found is None:
        raise RunError("former_run", f"There is no run {run[:20]}." if run.strip() else "Enter the number of a run.")
    if which not in WHICH:
        raise RunError("which", "Choose which of its instances are meant.")
    rows = services.visible_invocations(user, found).filter(status__in=sorted(WHICH[which][1]))
    # Ticked ones are not a condition of the query: thousands of them are more than a database takes.
    ticked = _numbers(ordinals) if which == ROWS else None
    ids: dict[int, None] = {}
    deleted: list[str] = []
    for ordinal, pk, name in rows.values_list("ordinal", "instance_id", "instance_name"):
        if ticked is not None and ordinal not in ticked:
            continue
        if pk is None:
            deleted.append(name)
        else:
            ids[pk] = None
    return Former(tuple(ids), tuple(deleted))


def _numbers(ordinals: str) -> set[int]:
    try:
        return unfold(ordinals, most=ROWS_LIMIT)
    except ValueError as error:
        raise RunError("former_run", str(error)) from None
