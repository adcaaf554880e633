import asyncio
import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Length
from django.utils import timezone

from console.runs import output, queue
from console.runs.journal import ROW_BYTES, Journal
from console.runs.models import Invocation, Output, OutputKind
from console.runs.status import Status
from console.worker import writer
from tests.support.runs import enlisted_worker, journal_of, send
from tests.support.until import WITHIN_S

pytestmark = pytest.mark.django_db


def claimed(count=1):
    run = send(count, max_concurrency=1000)
    return run, [journal_of(claim) for claim in queue.claim(enlisted_worker(), slots=count)]


def commit(*journals):
    taken = [(journal, journal.take()) for journal in journals]
    accepted = writer.commit(taken)
    for journal, entry in taken:
        journal.committed(entry, accepted=entry.invocation_id in accepted)
    return accepted


def run_to_the_end(journal, status=Status.SUCCEEDED):
    journal.set(Status.RUNNING, started_at=timezone.now(), remote_pid=4711)
    journal.write(OutputKind.STDOUT, b"hello\n")
    journal.write(OutputKind.STDERR, b"oh\n")
    journal.finish(status, at=timezone.now(), exit_status=0)


def test_output_and_end_status_are_committed_together():
    run, (journal,) = claimed()
    run_to_the_end(journal)
    commit(journal)
    row = run.invocations.get()
    assert (row.status, row.exit_status, row.remote_pid, row.last_line) == ("succeeded", 0, 4711, "oh")
    assert (row.size, row.stdout_bytes, row.stderr_bytes) == (9, 6, 3)
    assert row.sha256 == hashlib.sha256(b"hello\noh\n").hexdigest()
    assert [(p.offset, p.kind, p.data) for p in output.read(row.pk)] == [(0, 1, b"hello\n"), (6, 2, b"oh\n")]
    run.refresh_from_db()
    assert (run.status, run.counts, run.has_ended) == ("succeeded", {"succeeded": 1}, True)


def test_every_commit_raises_the_runs_revision_and_marks_what_changed():
    run, (first, second) = claimed(2)
    before = run.invocations.order_by("ordinal")[1].revision
    first.write(OutputKind.STDOUT, b"x")
    commit(first)
    run.refresh_from_db()
    rows = list(run.invocations.order_by("ordinal"))
    assert rows[0].revision == run.revision > rows[1].revision == before
    assert not second.has_something


def test_a_worker_that_lost_its_claim_writes_nothing():
    run, (journal,) = claimed()
    run.invocations.update(fence=2, status="lost")
    run_to_the_end(journal)
    assert commit(journal) == set()
    assert journal.is_fenced_out
    assert run.invocations.get().status == "lost"
    assert not Output.objects.exists()


def test_a_stored_end_status_is_not_overwritten():
    run, (journal,) = claimed()
    run.invocations.update(status="cancelled")
    run_to_the_end(journal)
    assert commit(journal) == set()
    assert run.invocations.get().status == "cancelled"


def test_the_statements_of_a_commit_do_not_grow_with_its_entries(django_assert_max_num_queries):
    _, journals = claimed(200)
    for journal in journals:
        run_to_the_end(journal)
    with django_assert_max_num_queries(14):
        assert len(commit(*journals)) == 200
    assert Invocation.objects.filter(status="succeeded").count() == 200
    assert Output.objects.count() == 400


def test_output_of_any_size_needs_few_different_statements():
    """Python keeps prepared statements and the values last bound to them: one for each length held a gigabyte."""
    _, (journal,) = claimed()
    statements = Counter()

    def note(execute, sql, params, many, context):
        if sql.startswith("INSERT INTO console_output"):
            statements[sql] += 1
            assert sum(len(value) for value in params if isinstance(value, bytes)) <= 2 * writer.STATEMENT_BYTES
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        for rows in range(1, 40):
            journal.write(OutputKind.STDOUT, b"x" * (rows * ROW_BYTES - 7))
            assert commit(journal)
    assert len(statements) <= 6
    stored = Output.objects.filter(invocation=journal.invocation_id).aggregate(size=Sum(Length("data")))
    assert stored["size"] == sum(rows * ROW_BYTES - 7 for rows in range(1, 40))


class Brake:
    is_on = False

    def pause(self):
        self.is_on = True

    def resume(self):
        self.is_on = False


class Writing:
    """A writer whose commits are counted, and wait while ``gate`` is clear."""

    def __init__(self, monkeypatch):
        self.gate, self.sizes = threading.Event(), []
        self.gate.set()
        self.writer = writer.Writer(ThreadPoolExecutor(1))
        monkeypatch.setattr(writer, "commit", self.commit)
        monkeypatch.setattr(writer.bus, "ring", lambda _: None)

    @asynccontextmanager
    async def going_on(self):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.writer.run())
            yield
            running.cancel()

    def commit(self, taken):
        assert self.gate.wait(WITHIN_S)
        self.sizes.append({entry.invocation_id: entry.bytes_taken for _, entry in taken})
        return {entry.invocation_id for _, entry in taken}

    def journal(self, number):
        made = Journal(invocation_id=number, run_id=1, fence=1, cap_bytes=10**9, changed=self.writer.changed)
        made.attach(Brake())
        return made


async def test_a_flood_shares_the_commits_with_others(monkeypatch):
    writing = Writing(monkeypatch)
    flood, neighbour = writing.journal(1), writing.journal(2)
    for _ in range(100):
        flood.write(OutputKind.STDOUT, b"x" * ROW_BYTES)
    neighbour.write(OutputKind.STDOUT, b"done\n")
    neighbour.set(Status.RUNNING)
    async with writing.going_on():
        await asyncio.wait_for(writing.writer.flush(neighbour), WITHIN_S)
        assert len(writing.sizes) == 1
        assert flood.has_something
        await asyncio.wait_for(writing.writer.flush(), WITHIN_S)
    assert sum(sizes.get(1, 0) for sizes in writing.sizes) == 100 * ROW_BYTES
    assert max(sum(sizes.values()) for sizes in writing.sizes) <= writer.COMMIT_BYTES


async def test_what_waits_is_bounded_for_all_instances_together(monkeypatch):
    writing = Writing(monkeypatch)
    writing.gate.clear()
    journals = [writing.journal(number) for number in range(20)]
    piece = b"x" * (1024 * 1024)
    async with writing.going_on():
        for _ in range(20):
            for journal in journals:
                if not journal.is_paused:
                    journal.write(OutputKind.STDOUT, piece)
            await asyncio.sleep(0)
        assert all(journal.is_paused for journal in journals)
        waiting = sum(journal.waiting_bytes for journal in journals)
        assert writer.TOTAL_WAITING_BYTES < waiting <= writer.TOTAL_WAITING_BYTES + len(journals) * len(piece)
        writing.gate.set()
        await asyncio.wait_for(writing.writer.flush(), WITHIN_S)
        await asyncio.sleep(0)
    assert not any(journal.is_paused for journal in journals)


def test_reading_starts_anywhere_in_a_row():
    run, (journal,) = claimed()
    journal.write(OutputKind.STDOUT, b"0123456789")
    journal.write(OutputKind.STDERR, b"abc")
    commit(journal)
    pk = run.invocations.get().pk
    assert [(p.offset, p.data) for p in output.read(pk, after=4)] == [(4, b"456789"), (10, b"abc")]
    assert output.read(pk, after=13) == []
    assert [p.data for p in output.read(pk, limit_bytes=1)] == [b"0123456789"]


def test_a_download_leaves_out_gaps_and_takes_any_range():
    run, _ = claimed()
    invocation = run.invocations.get()
    for offset, kind, stream_offset, data in [(0, 1, 0, b"abc"), (3, 3, 0, b"100"), (103, 1, 3, b"xyz")]:
        Output.objects.create(
            invocation=invocation, offset=offset, kind=kind, stream_offset=stream_offset, data=data, at=timezone.now()
        )
    invocation.stdout_bytes, invocation.dropped_bytes, invocation.size = 6, 100, 106
    assert b"".join(output.stored_bytes(invocation, 0, 6)) == b"abcxyz"
    assert b"".join(output.stored_bytes(invocation, 2, 5)) == b"cxy"
    assert [(p.offset, p.length) for p in output.read(invocation.pk, after=50)] == [(50, 53), (103, 3)]
