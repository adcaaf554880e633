"""Owns what people do with schedules: make, change, pause, resume and delete them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from console.members.models import User
from console.saved_commands.models import SavedCommandVersion
from console.schedules import sending
from console.schedules.models import Firing, Outcome, Overlap, Schedule, Source
from console.schedules.sending import Values
from console.schedules.timing import Kind, Rule, TimingError
from instances.access import rules
from instances.access.rules import Action, NotAllowed
from instances.audit.services import record

MAX_LATE_MINUTES = 24 * 60
LATE_RULE = f"Between 0 and {MAX_LATE_MINUTES:,} minutes."
# What a schedule's form changes; being due, paused or resumed overtakes nobody's form.
_EDITED = (
    "name", "values", "source", "saved_id", "version_id", "is_frozen", "overlap", "late_within_minutes",
    "kind", "zone", "anchor_at", "expression", "every", "unit", "ends_at",
)  # fmt: skip


class ScheduleError(Exception):
    """It cannot be scheduled like this. ``field`` names the form field the message belongs to; empty for none."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ChangedMeanwhile(ScheduleError):
    """It was changed since its form was drawn; ``schedule`` is how it is now."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__("base", "The schedule was changed meanwhile, in another window. Nothing was saved.")
        self.schedule = schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule is to be; ``version`` is the saved command's that it sends, for ``LATEST`` and ``VERSION``."""

    name: str
    rule: Rule
    values: Values
    source: Source = Source.TEXT
    version: SavedCommandVersion | None = None
    is_frozen: bool = False
    overlap: Overlap = Overlap.SKIP
    late_within_minutes: int = 0


# ------------------------------------------------------------------ what one may see


def manages_all(user: User) -> bool:
    """Whether a user sees, pauses and deletes everybody's schedules."""
    return rules.allowed(user, Action.MANAGE_SCHEDULES)


def visible(user: User) -> QuerySet[Schedule]:
    """Return the schedules a user may see: his own, for those who manage schedules all."""
    rows = Schedule.objects.select_related("owner", "saved", "version__saved")
    return rows if manages_all(user) else rows.filter(owner=user)


def require_owner(actor: User, schedule: Schedule) -> None:
    """Refuse whoever does not own a schedule: it acts as its owner, whatever somebody else wrote or pressed.

    Raises: NotAllowed, for those who manage everybody's schedules too.
    """
    if schedule.owner_id != actor.pk:
        why = "A schedule acts as its owner: nobody else can change it or start it."
        raise NotAllowed(Action.SEND_COMMAND, why)


# ------------------------------------------------------------------ make and change


def add(actor: User, plan: Plan) -> Schedule:
    """Make a schedule that acts as the actor. What it sends is tried out first and taken back.

    Raises: ScheduleError, SendingRefused, NotAllowed.
    """
    rules.require_anywhere(actor, Action.SEND_COMMAND)
    return _save(actor, Schedule(owner=actor, owner_name=actor.get_username()), plan, "schedule.add")


def change(actor: User, *, schedule: Schedule, plan: Plan, base: str) -> Schedule:
    """Make a schedule of the actor's own something else. ``base`` is the ``edit_token`` of what he looked at.

    Raises: ChangedMeanwhile; as ``add``.
    """
    rules.require_anywhere(actor, Action.SEND_COMMAND)
    require_owner(actor, schedule)
    return _save(actor, schedule, plan, "schedule.change", base)


def edit_token(schedule: Schedule) -> str:
    """Return what changes whenever what a form says of a schedule does; a form carries it."""
    said = json.dumps([getattr(schedule, name) for name in _EDITED], cls=DjangoJSONEncoder, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _save(actor: User, schedule: Schedule, plan: Plan, action: str, base: str = "") -> Schedule:
    _validate(plan)
    values = sending.frozen(actor, plan.values) if plan.is_frozen else plan.values
    try:
        with transaction.atomic():
            if schedule.pk:
                schedule = Schedule.objects.select_for_update().get(pk=schedule.pk)
                if edit_token(schedule) != base:
                    raise ChangedMeanwhile(schedule)
            _fill(schedule, plan, values)
            sending.try_out(actor, sending.contents(schedule))
            _set_next(schedule)
            schedule.save()
            record(actor, action, f"schedule {schedule.name}", id=schedule.pk, next_at=_said(schedule.next_at))
    except IntegrityError as error:
        raise ScheduleError("name", f"You have a schedule named {plan.name} already.") from error
    return schedule


def _validate(plan: Plan) -> None:
    if not plan.name.strip() or not plan.name.strip().isprintable():
        raise ScheduleError("name", "Give it a name, of visible characters in one line.")
    if plan.source != Source.TEXT and plan.version is None:
        raise ScheduleError("source", "That saved command is not there any more: choose the command as it is written.")
    if not 0 <= plan.late_within_minutes <= MAX_LATE_MINUTES:
        raise ScheduleError("late_within_minutes", LATE_RULE)


def _fill(schedule: Schedule, plan: Plan, values: Values) -> None:
    rule, version = plan.rule, plan.version
    schedule.name, schedule.values, schedule.source = plan.name.strip(), values, plan.source
    schedule.saved = version.saved if version and plan.source != Source.TEXT else None
    schedule.version = version if plan.source == Source.VERSION else None
    schedule.saved_name = schedule.saved.name if schedule.saved else ""
    schedule.is_frozen, schedule.overlap = plan.is_frozen, plan.overlap
    schedule.late_within_minutes = plan.late_within_minutes
    schedule.kind, schedule.zone, schedule.expression = rule.kind.value, rule.zone, rule.expression
    schedule.anchor_at, schedule.every, schedule.unit = rule.anchor, rule.every, rule.unit.value
    schedule.ends_at = rule.ends_at


def _set_next(schedule: Schedule) -> None:
    next_at = _next_of(schedule)
    if next_at is None:
        field = "at" if schedule.kind == Kind.ONCE else "ends"
        raise ScheduleError(field, "It would never be due: that time has passed.")
    schedule.next_at = None if schedule.paused_at else next_at


def _next_of(schedule: Schedule) -> datetime | None:
    """Return when it is due next; after a clock was put back that is after the last due time all the same."""
    now = timezone.now()
    return schedule.rule.next_after(max(now, schedule.last_due_at or now))


# ------------------------------------------------------------------ pause, resume, delete


def pause(actor: User, *, schedule: Schedule, why: str = "") -> None:
    """Let nothing of it be due until it is resumed; one that waits for the run before does not start either.

    Raises: NotAllowed.
    """
    _require_mine(actor, schedule)
    why = "".join(letter for letter in " ".join(why.split()) if letter.isprintable())[:200]
    with transaction.atomic():
        now = timezone.now()
        paused = Schedule.objects.filter(pk=schedule.pk, paused_at=None).update(
            paused_at=now, paused_by=actor.get_username(), pause_reason=why, next_at=None
        )
        if paused:
            _drop_waiting(schedule, now)
            record(actor, "schedule.pause", f"schedule {schedule.name}", id=schedule.pk, why=why)


def _drop_waiting(schedule: Schedule, now: datetime) -> None:
    schedule.firings.filter(outcome=Outcome.WAITING).update(
        outcome=Outcome.SKIPPED_OVERLAP,
        message="It was paused while it waited for the run before. It did not run.",
        at=now,
    )


def resume(actor: User, *, schedule: Schedule) -> None:
    """Let it be due again, from now on; what would have been due meanwhile does not count as missed.

    Raises: NotAllowed; ScheduleError when its zone is not known any more.
    """
    _require_mine(actor, schedule)
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().get(pk=schedule.pk)
        try:
            next_at = _next_of(schedule)
        except TimingError as error:
            raise ScheduleError(error.field, str(error)) from None
        resumed = Schedule.objects.filter(pk=schedule.pk).exclude(paused_at=None)
        if resumed.update(paused_at=None, paused_by="", pause_reason="", next_at=next_at):
            record(actor, "schedule.resume", f"schedule {schedule.name}", id=schedule.pk, next_at=_said(next_at))


def delete(actor: User, *, schedule: Schedule) -> None:
    """Remove a schedule and its history; its runs stay. Raises: NotAllowed."""
    _require_mine(actor, schedule)
    with transaction.atomic():
        record(actor, "schedule.delete", f"schedule {schedule.name}", id=schedule.pk, owner=schedule.owner_name)
        schedule.delete()


def _require_mine(actor: User, schedule: Schedule) -> None:
    if schedule.owner_id != actor.pk or not actor.is_active:
        rules.require(actor, Action.MANAGE_SCHEDULES)


def _said(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else ""


# ------------------------------------------------------------------ what is kept


def prune(days: int, *, batch: int = 1000) -> Iterator[int]:
    """Remove what became of due times so long ago, a batch at each step; 0 days: it is kept for ever.

    Shape: how many each step removed.
    """
    while days and (ids := _old_firings(days, batch)):
        with transaction.atomic():
            Firing.objects.filter(pk__in=ids).delete()
        yield len(ids)


def _old_firings(days: int, batch: int) -> list[int]:
    old = Firing.objects.filter(at__lt=timezone.now() - timedelta(days=days)).exclude(outcome=Outcome.WAITING)
    return list(old.values_list("pk", flat=True)[:batch])
