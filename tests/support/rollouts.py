"""Runs in batches, moved along as workers and their writers do."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils import timezone

from console.runs import attempts, queue
from console.runs.models import Invocation, Run
from console.runs.rate import Rollout


def rollout(**fields: Any) -> dict[str, Rollout]:
    """Return what `send` takes as the batches of a run."""
    return {"rollout": Rollout(**fields)}


def take(worker: UUID, slots: int = 100) -> list[int]:
    """Claim as a worker does; return the invocations it got."""
    return [claim.invocation_id for claim in queue.claim(worker, slots=slots)]


def put_back(claim: queue.Claim, delay_s: float = 60.0) -> bool:
    """Have an instance tried again later, as after a refused connection; return whether it was still the claim's."""
    return attempts.try_again_later(claim, delay_s=delay_s, reason="refused", message="Attempt 1 of 3")


def end(ids: Iterable[int], status: str = "succeeded") -> None:
    """End invocations as a worker's writer does."""
    rows = Invocation.objects.filter(pk__in=ids)
    (run_id,) = set(rows.values_list("run_id", flat=True))
    run = Run.objects.get(pk=run_id)
    rows.update(status=status, finished_at=timezone.now(), revision=queue.next_revision(run))
    queue.refresh_counts(run)


def fresh(run: Run) -> Run:
    """Return the run as it is stored now."""
    return Run.objects.get(pk=run.pk)


def state(run: Run) -> tuple[str, str, int]:
    """Return the run's status, its gate and its batch."""
    run = fresh(run)
    return run.status, run.gate, run.batch
