"""Owns whose turn it is in a session: one command at a time, in the order in which they were sent."""

import uuid

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from console.literals import literal
from console.runs.models import Invocation
from console.runs.status import ACTIVE, UNFINISHED, Status
from console.sessions.models import LIVE, OPEN, Session

# As the condition of its partial index has it.
_UNFINISHED = ", ".join(f"'{status}'" for status in sorted(UNFINISHED))
_ANYTHING_WAITS = (
    "SELECT 1 FROM console_invocation WHERE session_id IS NOT NULL "  # noqa: S608  (constants)
    f"AND status IN ({_UNFINISHED}) AND status = 'queued' LIMIT 1"
)


def startable_by(worker_id: uuid.UUID) -> Q:
    """Return the condition under which a worker may start a queued invocation, as far as sessions are concerned.

    It has none; or the worker holds its session, which is open, nothing of that session is active, and nothing that was
    sent to it before is still queued. Side effects: one query.
    """
    if not anything_waits():
        # Exact too: what is sent to a session this very moment is for the next look.
        return Q(session=None)
    held = Session.objects.filter(
        pk=OuterRef("session_id"), worker=worker_id, state__in=sorted(OPEN), close_requested_at=None
    )
    # Of two that are sent at once the one with the lower id can be committed later: by then the other may have begun.
    first = Q(pk__lt=OuterRef("pk")) | Q(status__in=[literal(status) for status in sorted(ACTIVE)])
    before = _unfinished().filter(first, session=OuterRef("session_id"))
    return Q(session=None) | (Exists(held) & ~Exists(before))


def anything_waits() -> bool:
    """Say whether anything is queued for any session.

    Asked several times a second, mostly where nobody uses sessions: without the ORM, which takes ten times as long to
    write the statement as the database to answer it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ANYTHING_WAITS)
        return cursor.fetchone() is not None


def left_waiting() -> QuerySet[Invocation]:
    """Return the queued invocations whose session has ended."""
    return _unfinished().filter(status=Status.QUEUED).exclude(session__state__in=sorted(LIVE))


def _unfinished() -> QuerySet[Invocation]:
    unfinished = [literal(status) for status in sorted(UNFINISHED)]
    return Invocation.objects.filter(session__isnull=False, status__in=unfinished).order_by()
