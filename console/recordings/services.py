"""Everything that is done with recordings: workers write them, people find, watch and delete them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from console.recordings.models import Recording, RecordingPart
from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.models import AuditEntry
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User

PART_BYTES = 64 * 1024
# Three times as quick as zlib of itself, for a tenth more bytes: a flood must not keep commands waiting.
QUICKLY = 1
WATCHED = "watch_recording"
# A player asks for many parts, and goes back to the first: that is one look.
ONE_LOOK = timedelta(minutes=30)
LOOKS_SHOWN = 50

# ------------------------------------------------------------------ workers


@dataclass(frozen=True)
class Addition:
    """Bytes that belong at ``offset`` of a recording's file, and what they hold."""

    recording_id: int
    offset: int
    data: bytes
    events: int
    until_ms: int
    lost: int


def begin(
    *,
    session_id: int,
    instance_id: int | None,
    instance_name: str,
    owner_id: int | None,
    owner_name: str,
    started_at: datetime,
    columns: int,
    rows: int,
) -> Recording:
    """Begin the recording of a session; asked again, return the one that was begun."""
    found, _ = Recording.objects.get_or_create(
        session_id=session_id,
        defaults={
            "instance_id": instance_id,
            "instance_name": instance_name,
            "owner_id": owner_id,
            "owner_name": owner_name,
            "started_at": started_at,
            "columns": columns,
            "rows": rows,
        },
    )
    return found


def append(additions: Sequence[Addition]) -> None:
    """Add to recordings, all in one transaction. What is there already stays as it is, so this can be tried again.

    Side effects: three queries for however many, and two more for each that fills a part.
    """
    with transaction.atomic():
        ids = [one.recording_id for one in additions]
        rows = Recording.objects.select_for_update().filter(pk__in=ids, ended_at=None).in_bulk()
        fitting = [one for one in additions if one.recording_id in rows and rows[one.recording_id].size == one.offset]
        for one in fitting:
            row = rows[one.recording_id]
            row.size, row.duration_ms = one.offset + len(one.data), one.until_ms
            row.events, row.lost = row.events + one.events, row.lost + one.lost
        Recording.objects.bulk_create(
            [rows[one.recording_id] for one in fitting],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["size", "duration_ms", "events", "lost"],
        )
        RecordingPart.objects.bulk_create(part for one in fitting for part in _parts(one))


def end(recording_id: int, *, duration_ms: int) -> None:
    """Say that nothing more comes."""
    open_ones = Recording.objects.filter(pk=recording_id, ended_at=None)
    open_ones.update(ended_at=timezone.now(), duration_ms=duration_ms)


def end_left_alone() -> int:
    """End the recordings of sessions that have ended without their worker's saying so; returns how many."""
    left = Recording.objects.filter(Q(session=None) | ~Q(session__closed_at=None), ended_at=None)
    # As an update alone this would take the write lock of SQLite to find nothing.
    return left.update(ended_at=timezone.now()) if left.exists() else 0


def _parts(one: Addition) -> Iterator[RecordingPart]:
    """Yield the parts to store; short ones that are there go into a full one once there are enough."""
    offset, data = one.offset, one.data
    floor = offset // PART_BYTES * PART_BYTES
    if (offset + len(data)) // PART_BYTES > offset // PART_BYTES:
        short = RecordingPart.objects.filter(recording_id=one.recording_id, offset__gte=floor)
        before = b"".join(zlib.decompress(part.data) for part in short.order_by("offset"))
        short.delete()
        offset, data = floor, before + data
    first = PART_BYTES - offset % PART_BYTES
    starts = [0, *range(first, len(data), PART_BYTES)]
    for start, stop in zip(starts, [*starts[1:], len(data)], strict=True):
        packed = zlib.compress(data[start:stop], QUICKLY)
        yield RecordingPart(recording_id=one.recording_id, offset=offset + start, data=packed)


# ------------------------------------------------------------------ people


def visible_recordings(user: "User") -> QuerySet[Recording]:
    """Return the recordings of the user's own terminals, and of those in groups whose sessions the user manages."""
    managed = rules.scope(user, Action.MANAGE_SESSIONS, field="instance__group")
    # Everywhere is an empty filter, which would vanish beside another.
    return Recording.objects.filter(Q(owner=user) | managed) if managed else Recording.objects.all()


def may_manage(user: "User", recording: Recording) -> bool:
    """Say whether a user may delete a recording and see who watched it. Side effects: a query."""
    return rules.allowed(user, Action.MANAGE_SESSIONS, _group_of(recording))


def note_watched(actor: "User", recording: Recording, how: str) -> None:
    """Leave in the audit that somebody sees what was recorded; once for what belongs to one look at it.

    ``how`` is played, searched or downloaded.
    """
    since = timezone.now() - ONE_LOOK
    looks = AuditEntry.objects.filter(subject=recording.subject, action=WATCHED, actor=actor, at__gte=since)
    if any(entry.details.get("how") == how for entry in looks):
        return
    with transaction.atomic():
        record(actor, WATCHED, recording.subject, id=recording.pk, how=how, owner=recording.owner_name)


def looks_at(recording: Recording) -> QuerySet[AuditEntry]:
    """Return the audit of who saw a recording, newest first."""
    return AuditEntry.objects.filter(subject=recording.subject, action=WATCHED).order_by("-pk")[:LOOKS_SHOWN]


def delete(actor: "User", recording: Recording) -> None:
    """Delete a recording with everything of it.

    Raises: NotAllowed, ValidationError while it is being recorded.
    """
    rules.require(actor, Action.MANAGE_SESSIONS, _group_of(recording))
    if recording.is_live:
        raise ValidationError("It is still being recorded. Close the terminal first.")
    with transaction.atomic():
        record(
            actor,
            "delete_recording",
            recording.subject,
            id=recording.pk,
            owner=recording.owner_name,
            started_at=recording.started_at.isoformat(),
            size=recording.size,
        )
        recording.delete()


def _group_of(recording: Recording) -> Group | None:
    return recording.instance.group if recording.instance is not None else None
