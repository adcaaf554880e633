"""Owns another attempt at an instance that could not be reached, before anything was started there."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.runs import queue
from console.runs.models import Run
from console.runs.status import Status


def try_again_later(claim: queue.Claim, *, delay_s: float, reason: str, message: str) -> bool:
    """Put back a claimed invocation that could not be reached: until then it holds no slot, and anybody may take it.

    False, and nothing is changed, when it is no longer this worker's, its start was sent, or a stop was asked for.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=claim.run_id)
        mine = run.invocations.filter(pk=claim.invocation_id, fence=claim.fence, status=Status.CONNECTING)
        put_back = mine.filter(start_sent_at=None, stop_requested_at=None).update(
            status=Status.QUEUED,
            owner=None,
            fence=F("fence") + 1,
            retry_at=timezone.now() + timedelta(seconds=delay_s),
            reason=reason,
            message=message[:1000],
            revision=queue.next_revision(run),
        )
        if put_back:
            queue.refresh_counts(run)
    return put_back == 1
