"""Owns what a run with batches may start, and the gates between them; inside the transaction that changes its statuses.

``open_before`` always takes in the batch that is at work or next; ``gate`` says whether the next one may begin yet. So
the end of a pause needs no write, and a run that waits costs workers nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from console.runs.models import Invocation, Run
from console.runs.rate import EVERYTHING, Gate, Plan, Rollout, gate_after, is_over
from console.runs.status import ACTIVE, STARTABLE, Status

# The columns of a run that ``advance`` and whoever answers may change.
STATE = ("batch", "open_before", "gate", "gate_until", "paused_at", "paused_by")


def open_runs(now: datetime, queued: QuerySet[Invocation]) -> QuerySet[Run]:
    """Return the runs of which something may be started now; ``queued`` are the invocations that are.

    A run that waits for an answer, or is paused, has a status of its own once nothing of it is active; the index on the
    status passes it over.
    """
    going = Run.objects.filter(status__in=sorted(STARTABLE), paused_at=None)
    going = going.filter(Q(gate=Gate.OPEN) | Q(gate=Gate.PAUSE, gate_until__lte=now))
    due = queued.filter(Q(retry_at=None) | Q(retry_at__lte=now))
    return going.filter(Exists(due.filter(run=OuterRef("pk"), ordinal__lt=OuterRef("open_before"))))


def is_open(run: Run, now: datetime) -> bool:
    """Say whether anything of a locked run may be started."""
    is_due = run.gate == Gate.PAUSE and run.gate_until is not None and run.gate_until <= now
    return run.paused_at is None and (run.gate == Gate.OPEN or is_due)


def pass_gate(run: Run) -> None:
    """Note that the next batch has begun."""
    if run.gate != Gate.OPEN:
        run.gate, run.gate_until = Gate.OPEN, None
        run.save(update_fields=["gate", "gate_until"])


def advance(run: Run) -> None:
    """Once everything that was open has ended, open the next batch, or put a gate before it; ``run.counts`` are fresh.

    Only sets columns of ``STATE``; the caller saves. Side effects: up to three queries, none without batches.
    """
    if run.batch_count < 2 or any(run.counts.get(status) for status in ACTIVE):
        return
    queued = run.invocations.filter(status=Status.QUEUED).order_by("ordinal").values_list("ordinal", "batch").first()
    if queued is None:
        run.gate, run.gate_until = Gate.OPEN, None
        return
    ordinal, batch = queued
    if ordinal < run.open_before or batch is None:
        return
    if run.gate == Gate.OPEN:
        run.gate = _gate_after(run)
        is_pause = run.gate == Gate.PAUSE
        run.gate_until = timezone.now() + timedelta(seconds=_rollout(run).batch_pause_s) if is_pause else None
    following = run.invocations.filter(ordinal__gt=ordinal, batch__gt=batch).order_by("ordinal")
    start = following.values_list("ordinal", flat=True).first()
    run.batch, run.open_before = batch, EVERYTHING if start is None else start


def _gate_after(run: Run) -> Gate:
    former = run.invocations.filter(ordinal__lt=run.open_before, batch=run.batch)
    return gate_after(
        _rollout(run),
        batch=run.batch,
        all_succeeded=not former.exclude(status=Status.SUCCEEDED).exists(),
        is_over=is_over(run.error_count, run.max_errors),
    )


def _rollout(run: Run) -> Rollout:
    return Rollout.of(run.rollout)


def first_open_before(plan: Plan, refusals: Sequence[object | None]) -> int:
    """Return the ordinal at which a new run's second batch starts; refused instances are in none."""
    if len(plan.sizes) < 2:
        return EVERYTHING
    left = plan.sizes[0]
    for ordinal, refusal in enumerate(refusals):
        if refusal is None and left == 0:
            return ordinal
        left -= refusal is None
    return EVERYTHING
