"""Owns how the rollout of a run is shown: which batch, what it waits for, how it went so far."""

from dataclasses import dataclass

from django.db.models import Count
from django.utils import timezone

from console.members.models import User
from console.runs import services
from console.runs.models import Run
from console.runs.rate import Gate, Rollout
from console.runs.status import Status


@dataclass(frozen=True, slots=True)
class RolloutView:
    """What the bar on a run's panel shows. Batches are counted from 1 here.

    ``batch`` is the one at work or next, ``next_in_s`` the seconds until it starts (None: no pause), ``succeeded`` of
    ``ended`` what became of those before it, ``left`` how many instances have not started.
    """

    batch: int
    batches: int
    is_asking: bool
    next_in_s: float | None
    is_paused: bool
    paused_by: str
    succeeded: int
    ended: int
    left: int

    @property
    def number(self) -> int:
        """The number of the batch as whoever answers names it, from 0."""
        return self.batch - 1


def rollout_view(user: User, run: Run, numbers: dict[str, int]) -> RolloutView | None:
    """Return what a user sees of a run's rollout, None once nothing can start any more.

    None too for a small run without batches: a bar that is there for a moment only moves what is below it.
    ``numbers`` are those the user sees, by filter. Side effects: one query where somebody is asked.
    """
    left = numbers["queued"]
    is_plain = run.batch_count == 1 and run.paused_at is None and run.target_count <= run.max_concurrency
    if run.has_ended or not left or is_plain:
        return None
    is_asking = run.gate == Gate.ASK
    succeeded, ended = _so_far(user, run) if is_asking else (0, 0)
    waits_s = (run.gate_until - timezone.now()).total_seconds() if run.gate_until is not None else None
    return RolloutView(
        batch=run.batch + 1,
        batches=run.batch_count,
        is_asking=is_asking,
        next_in_s=None if waits_s is None else max(0.0, waits_s),
        is_paused=run.paused_at is not None,
        paused_by=run.paused_by,
        succeeded=succeeded,
        ended=ended,
        left=left,
    )


def _so_far(user: User, run: Run) -> tuple[int, int]:
    """Return how many of the batches before the next one succeeded, of how many the user may see."""
    before = services.visible_invocations(user, run).filter(batch__lt=run.batch).order_by()
    counts = dict(before.values_list("status").annotate(Count("pk")))
    return counts.get(Status.SUCCEEDED, 0), sum(counts.values())


@dataclass(frozen=True, slots=True)
class Limits:
    """What was entered, beside what it came to."""

    rollout: Rollout
    batch_count: int

    @property
    def are_in_rows(self) -> bool:
        """Whether rows say their batch or attempt."""
        return self.batch_count > 1 or self.rollout.connect_attempts > 1


def limits_of(run: Run) -> Limits:
    """Return the limits and the rollout of a run for its head and its rows."""
    return Limits(Rollout.of(run.rollout), run.batch_count)
