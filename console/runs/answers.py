"""Owns what people say while a run goes on: continue, stop the rest, pause, resume; audited, and safe to repeat.

Whoever answers names the batch that it is about: of two that press at once the second changes nothing, and nobody
answers a question that he has not seen.
"""

from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from console import bus
from console.members.models import User
from console.runs import queue
from console.runs.models import Run
from console.runs.rate import Gate
from console.runs.status import Status
from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record

DECLINED = "Not started: {name} stopped the rest after batch {batch}. The command did not run."


class Answer(StrEnum):
    """What can be said."""

    CONTINUE = "continue"
    DECLINE = "decline"
    PAUSE = "pause"
    RESUME = "resume"


# Starting things needs the right to send, keeping them from starting the right to stop.
_NEEDS = {
    Answer.CONTINUE: Action.SEND_COMMAND,
    Answer.RESUME: Action.SEND_COMMAND,
    Answer.DECLINE: Action.STOP_RUN,
    Answer.PAUSE: Action.STOP_RUN,
}


def answer(actor: User, *, run: Run, what: Answer, batch: int | None = None) -> bool:
    """Do what somebody says about the rest of a run; False, and nothing is recorded, when it was done or is too late.

    1. ``CONTINUE`` opens the gate before ``batch`` (from 0; None: whichever is next), also before a pause is over.
    2. ``DECLINE`` skips what has not started, even if somebody has continued meanwhile; what runs goes on.
    3. ``PAUSE`` lets nothing new start, ``RESUME`` ends that.
    Raises: NotAllowed unless the actor may send to (stop on) every instance that has not started.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        _require(actor, run, _NEEDS[what])
        done = _DO[what](actor, run, batch)
        if done:
            queue.next_revision(run)
            queue.refresh_counts(run)
            record(actor, f"run.{what}", f"run {run.pk}", batch=run.batch)
            transaction.on_commit(bus.ring)
    return done


def _require(actor: User, run: Run, action: Action) -> None:
    rules.require_anywhere(actor, action)
    asked = run.invocations.filter(status=Status.QUEUED).exclude(instance=None)
    mine = asked.filter(rules.scope(actor, action, field="instance__group"))
    if asked.count() != mine.count():
        raise rules.NotAllowed(action)


def _continue(actor: User, run: Run, batch: int | None) -> bool:
    if run.gate == Gate.OPEN or batch not in {None, run.batch}:
        return False
    run.gate, run.gate_until = Gate.OPEN, None
    run.save(update_fields=["gate", "gate_until"])
    return True


def _decline(actor: User, run: Run, batch: int | None) -> bool:
    if run.batch_count < 2 or not run.invocations.filter(status=Status.QUEUED).exists():
        return False
    message = DECLINED.format(name=actor.get_username(), batch=max(1, run.batch if run.gate else run.batch + 1))
    queue.skip_queued(run, reason="batch_declined", message=message)
    return True


def _pause(actor: User, run: Run, batch: int | None) -> bool:
    if run.paused_at is not None or not run.invocations.filter(status=Status.QUEUED).exists():
        return False
    run.paused_at, run.paused_by = timezone.now(), actor.get_username()
    run.save(update_fields=["paused_at", "paused_by"])
    return True


def _resume(actor: User, run: Run, batch: int | None) -> bool:
    if run.paused_at is None or run.has_ended:
        return False
    run.paused_at, run.paused_by = None, ""
    run.save(update_fields=["paused_at", "paused_by"])
    return True


_DO = {Answer.CONTINUE: _continue, Answer.DECLINE: _decline, Answer.PAUSE: _pause, Answer.RESUME: _resume}
