"""Owns the one place where a worker writes: everybody's output and statuses, committed in groups.

At once when idle, at most every ``GAP_S`` under load, and by size. A row of output is written only under the
fence of the worker that owns the invocation.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from console import bus, databases
from console.runs import queue
from console.runs.journal import ROW_BYTES, WAITING_LIMIT_BYTES, Entry, Journal
from console.runs.models import Invocation, Run
from console.runs.status import NEXT

logger = logging.getLogger(__name__)

GAP_S = 0.010
# Uncommitted bytes of all invocations together; above it every instance that writes is paused.
TOTAL_WAITING_BYTES = 64 * 1024 * 1024
# One commit takes about this much output, shared out fairly: others' statuses do not wait behind a flood.
COMMIT_BYTES = 4 * 1024 * 1024
# SQLite takes 32,766 parameters a statement; fewer keep the time the GIL is held short.
PARAMETERS = 16_000
# Python keeps each prepared statement with the values last bound to it, so this much may stay for each size of one.
STATEMENT_BYTES = 1024 * 1024
RETRY_S = (0.1, 0.5, 1, 2, 5)

# Every column the writer may change, in the order of the statement below.
COLUMNS = (
    "status", "reason", "message", "exit_status", "exit_signal", "marker", "remote_pid", "remote_started", "code_page",
    "start_sent_at", "started_at", "finished_at", "size", "stdout_bytes", "stderr_bytes", "dropped_bytes",
    "sha256", "stdout_sha256", "stderr_sha256", "last_line",
)  # fmt: skip
_FIELDS = {field.column: field for field in Invocation._meta.concrete_fields}
_PERMITTED = ", ".join(sorted(f"'{old}>{new}'" for old, following in NEXT.items() for new in following))


class Writer:
    """Commits the journals of one worker. ``run`` it in a task; ``flush`` waits for a commit.

    ``executor`` is the worker's single database thread.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # In order; an invocation has two for a moment when it is taken again.
        self._dirty: dict[Journal, None] = {}
        self._wanted = asyncio.Event()
        self._much = asyncio.Event()
        self._waiters: list[tuple[Journal | None, asyncio.Future[None]]] = []
        self._waiting_bytes = 0
        self._paused: set[Journal] = set()

    def changed(self, journal: Journal, more_bytes: int) -> None:
        """Note that a journal has something to commit; pauses it when too much waits in all."""
        self._dirty[journal] = None
        self._waiting_bytes += more_bytes
        if more_bytes and self._waiting_bytes > TOTAL_WAITING_BYTES:
            journal.pause()
        if journal.is_paused:
            self._paused.add(journal)
        if self._waiting_bytes >= COMMIT_BYTES:
            self._much.set()
        self._wanted.set()

    async def flush(self, journal: Journal | None = None) -> None:
        """Return when everything this journal, or every journal, has noted is committed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((journal, waiter))
        self._wanted.set()
        await waiter

    async def run(self) -> None:
        """Commit for ever; cancel it when nothing writes any more. Retries while the database is locked or full."""
        loop = asyncio.get_running_loop()
        earliest = 0.0
        while True:
            await self._wanted.wait()
            if not self._waiters:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(earliest):
                        await self._much.wait()
            self._wanted.clear()
            self._much.clear()
            await asyncio.shield(self._commit_what_waits())
            earliest = loop.time() + GAP_S

    async def _commit_what_waits(self) -> None:
        waiters, self._waiters = self._waiters, []
        taken = self._take()
        accepted = await self._with_retries(lambda: commit(taken)) if taken else set()
        for journal, entry in taken:
            self._waiting_bytes -= entry.bytes_taken
            journal.committed(entry, accepted=entry.invocation_id in accepted)
        self._answer(waiters, {journal for journal, entry in taken if not entry.is_all})
        if taken:
            bus.ring(bus.WEB)
        self._resume()

    def _take(self) -> list[tuple[Journal, Entry]]:
        journals = [journal for journal in self._dirty if journal.has_something]
        share = COMMIT_BYTES // max(1, sum(journal.waiting_bytes > 0 for journal in journals))
        taken = [(journal, journal.take(max(ROW_BYTES, share))) for journal in journals]
        self._dirty = {journal: None for journal, entry in taken if not entry.is_all}
        if self._dirty:
            self._much.set()
            self._wanted.set()
        return taken

    def _answer(self, waiters: list[tuple[Journal | None, asyncio.Future[None]]], unfinished: set[Journal]) -> None:
        for journal, waiter in waiters:
            if journal in unfinished or (journal is None and unfinished):
                self._waiters.append((journal, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    def _resume(self) -> None:
        """Read again from whoever has room; of a worker that is full, when half of it is."""
        if self._waiting_bytes > TOTAL_WAITING_BYTES // 2:
            return
        for journal in list(self._paused):
            if journal.waiting_bytes <= WAITING_LIMIT_BYTES // 2:
                self._paused.discard(journal)
                journal.resume()

    async def _with_retries(self, call: Callable[[], set[int]]) -> set[int]:
        """Run a commit until the database takes it: a locked or full disk pauses reading, it loses nothing."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                return await loop.run_in_executor(self._executor, call)
            except OperationalError as error:
                delay = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                attempt += 1
                logger.warning(
                    "The database did not take a commit (%s); again in %s s", error, delay, extra={"action": "commit"}
                )
                await loop.run_in_executor(self._executor, databases.leave_broken_connection)
                await asyncio.sleep(delay)


def commit(taken: Sequence[tuple[Journal, Entry]]) -> set[int]:
    """Write entries in one transaction; return the ids of the invocations that were still this worker's.

    1. Raise the revision of each run touched.
    2. Update the invocations whose fence is theirs and whose status may go on like this.
    3. Add the output rows of those, and only those.
    4. Recount the runs in which a status changed.
    Side effects: few statements, however many entries.
    """
    for journal, entry in taken:
        journal.fill(entry)
    entries = [entry for _, entry in taken]
    with transaction.atomic():
        revisions = _raise_revisions({entry.run_id for entry in entries})
        accepted = _update_invocations(entries, revisions)
        _insert_output([entry for entry in entries if entry.invocation_id in accepted])
        for run_id in sorted({e.run_id for e in entries if e.via and e.invocation_id in accepted}):
            queue.refresh_counts(Run.objects.get(pk=run_id))
    return accepted


def _raise_revisions(run_ids: set[int]) -> dict[int, int]:
    marks = ", ".join(["%s"] * len(run_ids))
    if connection.features.has_select_for_update:
        # In the order in which claims lock them; two workers' commits would wait for each other otherwise.
        list(Run.objects.select_for_update().filter(pk__in=run_ids).order_by("pk").values_list("pk"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE console_run SET revision = revision + 1 WHERE id IN ({marks}) RETURNING id, revision",  # noqa: S608
            sorted(run_ids),
        )
        return dict(cursor.fetchall())


def _update_invocations(entries: Sequence[Entry], revisions: dict[int, int]) -> set[int]:
    names = ("row_id", "row_fence", "row_revision", "via", *COLUMNS)
    settings = ", ".join(f"{name} = COALESCE({_typed(name)}, t.{name})" for name in COLUMNS)
    rows = (
        (entry.invocation_id, entry.fence, revisions[entry.run_id], entry.via, *map(_param, _values(entry)))
        for entry in entries
        if entry.run_id in revisions
    )
    accepted: set[int] = set()
    with connection.cursor() as cursor:
        for part, params in _statements(rows, width=len(names)):
            cursor.execute(
                f"""WITH v({", ".join(names)}) AS (VALUES {part})
                    UPDATE console_invocation AS t SET revision = v.row_revision, {settings}
                    FROM v WHERE t.id = v.row_id AND t.fence = v.row_fence
                    AND (v.via = '' OR t.status || '>' || v.via IN ({_PERMITTED}))
                    RETURNING id""",  # noqa: S608  (names and permitted pairs are constants)
                params,
            )
            accepted |= {row[0] for row in cursor.fetchall()}
    return accepted


def _typed(name: str) -> str:
    """PostgreSQL takes a column of nothing but NULL for text."""
    if connection.vendor == "sqlite":
        return f"v.{name}"
    return f"CAST(v.{name} AS {_FIELDS[name].db_type(connection)})"


def _values(entry: Entry) -> Iterable[object]:
    return (entry.columns.get(name) for name in COLUMNS)


def _insert_output(entries: Sequence[Entry]) -> None:
    now = _param(timezone.now())
    rows = (
        (entry.invocation_id, row.offset, int(row.kind), row.stream_offset, row.data, now)
        for entry in entries
        for row in entry.rows()
    )
    with connection.cursor() as cursor:
        for part, params in _statements(rows, width=6, size=lambda row: len(row[4])):
            cursor.execute(
                f'INSERT INTO console_output (invocation_id, "offset", kind, stream_offset, data, at) VALUES {part}',  # noqa: S608
                params,
            )


def _statements(
    rows: Iterable[tuple[Any, ...]], *, width: int, size: Callable[[tuple[Any, ...]], int] = lambda row: 0
) -> Iterator[tuple[str, list[Any]]]:
    """Cut rows into multi-row statements, of at most about ``STATEMENT_BYTES`` each.

    Many rows for one statement: ``executemany`` hands over the GIL for every row, which was ten times slower.
    """
    batch: list[tuple[Any, ...]] = []
    batch_bytes = 0
    for row in rows:
        batch.append(row)
        batch_bytes += size(row)
        if len(batch) == PARAMETERS // width or batch_bytes >= STATEMENT_BYTES:
            yield from _in_powers_of_two(batch, width)
            batch, batch_bytes = [], 0
    yield from _in_powers_of_two(batch, width)


def _in_powers_of_two(batch: list[tuple[Any, ...]], width: int) -> Iterator[tuple[str, list[Any]]]:
    """Few lengths, so few statements to prepare and to keep: one for each length took the worker to 1.4 GB."""
    mark = "(" + ", ".join(["%s"] * width) + ")"
    while batch:
        count = 1 << (len(batch).bit_length() - 1)
        yield ", ".join([mark] * count), [value for row in batch[:count] for value in row]
        batch = batch[count:]


def _param(value: object) -> object:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if connection.vendor == "sqlite":
        return value.hex if isinstance(value, uuid.UUID) else value
    # Text there cannot hold it, and instances may write it.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
