"""Owns what happens when a schedule is due: one transaction in which its next time moves on and its run is made.

Any number of workers may look at the same time. The next time is compared and set, so that one of them finds it as it
was; the others change nothing. A process that dies in between leaves neither the move nor the run.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from console.members.models import User
from console.runs.families import sent_with
from console.runs.models import Run
from console.schedules import sending, services
from console.schedules.models import Firing, Outcome, Overlap, Schedule
from console.schedules.sending import SendingRefused
from console.schedules.timing import MOST_COUNTED, PUNCTUAL, Lateness, TimingError, judge
from instances.access import rules
from instances.access.rules import Action, NotAllowed
from instances.audit.services import NOBODY, record

# Of a schedule's last firings so many are asked whether their runs have ended.
_LAST_FIRINGS = 5
_AT_ONCE = 100


def due(now: datetime) -> list[tuple[int, datetime]]:
    """Return (schedule, due time) of what is due, the oldest first; at most a hundred. Side effects: one query."""
    rows = Schedule.objects.filter(next_at__lte=now).order_by("next_at", "pk")
    return [(pk, next_at) for pk, next_at in rows.values_list("pk", "next_at")[:_AT_ONCE] if next_at]


def waiting() -> list[int]:
    """Return the firings that wait for the run before. Side effects: one query."""
    return list(Firing.objects.filter(outcome=Outcome.WAITING).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])


def act(schedule_id: int, due_at: datetime, now: datetime) -> bool:
    """Do what is to be done about a due time; False when somebody else has, or it has moved since.

    Side effects: one transaction with the schedule's next time, its firings, and its run if it starts one.
    """
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().filter(pk=schedule_id, next_at=due_at).first()
        if schedule is None:
            return False
        try:
            judged = judge(schedule.rule, due_at, now, timedelta(minutes=schedule.late_within_minutes))
            seen = max(moment for moment in (due_at, judged.due, judged.last) if moment)
            next_at = schedule.rule.next_after(seen)
        except TimingError as error:
            return _give_up_in(schedule, due_at, now, str(error))
        if not _move(schedule, due_at, next_at, seen):
            return False
        if judged.missed:
            _note_missed(schedule, judged, now)
        if judged.due:
            _start(schedule, judged.due, now, is_late=judged.is_late)
    return True


def give_up(schedule_id: int, due_at: datetime, now: datetime, why: str) -> None:
    """Pause a schedule that broke, so that it is told once and does not break again each second."""
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().filter(pk=schedule_id, next_at=due_at).first()
        if schedule is not None:
            _give_up_in(schedule, due_at, now, why)


def start_waiting(firing_id: int, now: datetime) -> bool:
    """Start what waited for the run before, once that has ended; False while it has not, or if somebody else did."""
    waiting = Firing.objects.filter(pk=firing_id, outcome=Outcome.WAITING)
    with transaction.atomic():
        # As for a due time, which must not see that nothing waits any more before it sees the run that waited.
        schedule = Schedule.objects.select_for_update().filter(pk__in=waiting.values("schedule")).first()
        firing = waiting.select_for_update().first()
        if schedule is None or firing is None:
            return False
        last = _last_runs(schedule)
        if any(run.finished_at is None for run in last):
            return False
        ended_at = max((run.finished_at for run in last if run.finished_at), default=firing.due_at)
        if now - ended_at > max(PUNCTUAL, timedelta(minutes=schedule.late_within_minutes)):
            firing.outcome = Outcome.MISSED
            firing.message = "The run before had ended, but no worker was there to start this one. It did not run."
        else:
            firing.outcome, firing.run, firing.message = _send(schedule, _key(schedule, firing.due_at))
            firing.message = firing.message or "It waited for the run before."
        firing.at = now
        firing.save(update_fields=["outcome", "run", "message", "at"])
    return True


def give_up_waiting(firing_id: int, now: datetime, why: str) -> None:
    """Refuse what waited and broke."""
    found = Firing.objects.filter(pk=firing_id, outcome=Outcome.WAITING)
    found.update(outcome=Outcome.REFUSED, message=f"{why} It did not run.", at=now)


def run_now(actor: User, *, schedule: Schedule, key: str) -> Firing:
    """Start a schedule's run at once, beside its due times; ``key`` makes a double click one run.

    Raises: NotAllowed unless it is the actor's own.
    """
    rules.require_anywhere(actor, Action.SEND_COMMAND)
    services.require_owner(actor, schedule)
    now = timezone.now()
    with transaction.atomic():
        Schedule.objects.select_for_update().get(pk=schedule.pk)
        request_key = f"schedule-{schedule.pk}-now-{key[:24]}"
        if before := Firing.objects.filter(schedule=schedule, run__request_key=request_key).first():
            return before
        outcome, run, message = _send(schedule, request_key)
        record(actor, "schedule.run_now", f"schedule {schedule.name}", id=schedule.pk, run=run and run.pk)
        return Firing.objects.create(
            schedule=schedule,
            due_at=now,
            at=now,
            outcome=outcome,
            run=run,
            message=message,
            pressed_by=actor.get_username(),
        )


def _move(schedule: Schedule, due_at: datetime, next_at: datetime | None, seen: datetime) -> bool:
    found = Schedule.objects.filter(pk=schedule.pk, next_at=due_at)
    return bool(found.update(next_at=next_at, last_due_at=seen))


def _note_missed(schedule: Schedule, judged: Lateness, now: datetime) -> None:
    assert judged.first is not None
    count = f"{MOST_COUNTED:,} times or more" if judged.is_more else ""
    Firing.objects.create(
        schedule=schedule,
        due_at=judged.first,
        until_at=judged.last if judged.missed > 1 else None,
        count=judged.missed,
        at=now,
        outcome=Outcome.MISSED,
        message=f"{count + ': n' if count else 'N'}o worker of the console was there. It did not run.",
    )
    record(None, "schedule.missed", f"schedule {schedule.name}", id=schedule.pk, count=judged.missed)


def _start(schedule: Schedule, due_at: datetime, now: datetime, *, is_late: bool) -> None:
    firing = Firing(schedule=schedule, due_at=due_at, at=now)
    asks = schedule.overlap != Overlap.START
    before = next((run for run in _last_runs(schedule) if run.finished_at is None), None) if asks else None
    waits = asks and schedule.firings.filter(outcome=Outcome.WAITING).exists()
    if schedule.overlap == Overlap.QUEUE and before and not waits:
        firing.outcome = Outcome.WAITING
        firing.message = f"It starts when run {before.pk} has ended."
    elif before or waits:
        firing.outcome = Outcome.SKIPPED_OVERLAP
        firing.message = f"Run {before.pk} had not ended." if before else "Another one waited already."
    else:
        firing.outcome, firing.run, firing.message = _send(schedule, _key(schedule, due_at))
    if is_late and firing.outcome == Outcome.FIRED:
        firing.message = "Late: no worker of the console was there when it was due."
    firing.save()


def _send(schedule: Schedule, request_key: str) -> tuple[Outcome, Run | None, str]:
    """Make the run; or say why there is none, in a savepoint of its own, so that this can be written down."""
    try:
        with transaction.atomic():
            owner = _owner(schedule)
            run = sending.send(owner, sending.contents(schedule), request_key=request_key)
            record(None, "schedule.fire", f"schedule {schedule.name}", id=schedule.pk, run=run.pk)
    except (SendingRefused, NotAllowed) as error:
        message = f"{error} It did not run."[:1000]
        record(None, "schedule.refused", f"schedule {schedule.name}", id=schedule.pk, message=message)
        return Outcome.REFUSED, None, message
    return Outcome.FIRED, run, ""


def _owner(schedule: Schedule) -> User:
    owner, name = schedule.owner, schedule.owner_name
    if owner is None:
        raise SendingRefused({"": [f"It acts as {name}, who was removed."]})
    if not owner.is_active:
        raise SendingRefused({"": [f"It acts as {name}, who is deactivated."]})
    if not rules.allowed_anywhere(owner, Action.SEND_COMMAND):
        raise SendingRefused({"": [f"It acts as {name}, who may not send commands any more."]})
    return owner


def _last_runs(schedule: Schedule) -> list[Run]:
    """Return the runs of the last firings, the newest first, those for a second OS family among them."""
    firings = schedule.firings.filter(run__isnull=False).select_related("run").order_by("-due_at")[:_LAST_FIRINGS]
    found = [firing.run for firing in firings if firing.run]
    seconds = [sent_with(schedule.owner, run) for run in found] if schedule.owner else []
    return [*found, *(run for second in seconds for run in second)]


def _key(schedule: Schedule, due_at: datetime) -> str:
    return f"schedule-{schedule.pk}-{due_at:%Y%m%dT%H%M%S}"


def _give_up_in(schedule: Schedule, due_at: datetime, now: datetime, why: str) -> bool:
    Schedule.objects.filter(pk=schedule.pk).update(
        next_at=None, last_due_at=due_at, paused_at=now, paused_by=NOBODY, pause_reason=why[:200]
    )
    Firing.objects.create(
        schedule=schedule,
        due_at=due_at,
        at=now,
        outcome=Outcome.REFUSED,
        message=f"{why} It did not run, and the schedule is paused."[:1000],
    )
    record(None, "schedule.pause", f"schedule {schedule.name}", id=schedule.pk, why=why[:200])
    return True
