"""Owns what people ask of a run that goes on, or whose end is unknown: stop it, look again. One transaction each."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import bus
from console.members.models import User
from console.runs import queue
from console.runs.models import Invocation, Recheck, Run
from console.runs.status import ACTIVE, Status
from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record


def stop_run(actor: User, *, run: Run, ordinal: int | None = None) -> int:
    """Ask for a run, or one invocation of it, to be stopped; return how many invocations that concerns.

    Queued ones are cancelled here and now, without a trace on their instances. Active ones are marked for the worker
    that owns them and become ``stopped`` only once their instance was seen to be clean. Asking again changes nothing.
    Those the actor may not stop go on, and then the run itself does not count as stopped.
    Raises: NotAllowed when the actor may stop none of them.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        rows = _stoppable(actor, run, ordinal)
        stops_all = ordinal is None and rows.count() == run.invocations.count()
        if stops_all and run.stop_requested_at is None:
            run.stop_requested_at, run.stop_requested_by = timezone.now(), actor.get_username()
            run.save(update_fields=["stop_requested_at", "stop_requested_by"])
        concerned = _cancel_queued(actor, run, rows) + _mark_active(actor, run, rows)
        queue.refresh_counts(run)
        record(actor, "run.stop", f"run {run.pk}", ordinal=ordinal, concerned=concerned)
        transaction.on_commit(bus.ring)
    return concerned


def recheck(actor: User, *, run: Run, ordinal: int | None = None, stop: bool = False) -> int:
    """Ask a worker to look what is left of lost invocations, or to stop it; return how many that concerns.

    Raises: NotAllowed.
    """
    rules.require_anywhere(actor, Action.STOP_RUN)
    with transaction.atomic():
        rows = _stoppable(actor, run, ordinal).filter(status=Status.LOST).exclude(marker=None)
        concerned = Invocation.objects.filter(pk__in=rows.values("pk")).update(
            # Without an owner: a look that is under way answers another question.
            recheck=Recheck.STOP if stop else Recheck.LOOK,
            owner=None,
            revision=queue.next_revision(run),
        )
        record(actor, "run.recheck", f"run {run.pk}", ordinal=ordinal, stop=stop, concerned=concerned)
        transaction.on_commit(bus.ring)
    return concerned


def _stoppable(actor: User, run: Run, ordinal: int | None) -> QuerySet[Invocation]:
    rules.require_anywhere(actor, Action.STOP_RUN)
    asked = run.invocations.all() if ordinal is None else run.invocations.filter(ordinal=ordinal)
    rows = asked.filter(rules.scope(actor, Action.STOP_RUN, field="instance__group"))
    if asked.exists() and not rows.exists():
        raise rules.NotAllowed(Action.STOP_RUN)
    return rows


def _cancel_queued(actor: User, run: Run, rows: QuerySet[Invocation]) -> int:
    now = timezone.now()
    return Invocation.objects.filter(pk__in=rows.filter(status=Status.QUEUED).values("pk")).update(
        status=Status.CANCELLED,
        reason="stopped_before_start",
        message="Stopped before it started. The command did not run.",
        finished_at=now,
        stop_requested_at=now,
        stop_requested_by=actor.get_username(),
        revision=queue.next_revision(run),
    )


def _mark_active(actor: User, run: Run, rows: QuerySet[Invocation]) -> int:
    active = rows.filter(status__in=sorted(ACTIVE), stop_requested_at=None)
    return Invocation.objects.filter(pk__in=active.values("pk")).update(
        stop_requested_at=timezone.now(),
        stop_requested_by=actor.get_username(),
        revision=queue.next_revision(run),
    )
