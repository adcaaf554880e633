"""Owns what workers do with session rows: take those to open, say how each is, find those that are to be closed."""

import datetime
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import bus
from console.recordings import services as recordings
from console.sessions import services
from console.sessions.models import LIVE, Kind, Session, State
from instances.access import rules
from instances.audit.services import record
from instances.credentials.services import credential_for, is_suspended
from instances.engine.types import Target
from instances.inventory.jumps import blocked
from instances.inventory.targets import target_of

SUSPENDED = "Its credential was refused twice and is not offered until somebody presses Try again."
WORKER_GONE = (
    "The console's worker that held it ended. What it ran may go on for a while; nothing can be sent to it any more."
)
# The page of a terminal that was just opened is still on its way, however short the grace period.
FIRST_PAGE_S = 30


@dataclass(frozen=True)
class Order:
    """A session to open, made ready."""

    session_id: int
    kind: str
    instance_id: int
    target: Target
    marker: uuid.UUID
    command_type: str
    interpreter: str
    working_directory: str
    columns: int
    rows: int
    is_recorded: bool
    grace_s: int
    title: str


def claim(worker_id: uuid.UUID, limit: int) -> list[Order]:
    """Take up to ``limit`` sessions that are to be opened; what may not be opened any more is ended instead."""
    waiting = Session.objects.filter(state=State.OPENING, worker=None).order_by("pk")
    # Asked several times a second: an empty answer must not cost the one write lock.
    if limit < 1 or not waiting.exists():
        return []
    with transaction.atomic():
        ids = list(waiting.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Session.objects.filter(pk__in=ids).update(worker=worker_id)
    rows = Session.objects.filter(pk__in=ids).select_related("owner", "instance__group", "instance__credential")
    return [order for row in rows.order_by("pk") if (order := _order(worker_id, row)) is not None]


def opened(
    worker_id: uuid.UUID, session_id: int, *, state: State, remote_pid: int | None, interpreter: str = ""
) -> bool:
    """Say that a session is open; False when it is no longer this worker's."""
    now = timezone.now()
    values = {"interpreter": interpreter[:255]} if interpreter else {}
    return _write(
        worker_id,
        session_id,
        state=state,
        remote_pid=remote_pid,
        opened_at=now,
        last_used_at=now,
        detached_at=now if state is State.DETACHED else None,
        **values,
    )


def note_state(worker_id: uuid.UUID, session_id: int, state: State) -> bool:
    """Say how an open session is now; False when it is no longer this worker's."""
    now = timezone.now()
    return _write(
        worker_id,
        session_id,
        state=state,
        last_used_at=now,
        detached_at=now if state is State.DETACHED else None,
    )


def note_used(worker_id: uuid.UUID, session_ids: Collection[int]) -> None:
    """Say that something moves in these terminals."""
    if session_ids:
        Session.objects.filter(worker=worker_id, pk__in=session_ids, state__in=LIVE).update(last_used_at=timezone.now())


def ended(
    worker_id: uuid.UUID, session_id: int, *, is_broken: bool, reason: str, message: str, exit_status: int | None = None
) -> bool:
    """Write how a session ended, once."""
    return _write(
        worker_id,
        session_id,
        state=State.BROKEN if is_broken else State.CLOSED,
        reason=reason[:40],
        message=message[:1000],
        exit_status=exit_status,
        closed_at=timezone.now(),
        detached_at=None,
    )


def due(worker_id: uuid.UUID) -> list[tuple[int, str, str]]:
    """Return those of this worker's sessions that must be closed now, each with reason and message."""
    now = timezone.now()
    mine = Session.objects.filter(worker=worker_id, state__in=LIVE)
    rows = mine.select_related("owner", "instance__group").order_by("pk")
    # One question per person and group, not per session.
    with rules.remembered():
        return [(row.pk, *why) for row in rows if (why := _why_close(row, now))]


def reap(alive: "QuerySet[Any, Any]") -> int:
    """End what is held by none of the workers of these ids; returns how many."""
    orphans = Session.objects.filter(state__in=LIVE).exclude(worker=None).exclude(worker__in=alive)
    if not orphans.order_by().exists():
        return 0
    with transaction.atomic():
        names = [f"{row.instance_name} ({row.pk})" for row in orphans]
        count = orphans.update(
            state=State.BROKEN, reason="console_restarted", message=WORKER_GONE, closed_at=timezone.now()
        )
        recordings.end_left_alone()
        record(None, "lose_session", ", ".join(names), count=count)
        transaction.on_commit(lambda: bus.ring(bus.WEB))
    return count


def _write(worker_id: uuid.UUID, session_id: int, **values: object) -> bool:
    changed = Session.objects.filter(pk=session_id, worker=worker_id, state__in=LIVE).update(**values)
    bus.ring(bus.WEB)
    return changed == 1


def _why_close(row: Session, now: datetime.datetime) -> tuple[str, str] | None:
    if row.instance is None:
        return "instance_deleted", "Closed: the instance was deleted."
    if row.instance.is_disabled:
        return "instance_disabled", "Closed: the instance was disabled."
    if row.owner is None or not services.may_use(row.owner, row):
        return "not_permitted", f"Closed: {row.owner_name} may no longer have it."
    # After that: who was deactivated was signed out by it, and the page of their terminal may have seen that first.
    if row.close_requested_at is not None:
        return "closed", f"Closed by {row.close_requested_by}."
    if row.opened_at is None:
        return None
    if (now - row.opened_at).total_seconds() > row.age_limit_s:
        return "too_old", f"Closed: it was open for {_span(row.age_limit_s)} (MUSTER_SESSION_AGE_S)."
    if row.state == State.BUSY:
        return None
    if row.detached_at is not None and (now - row.detached_at).total_seconds() > (grace_s := _grace_s(row)):
        long = f"showed it for {_span(grace_s)}" if grace_s else "shows it any more"
        return "detached", f"Closed: no page {long} (MUSTER_SESSION_GRACE_S)."
    if (now - row.last_used_at).total_seconds() > row.idle_limit_s:
        return "idle", f"Closed: it was not used for {_span(row.idle_limit_s)} (MUSTER_SESSION_IDLE_S)."
    return None


def _grace_s(row: Session) -> int:
    is_new = row.detached_at == row.opened_at
    return max(row.grace_s, FIRST_PAGE_S) if is_new else row.grace_s


def _span(seconds: int) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _order(worker_id: uuid.UUID, row: Session) -> Order | None:
    instance = row.instance
    why = _why_close(row, timezone.now())
    if instance is None or why is not None:
        reason, message = why or ("instance_deleted", "The instance was deleted.")
        ended(worker_id, row.pk, is_broken=True, reason=reason, message=message)
        return None
    credential = credential_for(instance)
    if credential is not None and is_suspended(credential, instance):
        ended(worker_id, row.pk, is_broken=True, reason="auth_failed", message=SUSPENDED)
        return None
    if (way := blocked([instance]).get(instance.pk)) is not None:
        ended(worker_id, row.pk, is_broken=True, reason=way.reason, message=way.cause)
        return None
    return Order(
        session_id=row.pk,
        kind=row.kind,
        instance_id=instance.pk,
        target=target_of(instance),
        marker=row.marker,
        command_type=row.command_type,
        interpreter=row.interpreter,
        working_directory=row.working_directory,
        columns=row.columns,
        rows=row.rows,
        is_recorded=row.is_recorded and row.kind == Kind.TERMINAL,
        grace_s=row.grace_s,
        title=row.instance_name,
    )
