"""Runs in batches: what may be started, and what stands between."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from console.runs import queue, services, stopping
from console.runs.answers import Answer, answer
from console.runs.models import Invocation, Run
from instances.access.models import Grant, Role
from instances.audit.models import AuditEntry
from instances.inventory.models import Instance
from tests.support import factories
from tests.support.rollouts import end, fresh, put_back, rollout, state, take
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker():
    return enlisted_worker()


# ------------------------------------------------------------------ the first ones


def test_after_the_first_ones_nothing_is_started_until_somebody_answers(worker):
    run = send(5, **rollout(first="2"))
    first = take(worker)
    assert len(first) == 2
    end(first[:1])
    assert take(worker) == []
    assert state(run) == ("running", "", 0)
    end(first[1:])
    assert state(run) == ("waiting", "ask", 1)
    assert take(worker) == []
    assert answer(run.actor, run=run, what=Answer.CONTINUE, batch=1)
    assert state(run) == ("running", "", 1)
    assert len(take(worker)) == 3


def test_a_run_that_waits_costs_workers_no_transaction(worker, django_assert_num_queries):
    run = send(5, **rollout(first="1"))
    end(take(worker))
    assert state(run)[0] == "waiting"
    with django_assert_num_queries(2):
        assert take(worker) == []


def test_instances_that_are_skipped_from_the_start_are_none_of_the_first():
    disabled = factories.InstanceFactory(is_disabled=True)
    others = factories.InstanceFactory.create_batch(3)
    run = send(instances=[disabled, others[0], others[1], others[2]], **rollout(first="1", batch_size="50%"))
    assert list(run.invocations.order_by("ordinal").values_list("batch", flat=True)) == [None, 0, 1, 2]
    assert (run.batch_count, run.open_before) == (3, 2)
    worker = enlisted_worker()
    assert take(worker) == [run.invocations.get(ordinal=1).pk]


def test_stopping_the_rest_skips_what_has_not_started(worker):
    run = send(4, **rollout(first="1"))
    end(take(worker))
    assert answer(run.actor, run=run, what=Answer.DECLINE, batch=1)
    rows = run.invocations.filter(status="skipped")
    assert {(row.reason, row.message.endswith("The command did not run.")) for row in rows} == {
        ("batch_declined", True)
    }
    assert rows.count() == 3
    assert fresh(run).has_ended


def test_what_runs_goes_on_when_the_rest_is_stopped(worker):
    run = send(4, max_concurrency=1, **rollout(batch_size="2"))
    taken = take(worker)
    assert answer(run.actor, run=run, what=Answer.DECLINE)
    assert list(run.invocations.order_by("ordinal").values_list("status", flat=True)) == ["connecting"] + 3 * [
        "skipped"
    ]
    end(taken)
    assert state(run)[0] == "partial"


def test_nobody_is_asked_where_all_succeeded_if_that_is_wanted(worker):
    run = send(4, **rollout(first="2", ask_unless_ok=True))
    end(take(worker))
    assert state(run) == ("running", "", 1)
    assert len(take(worker)) == 2


@pytest.mark.parametrize("status", ["failed", "unreachable", "lost", "cancelled"])
def test_otherwise_somebody_is_asked(worker, status):
    run = send(4, **rollout(first="2", ask_unless_ok=True))
    first = take(worker)
    end(first[:1])
    end(first[1:], status)
    assert state(run) == ("waiting", "ask", 1)


def test_the_error_limit_is_looked_at_before_anybody_is_asked(worker):
    run = send(4, max_errors=0, **rollout(first="1"))
    end(take(worker), "failed")
    assert take(worker) == []
    assert set(run.invocations.exclude(status="failed").values_list("reason", flat=True)) == {"max_errors"}


def test_the_only_batch_has_no_gate_behind_it(worker):
    run = send(2, **rollout(first="2"))
    end(take(worker))
    assert state(run) == ("succeeded", "", 0)


def test_stopped_while_it_waits_it_ends(worker):
    run = send(3, **rollout(first="1"))
    end(take(worker))
    stopping.stop_run(run.actor, run=run)
    assert state(run)[:2] == ("stopped", "")


def test_the_question_outlives_the_end_of_the_batch_it_is_about(worker):
    run = send(3, **rollout(first="1", batch_size="1"))
    end(take(worker))
    stopping.stop_run(run.actor, run=run, ordinal=1)
    assert state(run) == ("waiting", "ask", 2)
    assert not answer(run.actor, run=run, what=Answer.CONTINUE, batch=1)
    assert answer(run.actor, run=run, what=Answer.CONTINUE, batch=2)
    assert len(take(worker)) == 1


# ------------------------------------------------------------------ batches


def test_a_batch_starts_when_all_of_the_former_have_ended(worker):
    run = send(5, **rollout(batch_size="2"))
    for expected in (2, 2, 1):
        taken = take(worker)
        assert len(taken) == expected
        assert take(worker) == []
        end(taken[:-1]) if taken[:-1] else None
        assert take(worker) == []
        end(taken[-1:])
    assert state(run)[0] == "succeeded"


def test_a_pause_holds_the_next_batch_back_until_it_is_over(worker):
    run = send(2, **rollout(batch_size="1", batch_pause_s=3000))
    pause, began = timedelta(seconds=3000), timezone.now()
    end(take(worker))
    assert state(run) == ("running", "pause", 1)
    assert began + pause <= fresh(run).gate_until <= timezone.now() + pause
    assert take(worker) == []
    Run.objects.update(gate_until=timezone.now() - timedelta(milliseconds=1))
    assert len(take(worker)) == 1
    assert state(run)[:2] == ("running", "")


def test_nobody_needs_to_wait_for_the_end_of_a_pause(worker):
    run = send(2, **rollout(batch_size="1", batch_pause_s=3000))
    end(take(worker))
    assert answer(run.actor, run=run, what=Answer.CONTINUE, batch=1)
    assert len(take(worker)) == 1


def test_a_batch_that_a_dead_worker_left_unsent_is_not_over():
    run = send(2, **rollout(first="1"))
    dead = uuid.uuid4()
    queue.enlist(dead)
    take(dead)
    worker = enlisted_worker()
    assert queue.reap(worker).requeued == 1
    assert state(run) == ("queued", "", 0)
    assert len(take(worker)) == 1


# ------------------------------------------------------------------ pause by hand


def test_paused_nothing_new_starts_and_what_runs_goes_on(worker):
    run = send(4, max_concurrency=2)
    taken = take(worker)
    assert answer(run.actor, run=run, what=Answer.PAUSE)
    end(taken[:1])
    assert take(worker) == []
    assert state(run)[0] == "running"
    end(taken[1:])
    assert state(run)[0] == "paused"
    assert answer(run.actor, run=run, what=Answer.RESUME)
    assert len(take(worker)) == 2


def test_paused_before_anything_started():
    run = send(1)
    answer(run.actor, run=run, what=Answer.PAUSE)
    assert state(run)[0] == "paused"
    assert take(enlisted_worker()) == []


# ------------------------------------------------------------------ who answers


def test_of_two_who_press_the_second_changes_nothing(worker):
    run = send(3, **rollout(first="1", batch_size="1", ask_between=True))
    end(take(worker))
    other = factories.UserFactory(role=Role.OPERATOR)
    assert answer(run.actor, run=run, what=Answer.CONTINUE, batch=1)
    revision = fresh(run).revision
    assert not answer(other, run=run, what=Answer.CONTINUE, batch=1)
    end(take(worker))
    assert state(run) == ("waiting", "ask", 2)
    assert not answer(other, run=run, what=Answer.CONTINUE, batch=1)
    assert fresh(run).revision > revision
    assert AuditEntry.objects.filter(action="run.continue").count() == 1


def test_stopping_the_rest_wins_over_a_continue_of_the_same_moment(worker):
    run = send(3, **rollout(first="1"))
    end(take(worker))
    answer(run.actor, run=run, what=Answer.CONTINUE, batch=1)
    assert answer(run.actor, run=run, what=Answer.DECLINE, batch=1)
    assert take(worker) == []
    assert not answer(run.actor, run=run, what=Answer.DECLINE, batch=1)


@pytest.mark.parametrize("what", Answer)
def test_a_viewer_may_not_answer(worker, what):
    run = send(3, **rollout(first="1"))
    end(take(worker))
    with pytest.raises(services.rules.NotAllowed):
        answer(factories.UserFactory(role=Role.VIEWER), run=run, what=what)
    assert state(run)[0] == "waiting"


def test_whoever_may_send_to_a_part_of_the_rest_may_not_let_it_start(worker):
    mine = factories.GroupFactory()
    instances = [factories.InstanceFactory(group=mine), factories.InstanceFactory(group=mine)]
    run = send(instances=[*instances, factories.InstanceFactory()], **rollout(first="1"))
    end(take(worker))
    user = factories.UserFactory(role=None)
    Grant.objects.create(user=user, role=Role.OPERATOR, group=mine)
    with pytest.raises(services.rules.NotAllowed):
        answer(user, run=run, what=Answer.CONTINUE)
    Instance.objects.update(group=mine)
    assert answer(user, run=run, what=Answer.CONTINUE)


def test_a_sender_who_lost_the_right_while_it_waited_has_the_rest_skipped(worker):
    run = send(2, **rollout(first="1"))
    end(take(worker))
    Grant.objects.filter(user=run.actor).delete()
    assert answer(factories.UserFactory(role=Role.OPERATOR), run=run, what=Answer.CONTINUE)
    assert take(worker) == []
    assert run.invocations.get(ordinal=1).reason == "not_permitted"


# ------------------------------------------------------------------ another attempt


def claim_one(worker):
    (claim,) = queue.claim(worker, slots=1)
    return claim


def test_what_waits_for_another_attempt_holds_no_slot_and_is_no_error(worker):
    run = send(2, max_concurrency=1, max_errors=0)
    assert put_back(claim_one(worker))
    row = run.invocations.get(ordinal=0)
    assert (row.status, row.reason, row.message, row.owner) == ("queued", "refused", "Attempt 1 of 3", None)
    assert take(worker) == [run.invocations.get(ordinal=1).pk]
    assert (fresh(run).error_count, fresh(run).status) == (0, "running")
    Invocation.objects.filter(pk=row.pk).update(retry_at=timezone.now())
    end([run.invocations.get(ordinal=1).pk])
    assert take(worker) == [row.pk]
    row.refresh_from_db()
    assert (row.attempt, row.message, row.reason, row.retry_at) == (2, "", "", None)


def test_a_batch_is_not_over_while_one_of_it_waits_for_another_attempt(worker):
    run = send(2, **rollout(first="1", connect_attempts=2))
    assert put_back(claim_one(worker))
    assert state(run)[1:] == ("", 0)
    assert take(worker) == []


def test_one_that_waits_is_cancelled_at_once_by_a_stop(worker):
    run = send(1)
    put_back(claim_one(worker))
    stopping.stop_run(run.actor, run=run)
    assert (run.invocations.get().status, state(run)[0]) == ("cancelled", "stopped")


@pytest.mark.parametrize(
    "change",
    [{"start_sent_at": timezone.now()}, {"stop_requested_at": timezone.now()}, {"fence": 7}, {"status": "running"}],
    ids=["start sent", "stop asked", "another worker's", "running"],
)
def test_nothing_is_tried_again_that_may_have_started(worker, change):
    send(1)
    claim = claim_one(worker)
    Invocation.objects.update(**change)
    assert not put_back(claim)
    assert Invocation.objects.get().status != "queued"


# ------------------------------------------------------------------ cheap


@pytest.mark.sqlite
def test_what_a_claim_asks_uses_the_partial_index_also_where_a_run_has_batches(worker):
    run = send(3, **rollout(first="1"))
    asked = str(queue._waiting(worker, run.pk).query)
    with connection.cursor() as cursor:
        cursor.execute(*_explained(queue._waiting(worker, None)))
        steps = [row[3] for row in cursor.fetchall()]
    assert "open_before" in asked
    assert any("queued_invocations" in step for step in steps), steps
    assert not any(step.startswith("SCAN console") for step in steps), steps


def _explained(found):
    sql, params = found.query.sql_with_params()
    return "EXPLAIN QUERY PLAN " + sql, params
