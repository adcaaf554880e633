"""Owns the end of what waits for a session that has ended: it would wait for ever."""

from django.db import transaction
from django.utils import timezone

from console import bus
from console.runs import in_sessions, queue, turns
from console.runs.models import Run
from console.runs.status import Status
from console.sessions.models import Session


def skip_left_waiting() -> int:
    """End what is queued for sessions that have ended as skipped, with the reason, and return how many these were."""
    # Asked several times a second: an empty answer must cost next to nothing, and not the one write lock.
    if not turns.anything_waits() or not (left := turns.left_waiting()).exists():
        return 0
    skipped = 0
    with transaction.atomic():
        # In the order in which claims lock them.
        for run in Run.objects.filter(pk__in=left.values("run_id")).order_by("pk").select_for_update():
            rows = left.filter(run=run)
            revision, now = queue.next_revision(run), timezone.now()
            for session in Session.objects.filter(pk__in=rows.values("session_id")):
                skipped += rows.filter(session=session).update(
                    status=Status.SKIPPED,
                    reason="session_closed",
                    message=in_sessions.closed(session),
                    finished_at=now,
                    revision=revision,
                )
            queue.refresh_counts(run)
        transaction.on_commit(lambda: bus.ring(bus.WEB))
    return skipped
