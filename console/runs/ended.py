"""Owns what is told about a run that has ended: to whom it is left to its sender, the words are here."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from console.literals import literal
from console.notifications import services as notifications
from console.notifications.services import Told
from console.runs.models import Invocation, NotifyState, NotifyWhen, Run
from console.runs.presentation import summary_of
from console.runs.status import RunStatus, Status

# Of 5,000 that failed nobody reads more in an e-mail; the page has them all.
NAMED_IN_TEXT = 20
NAMED_IN_PAYLOAD = 100
RUNS_AT_ONCE = 50


def tell_ended_runs() -> int:
    """Put notices on their way for runs that have ended since; return for how many runs.

    Each run is told once, whichever worker comes first.
    """
    told = 0
    for run in list(_to_tell()[:RUNS_AT_ONCE]):
        with transaction.atomic():
            mine = Run.objects.filter(pk=run.pk, notify_state=NotifyState.WANTED).update(notify_state=NotifyState.DONE)
            if mine and _is_wanted(run):
                destinations = notifications.usable().filter(pk__in=run.notify_to)
                told += bool(notifications.tell(destinations, told_of(run), run_id=run.pk))
    return told


def told_of(run: Run) -> Told:
    """Return what is said about an ended run: outcome, names and reasons, neither output nor secrets."""
    return Told(_subject(run), _text(run), _payload(run))


def _to_tell() -> QuerySet[Run]:
    return Run.objects.filter(notify_state=literal(NotifyState.WANTED), finished_at__isnull=False).order_by(
        "finished_at"
    )


def _is_wanted(run: Run) -> bool:
    return run.notify_when == NotifyWhen.END or run.status != RunStatus.SUCCEEDED


def _subject(run: Run) -> str:
    return f"Run {run.pk} {_WORDS[RunStatus(run.status)]} ({summary_of(run)}): {run.title}"


_WORDS = {
    RunStatus.SUCCEEDED: "succeeded",
    RunStatus.STOPPED: "was stopped",
    RunStatus.FAILED: "failed",
    RunStatus.PARTIAL: "succeeded in part",
}


def _text(run: Run) -> str:
    lines = [
        f"{_subject(run)}",
        "",
        f"Sent by {run.actor_name} on {run.created_at:%Y-%m-%d at %H:%M} UTC, ended at {run.finished_at:%H:%M:%S}.",
        f"{settings.ENV.url}{reverse('run', args=[run.pk])}",
    ]
    problems = _problems(run)
    shown = list(problems[:NAMED_IN_TEXT])
    if shown:
        lines += ["", "Not succeeded:", *(f"  {one.instance_name}: {_outcome(one)}" for one in shown)]
    if (more := problems.count() - len(shown)) > 0:
        lines.append(f"  … and {more:,} more")
    return "\n".join(lines) + "\n"


def _payload(run: Run) -> dict[str, Any]:
    version = run.saved_version
    finished = run.finished_at.isoformat() if run.finished_at else None
    return {
        "type": "run.ended",
        "timestamp": finished,
        "data": {
            "run": run.pk,
            "url": f"{settings.ENV.url}{reverse('run', args=[run.pk])}",
            "status": run.status,
            "counts": run.counts,
            "instances": run.target_count,
            "title": run.title,
            "command_sha256": run.command_sha256,
            "saved_command": {"name": version.saved.name, "version": version.number} if version else None,
            "sent_by": run.actor_name,
            "created_at": run.created_at.isoformat(),
            "finished_at": finished,
            "not_succeeded": [_entry(one) for one in _problems(run)[:NAMED_IN_PAYLOAD]],
        },
    }


def _problems(run: Run) -> QuerySet[Invocation]:
    return run.invocations.exclude(status=Status.SUCCEEDED).order_by("ordinal")


def _entry(one: Invocation) -> dict[str, Any]:
    return {
        "instance": one.instance_name,
        "status": one.status,
        "reason": one.reason,
        "exit_status": one.exit_status,
    }


def _outcome(one: Invocation) -> str:
    said = one.message or (f"exit status {one.exit_status}" if one.exit_status is not None else "")
    words = one.status.replace("_", " ")
    return f"{words}. {said}" if said else words
