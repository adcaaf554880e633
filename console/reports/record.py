"""Owns a run as a record to take away: everything that is kept of it, as JSON or as a table."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from console.members.models import User
from console.reports.csv_rows import Cell, csv_bytes
from console.runs import services
from console.runs.models import Invocation, Run
from instances.access import rules

# Rows of one query: nobody's slow connection holds a statement open, and 5,000 instances take ten.
BATCH_ROWS = 500
COLUMNS = (
    "ordinal", "instance", "address", "status", "reason", "message", "exit_status", "exit_signal", "started_at",
    "finished_at", "took_s", "output_bytes", "stdout_bytes", "stderr_bytes", "dropped_bytes", "sha256",
    "stdout_sha256", "stderr_sha256", "output_removed_at", "last_line",
)  # fmt: skip


def invocations_of(user: User, run: Run) -> Iterator[Invocation]:
    """Return the invocations of a run that a user may see, in order, a batch per query."""
    rows = services.visible_invocations(user, run)
    after = -1
    while batch := list(rows.filter(ordinal__gt=after)[:BATCH_ROWS]):
        yield from batch
        after = batch[-1].ordinal


def run_csv(user: User, run: Run) -> Iterator[bytes]:
    """Return a run's invocations as a CSV table, in pieces; the columns are those of the JSON record."""
    rows = (list(invocation_record(row).values()) for row in invocations_of(user, run))
    return csv_bytes(COLUMNS, rows)


def run_json(user: User, run: Run) -> Iterator[bytes]:
    """Return the whole record of a run as one JSON object, in pieces; ``invocations`` comes last.

    Of secret variables and parameters it holds the names: nothing else of them is kept.
    """
    return json_object(run_record(user, run), "invocations", map(invocation_record, invocations_of(user, run)))


def json_object(head: dict[str, Any], name: str, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Return a JSON object in pieces: the head, and under ``name`` a list that is made while it is sent."""
    text = json.dumps(head, indent=2)
    yield f'{text.removesuffix("}").rstrip()},\n  "{name}": ['.encode()
    between = ""
    waiting: list[str] = []
    for row in rows:
        waiting.append(f"{between}\n    {json.dumps(row)}")
        between = ","
        if len(waiting) == BATCH_ROWS:
            yield "".join(waiting).encode()
            waiting.clear()
    yield f"{''.join(waiting)}\n  ]\n}}\n".encode()


def run_record(user: User, run: Run) -> dict[str, Any]:
    """Return what is kept of a run itself; times are ISO 8601 in UTC.

    Counts are of what the user may see; how the instances were chosen is left out for whoever sees only some of them,
    because it can name others.
    """
    saved = run.saved_version
    sees_all = not rules.scope(user, rules.Action.VIEW)
    statuses = services.visible_invocations(user, run).order_by().values_list("status", flat=True)
    counts = run.counts if sees_all else dict(Counter(statuses.iterator()))
    return {
        "run": run.pk,
        "sent_by": run.actor_name,
        "sent_at": iso(run.created_at),
        "finished_at": iso(run.finished_at),
        "status": run.status,
        "counts": counts,
        "instances": sum(counts.values()),
        "command_type": run.command_type,
        "command": run.command,
        "command_sha256": run.command_sha256,
        "script_name": run.script_name,
        "saved_command": saved and {"id": saved.saved_id, "name": saved.saved.name, "version": saved.number},
        "parameters": run.parameters,
        "options": options_of(run),
        "choice": run.choice if sees_all else None,
        "stop_requested_at": iso(run.stop_requested_at),
        "stop_requested_by": run.stop_requested_by,
    }


def options_of(run: Run) -> dict[str, Any]:
    """Return how a command was sent; of secret variables the names, with null for the values that are not kept."""
    return {
        "interpreter": run.interpreter,
        "working_directory": run.working_directory,
        "run_as": run.run_as,
        "arguments": run.arguments,
        "variables": dict(run.environment),
        "secret_variables": dict.fromkeys(run.secret_names),
        "timeout_s": run.timeout_s,
        "max_concurrency": run.max_concurrency,
        "max_errors": run.max_errors,
        "stop_at_cap": run.stop_at_cap,
    }


def invocation_record(row: Invocation) -> dict[str, Cell]:
    """Return what is kept of an invocation, by the names in ``COLUMNS``.

    Units: bytes, seconds. ``output_bytes`` is all that it wrote; the bytes per stream are what is still stored.
    """
    return {
        "ordinal": row.ordinal,
        "instance": row.instance_name,
        "address": row.address,
        "status": row.status,
        "reason": row.reason,
        "message": row.message,
        "exit_status": row.exit_status,
        "exit_signal": row.exit_signal,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "took_s": round(row.took_s, 3) if row.finished_at and row.took_s is not None else None,
        "output_bytes": row.size,
        "stdout_bytes": row.stdout_bytes,
        "stderr_bytes": row.stderr_bytes,
        "dropped_bytes": row.dropped_bytes,
        "sha256": row.sha256,
        "stdout_sha256": row.stdout_sha256,
        "stderr_sha256": row.stderr_sha256,
        "output_removed_at": iso(row.output_removed_at),
        "last_line": row.last_line,
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time as ISO 8601 has it, in UTC as everything that is stored."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")
