"""Owns the history as a table or JSON to take away: the runs that its filters find."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from console.members.models import User
from console.reports.csv_rows import csv_bytes
from console.reports.record import iso, json_object, options_of
from console.runs import history
from console.runs.models import Run
from console.runs.status import Status

# Half a minute's work; whoever wants more filters by date.
RUNS_LIMIT = 100_000
BATCH_RUNS = 500
COLUMNS = (
    "run", "sent_at", "finished_at", "took_s", "sent_by", "status", "instances", *(status.value for status in Status),
    "command_type", "command", "command_sha256", "script_name", "run_as", "saved_command", "saved_version",
)  # fmt: skip


def runs_of(user: User, found: QuerySet[Run]) -> Iterator[Run]:
    """Return these runs, newest first and at most ``RUNS_LIMIT``, with the counts of what the user may see.

    A batch per query, each from where the last one ended, so that no statement stays open while a browser is slow.
    """
    rows = found.select_related("saved_version__saved").order_by("-pk")
    left, before = RUNS_LIMIT, None
    while left:
        batch = list((rows if before is None else rows.filter(pk__lt=before))[: min(left, BATCH_RUNS)])
        if not batch:
            return
        history.narrow(user, batch)
        yield from batch
        left, before = left - len(batch), batch[-1].pk


def history_csv(user: User, found: QuerySet[Run]) -> Iterator[bytes]:
    """Return these runs as a CSV table, in pieces; of each command the first line that says something."""
    return csv_bytes(COLUMNS, (_row(run) for run in runs_of(user, found)))


def history_json(user: User, found: QuerySet[Run]) -> Iterator[bytes]:
    """Return these runs as one JSON object, in pieces, each with its whole command."""
    return json_object({"runs_limit": RUNS_LIMIT}, "runs", (_record(run) for run in runs_of(user, found)))


def _row(run: Run) -> list[Any]:
    record = _record(run)
    counts = [record["counts"].get(status.value, 0) for status in Status]
    saved = record["saved_command"] or {"name": "", "version": None}
    return [
        *(record[name] for name in ("run", "sent_at", "finished_at", "took_s", "sent_by", "status", "instances")),
        *counts,
        run.command_type,
        run.title,
        run.command_sha256,
        run.script_name,
        run.run_as,
        saved["name"],
        saved["version"],
    ]


def _record(run: Run) -> dict[str, Any]:
    saved = run.saved_version
    return {
        "run": run.pk,
        "sent_at": iso(run.created_at),
        "finished_at": iso(run.finished_at),
        "took_s": round((run.finished_at - run.created_at).total_seconds(), 3) if run.finished_at else None,
        "sent_by": run.actor_name,
        "status": run.status,
        "instances": run.target_count,
        "counts": run.counts,
        "command_type": run.command_type,
        "command": run.command,
        "command_sha256": run.command_sha256,
        "script_name": run.script_name,
        "saved_command": saved and {"id": saved.saved_id, "name": saved.saved.name, "version": saved.number},
        "options": options_of(run),
    }
