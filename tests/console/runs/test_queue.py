import re
import threading
import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone

from console.runs import queue
from console.runs.lease_file import LeaseFile
from console.runs.models import Invocation, WorkerLease
from instances.access.models import Grant
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


def take(worker, slots=100):
    return queue.claim(worker, slots=slots)


def test_a_claim_takes_queued_invocations_in_order_under_a_new_fence():
    run = send(3)
    worker = enlisted_worker()
    claims = take(worker, slots=2)
    rows = list(run.invocations.order_by("ordinal"))
    assert [claim.invocation_id for claim in claims] == [rows[0].pk, rows[1].pk]
    assert [(row.status, row.owner, row.fence, row.attempt) for row in rows] == [
        ("connecting", worker, 1, 1),
        ("connecting", worker, 1, 1),
        ("queued", None, 0, 0),
    ]
    run.refresh_from_db()
    assert (run.status, run.counts) == ("running", {"connecting": 2, "queued": 1})


def test_a_claim_raises_the_revision_of_each_run_once(django_assert_max_num_queries):
    """Viewers draw anew for every revision; a second one that says nothing new doubled the claim."""
    runs = [send(3), send(3)]
    before = [run.revision for run in runs]
    worker = enlisted_worker()
    with django_assert_max_num_queries(24):
        assert len(take(worker)) == 6
    for run in runs:
        run.refresh_from_db()
    assert [run.revision for run in runs] == [revision + 1 for revision in before]


def test_what_one_run_leaves_unused_goes_to_another():
    send(10, max_concurrency=1)
    send(10)
    assert len(take(enlisted_worker(), slots=8)) == 8


def test_no_more_are_active_than_the_run_allows():
    send(5, max_concurrency=2)
    worker = enlisted_worker()
    assert len(take(worker)) == 2
    assert take(worker) == []
    Invocation.objects.filter(status="connecting").first().__class__.objects.filter(ordinal=0).update(
        status="succeeded"
    )
    assert len(take(worker)) == 1


def test_a_large_run_does_not_keep_a_small_one_waiting():
    send(100)
    small = send(1)
    claimed = take(enlisted_worker(), slots=10)
    assert small.pk in {claim.run_id for claim in claimed}
    assert len(claimed) == 10


def test_more_errors_than_allowed_skip_the_rest():
    run = send(4, max_errors=1)
    run.invocations.filter(ordinal__lt=2).update(status="failed")
    queue.refresh_counts(run)
    assert take(enlisted_worker()) == []
    assert set(run.invocations.filter(ordinal__gte=2).values_list("status", "reason")) == {("skipped", "max_errors")}
    run.refresh_from_db()
    assert run.has_ended


def test_as_many_errors_as_allowed_do_not():
    run = send(3, max_errors=1)
    run.invocations.filter(ordinal=0).update(status="failed")
    queue.refresh_counts(run)
    assert len(take(enlisted_worker())) == 2


def test_a_sender_who_lost_the_right_has_the_rest_skipped():
    run = send(2)
    Grant.objects.filter(user=run.actor).delete()
    assert take(enlisted_worker()) == []
    assert set(run.invocations.values_list("reason", flat=True)) == {"not_permitted"}


def test_a_dead_workers_unsent_invocations_are_queued_again_and_sent_ones_are_lost():
    run = send(3)
    dead = uuid.uuid4()
    queue.enlist(dead)
    take(dead)
    run.invocations.filter(ordinal=1).update(start_sent_at=timezone.now())
    run.invocations.filter(ordinal=2).update(status="running", start_sent_at=timezone.now())
    assert queue.reap(enlisted_worker()) == queue.LeftBehind(requeued=1, lost=2)
    rows = list(run.invocations.order_by("ordinal").values_list("status", "reason", "fence", "owner"))
    assert rows == [
        ("queued", "", 2, None),
        ("lost", "console_restarted", 2, None),
        ("lost", "console_restarted", 2, None),
    ]
    assert not WorkerLease.objects.filter(pk=dead).exists()


def test_a_dead_workers_unsent_invocation_that_was_to_be_stopped_is_cancelled():
    run = send(1)
    dead = uuid.uuid4()
    queue.enlist(dead)
    take(dead)
    run.invocations.update(stop_requested_at=timezone.now())
    queue.reap(enlisted_worker())
    assert run.invocations.get().status == "cancelled"


def test_a_live_workers_invocations_are_left_alone():
    send(2)
    other = enlisted_worker()
    take(other)
    assert queue.reap(enlisted_worker()) == queue.LeftBehind()
    assert set(Invocation.objects.values_list("owner", flat=True)) == {other}


@pytest.mark.parametrize("change", [{"expires_ns": 0}, {"boot_id": "another boot"}])
def test_a_lease_that_is_over_or_of_another_boot_is_dead_although_its_lock_is_held(change):
    worker = enlisted_worker()
    WorkerLease.objects.filter(pk=worker).update(**change)
    assert queue.is_dead(WorkerLease.objects.get(pk=worker))


def test_an_owner_without_any_lease_is_dead_too():
    send(1)
    worker = enlisted_worker()
    take(worker)
    WorkerLease.objects.filter(pk=worker).delete()
    assert queue.reap(enlisted_worker()).requeued == 1


def test_a_worker_taken_for_dead_learns_it_when_it_renews():
    worker = enlisted_worker()
    assert queue.renew(worker)
    queue.discharge(worker)
    assert not queue.renew(worker)


@pytest.mark.django_db(transaction=True)
def test_racing_workers_never_share_an_invocation_nor_exceed_the_limit():
    run = send(40, max_concurrency=25)
    workers = [enlisted_worker() for _ in range(4)]
    claims: list[queue.Claim] = []

    def race(worker):
        try:
            for _ in range(5):
                claims.extend(queue.claim(worker, slots=3))
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(claims) == len({claim.invocation_id for claim in claims}) == 25
    assert run.invocations.filter(status="connecting").count() == 25


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "look",
    [
        lambda worker: queue.claim(worker, slots=10),
        queue.stops_wanted,
        queue.reap,
        lambda worker: queue.take_rechecks(worker, limit=10),
    ],
    ids=["claim", "stops_wanted", "reap", "take_rechecks"],
)
def test_what_workers_ask_all_the_time_never_reads_the_whole_history(look):
    asked = []

    def note(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    worker = enlisted_worker()
    with connection.execute_wrapper(note):
        look(worker)
    selects = [(sql, params) for sql, params in asked if sql.startswith("SELECT")]
    assert any("console_invocation" in sql for sql, _ in selects)
    for sql, params in selects:
        with connection.cursor() as cursor:
            # With the parameters apart, as they were: their values decide nothing about the plan.
            cursor.execute("EXPLAIN QUERY PLAN " + sql, params)
            plan = [row[3] for row in cursor.fetchall()]
        whole = [step for step in plan if re.match(r"SCAN (console_invocation|console_run|U0)", step)]
        assert all(re.search(r"INDEX (active|recheck)_invocations", step) for step in whole), (sql, plan)


def test_a_worker_that_was_taken_for_dead_claims_nothing_until_it_enlists_again():
    send(1)
    worker = enlisted_worker()
    WorkerLease.objects.filter(pk=worker).delete()
    assert take(worker) == []
    queue.enlist(worker)
    assert len(take(worker)) == 1


def test_a_worker_that_enlists_again_with_a_new_lock_is_alive():
    worker = enlisted_worker()
    other = enlisted_worker()
    WorkerLease.objects.filter(pk=worker).update(expires_ns=0)
    queue.reap(other)
    queue.enlist(worker)
    # The file is gone, and with it the proof.
    assert queue.is_dead(WorkerLease.objects.get(pk=worker))
    lock = LeaseFile(worker)
    assert not queue.is_dead(WorkerLease.objects.get(pk=worker))
    lock.release()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_enlists_again_as_soon_as_it_can_keeps_its_new_lock(monkeypatch):
    me, worker = enlisted_worker(), uuid.uuid4()
    locks = [LeaseFile(worker)]
    queue.enlist(worker)
    WorkerLease.objects.filter(pk=worker).update(expires_ns=0)
    forget = queue.prompts.drop_boxes_of

    def wake_up():
        assert not queue.renew(worker)
        locks.pop().release()
        locks.append(LeaseFile(worker))
        queue.enlist(worker)

    def last_write(owners):
        forget(owners)
        transaction.on_commit(wake_up)

    monkeypatch.setattr(queue.prompts, "drop_boxes_of", last_write)
    queue.reap(me)
    assert not queue.is_dead(WorkerLease.objects.get(pk=worker))
    locks.pop().release()
