import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Length
from django.utils import timezone

from console.runs import output, queue, retention, stopping
from console.runs.models import Invocation, Output, OutputKind, Run
from console.runs.retention import Limits, Plan
from console.runs.status import Status
from console.worker import writer
from instances.audit.models import AuditEntry
from tests.support.runs import ended_run, enlisted_worker, journal_of, send

pytestmark = pytest.mark.django_db

KEEP = Limits(days=0, output_bytes=0)


def prune(days=0, output_bytes=0, actor=None):
    steps = list(retention.carry_out(retention.plan(Limits(days, output_bytes)), actor=actor))
    return steps[-1] if steps else None


def runs_left():
    return sorted(Run.objects.values_list("pk", flat=True))


def really_stored():
    return Output.objects.exclude(kind=OutputKind.GAP).aggregate(total=Sum(Length("data")))["total"] or 0


def running_with_output(data=b"x" * 1000):
    run = send()
    journal = journal_of(queue.claim(enlisted_worker(), slots=1, run_id=run.pk)[0])
    journal.set(Status.RUNNING, started_at=timezone.now())
    journal.write(OutputKind.STDOUT, data)
    writer.commit([(journal, journal.take())])
    return run


def lost_and_asked_about(days_ago):
    run = ended_run(days_ago=days_ago)
    run.invocations.update(status=Status.LOST, recheck="look")
    return run


# ------------------------------------------------------------------ by age


def test_runs_older_than_the_limit_go_with_everything_of_theirs():
    old, young = ended_run(3, days_ago=91), ended_run(2, days_ago=89)
    removed = prune(days=90)
    assert runs_left() == [young.pk]
    assert set(Invocation.objects.values_list("run_id", flat=True)) == {young.pk}
    assert Output.objects.count() == 2
    assert (removed.runs, removed.outputs) == (1, 0)
    assert not Run.objects.filter(pk=old.pk).exists()


def test_without_limits_everything_is_kept():
    ended_run(days_ago=10_000)
    assert retention.plan(KEEP) == Plan()


def test_a_run_counts_from_its_end():
    run = ended_run(days_ago=5)
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=100))
    assert retention.plan(Limits(days=90, output_bytes=0)) == Plan()


def test_a_run_that_has_not_ended_is_kept_however_old_it_is():
    for run in (running_with_output(), send()):
        Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=400))
    assert retention.plan(Limits(days=1, output_bytes=1)) == Plan()


def test_a_run_with_a_lost_invocation_to_be_looked_at_is_kept():
    lost_and_asked_about(days_ago=400)
    assert retention.plan(Limits(days=1, output_bytes=1)) == Plan()


@pytest.mark.parametrize("limits", [Limits(days=1, output_bytes=0), Limits(days=0, output_bytes=1)])
def test_what_somebody_asks_about_after_the_plan_is_kept(limits):
    run = ended_run(days_ago=400)
    planned = retention.plan(limits)
    assert planned != Plan()
    run.invocations.update(status=Status.LOST, marker="0" * 32)
    assert stopping.recheck(run.actor, run=run) == 1
    list(retention.carry_out(planned, actor=None))
    assert Output.objects.count() == 1
    assert runs_left() == [run.pk]


def test_what_was_found_out_about_a_removed_invocation_is_dropped():
    run = ended_run(days_ago=2)
    lost = queue.LostOne(run.invocations.get().pk, None, uuid.uuid4(), None, "", "look", "")
    prune(days=1)
    assert queue.resolve_lost(uuid.uuid4(), lost, status=Status.LOST, reason="ended_unseen", message="") is False


# ------------------------------------------------------------------ by size


def test_above_the_limit_the_oldest_output_goes_and_the_runs_stay():
    first, second, third = (ended_run(output=b"x" * 1000) for _ in range(3))
    digest = first.invocations.get().sha256
    removed = prune(output_bytes=2000)
    assert (removed.runs, removed.outputs, removed.output_bytes) == (0, 1, 1000)
    assert runs_left() == [first.pk, second.pk, third.pk]
    assert set(Output.objects.values_list("invocation__run", flat=True)) == {second.pk, third.pk}
    row = first.invocations.get()
    assert row.output_removed_at is not None
    assert (row.sha256, row.size, row.last_line) == (digest, 1000, "x" * 200)
    assert output.stored_size(row) == 0
    assert second.invocations.get().output_removed_at is None


def test_at_the_limit_nothing_goes():
    ended_run(output=b"x" * 1000)
    assert retention.plan(Limits(days=0, output_bytes=1000)) == Plan()


def test_the_output_of_a_run_goes_as_a_whole():
    ended_run(3, output=b"x" * 1000)
    assert prune(output_bytes=2999).output_bytes == 3000


def test_output_of_runs_that_are_too_old_makes_room_first():
    ended_run(output=b"x" * 1000, days_ago=2)
    kept = ended_run(output=b"x" * 1000)
    removed = prune(days=1, output_bytes=1500)
    assert (removed.runs, removed.outputs) == (1, 0)
    assert kept.invocations.get().output_removed_at is None


def test_output_of_a_running_command_counts_and_is_kept():
    running, ended = running_with_output(b"x" * 1000), ended_run(output=b"x" * 1000)
    assert retention.stored_bytes() == 2000
    assert prune(output_bytes=500).output_bytes == 1000
    assert running.invocations.get().output_removed_at is None
    assert ended.invocations.get().output_removed_at is not None
    assert retention.plan(Limits(days=0, output_bytes=500)) == Plan()


def test_output_of_an_invocation_that_has_ended_is_kept_while_its_run_goes_on():
    run = ended_run(2, output=b"x" * 1000)
    run.invocations.filter(ordinal=0).update(status=Status.RUNNING, finished_at=None)
    queue.refresh_counts(run)
    Run.objects.filter(pk=run.pk).update(finished_at=None)
    assert retention.stored_bytes() == 2000
    assert retention.plan(Limits(days=0, output_bytes=1)) == Plan()


def test_gaps_go_too_and_count_nothing():
    run = ended_run()
    invocation = run.invocations.get()
    Output.objects.create(
        invocation=invocation, offset=6, kind=OutputKind.GAP, stream_offset=0, data=b"100", at=timezone.now()
    )
    assert retention.stored_bytes() == really_stored() == 6
    assert prune(output_bytes=1).output_bytes == 6
    assert not Output.objects.exists()


# ------------------------------------------------------------------ in short transactions


@pytest.fixture
def _small_batches(monkeypatch):
    monkeypatch.setattr(retention, "BATCH_ROWS", 3)
    monkeypatch.setattr(retention, "BATCH_BYTES", 150_000)
    monkeypatch.setattr(retention, "BATCH_INVOCATIONS", 2)


def pieces_of(invocation):
    return b"".join(piece.data for piece in output.read(invocation.pk, limit_bytes=10**9))


@pytest.mark.usefixtures("_small_batches")
@pytest.mark.parametrize("limits", [Limits(days=1, output_bytes=0), Limits(days=0, output_bytes=1)])
@pytest.mark.parametrize(("bound", "rows_at_most"), [("BATCH_ROWS", 3), ("BATCH_BYTES", 3), ("BATCH_INVOCATIONS", 8)])
def test_every_step_removes_a_little_and_leaves_an_exact_prefix(limits, bound, rows_at_most, monkeypatch):
    # Only the one bound counts; 64 KiB make a row.
    for other in {"BATCH_ROWS", "BATCH_BYTES", "BATCH_INVOCATIONS"} - {bound}:
        monkeypatch.setattr(retention, other, 10**9)
    data = bytes(range(256)) * 1024
    run = ended_run(5, output=data, days_ago=2)
    invocations = list(run.invocations.all())
    before, rows, steps = really_stored(), Output.objects.count(), 0
    for _ in retention.carry_out(retention.plan(limits), actor=None):
        steps += 1
        now, rows_now = really_stored(), Output.objects.count()
        assert rows - rows_now <= rows_at_most
        before, rows = now, rows_now
        assert retention.stored_bytes() == now
        for invocation in invocations:
            found = pieces_of(invocation)
            assert data.startswith(found)
            if len(found) < len(data):
                assert not Invocation.objects.filter(pk=invocation.pk, output_removed_at=None).exists()
    assert (before, rows) == (0, 0)
    assert steps >= 20 // rows_at_most


@pytest.mark.usefixtures("_small_batches")
def test_what_was_broken_off_is_taken_up_again():
    run = ended_run(5, output=b"x" * 200_000)
    limits = Limits(days=0, output_bytes=1)
    next(retention.carry_out(retention.plan(limits), actor=None))
    removed_at = run.invocations.exclude(output_removed_at=None).first().output_removed_at
    assert 0 < really_stored() < 1_000_000
    assert prune(output_bytes=1).outputs == 1
    assert really_stored() == 0
    assert run.invocations.filter(output_removed_at=removed_at).exists()


def test_viewers_learn_of_it():
    run = ended_run()
    prune(output_bytes=1)
    assert Run.objects.get(pk=run.pk).revision == run.invocations.get().revision == run.revision + 1


@pytest.mark.sqlite
def test_looking_costs_little_however_long_the_history_is():
    for _ in range(3):
        ended_run(days_ago=2)
    statements = []

    def listen(execute, sql, params, many, context):
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        retention.plan(Limits(days=1, output_bytes=1))
    assert 5 <= len(statements) <= 6
    added_up = 0
    with connection.cursor() as cursor:
        # With its parameters apart, as they are sent: SQLite recognises less then.
        for sql, params in statements:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            steps = [row[3] for row in cursor.fetchall()]
            added_up += "SCAN console_invocation USING COVERING INDEX stored_output" in steps
            scans = [step for step in steps if "SCAN" in step]
            assert all(
                step.endswith(("INDEX stored_output", "INDEX recheck_invocations", "INDEX kept_by_own_rule"))
                for step in scans
            ), sql
    assert added_up == 1


# ------------------------------------------------------------------ the record


def test_one_audit_entry_says_what_was_removed():
    old, large = ended_run(days_ago=2), ended_run(output=b"x" * 1000)
    prune(days=1, output_bytes=10)
    entry = AuditEntry.objects.get(action="retention.prune")
    assert (entry.actor, entry.actor_name) == (None, "the console")
    assert (entry.details["runs"], entry.details["output_of"]) == ([old.pk], [large.pk])
    assert (entry.details["run_count"], entry.details["output_count"]) == (1, 1)
    assert entry.details["output_bytes"] == 1000


def test_who_pruned_is_in_it():
    run = ended_run(days_ago=2)
    prune(days=1, actor=run.actor)
    assert AuditEntry.objects.get(action="retention.prune").actor == run.actor


def test_removing_nothing_leaves_no_entry():
    prune(days=1, output_bytes=1)
    assert not AuditEntry.objects.filter(action="retention.prune").exists()


def test_a_plan_that_came_to_nothing_leaves_no_entry():
    run = ended_run(days_ago=2)
    planned = retention.plan(Limits(days=1, output_bytes=0))
    run.invocations.update(recheck="look")
    list(retention.carry_out(planned, actor=None))
    assert not AuditEntry.objects.filter(action="retention.prune").exists()


# ------------------------------------------------------------------ whose turn it is


@pytest.fixture
def _no_round_yet(settings):
    (settings.DATA_DIR / "retention.lock").unlink(missing_ok=True)


@pytest.mark.usefixtures("_no_round_yet")
def test_one_prunes_at_a_time():
    with retention.Turn(), pytest.raises(BlockingIOError):
        retention.Turn()
    with retention.Turn():
        pass


@pytest.mark.usefixtures("_no_round_yet")
def test_a_round_is_due_once_a_day(settings):
    with retention.Turn() as turn:
        assert turn.is_due()
        turn.note_done()
        assert not turn.is_due()
    path = settings.DATA_DIR / "retention.lock"
    for ago, is_due in [(timedelta(hours=23), False), (timedelta(hours=25), True), (timedelta(hours=-2), True)]:
        path.write_text((timezone.now() - ago).isoformat())
        with retention.Turn() as turn:
            assert turn.is_due() is is_due
    path.write_text("no time")
    with retention.Turn() as turn:
        assert turn.is_due()
        turn.note_done()
        assert not turn.is_due()
