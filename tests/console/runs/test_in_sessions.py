"""Sending to sessions: who gets the command, whose turn it is, and what becomes of it when the session has ended."""

import uuid

import pytest
from django.db import connection
from django.utils import timezone

from console.runs import queue, services, turns
from console.runs.left_waiting import skip_left_waiting
from console.runs.models import Invocation, WorkerLease
from console.runs.prompts import Prompts
from console.runs.rate import Rollout
from console.runs.services import RunError
from console.sessions import queue as sessions_queue
from console.sessions.models import Session, State
from console.worker import preparation
from instances.access.models import Grant, Role
from instances.audit.models import AuditEntry
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory, session
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return UserFactory(role=Role.OPERATOR)


@pytest.fixture
def worker():
    return enlisted_worker()


@pytest.fixture
def kept(operator, worker):
    """Return a function that makes an open session of the operator's, held by the worker."""

    def make(**fields):
        return session(fields.pop("instance", None) or InstanceFactory(), operator, **({"worker": worker} | fields))

    return make


def send_to(actor, *sessions, command="true", key=None, confirmed_count=None, **options):
    return services.send_command(
        actor,
        sessions=sessions,
        command=command,
        request_key=key or uuid.uuid4().hex,
        options=services.Options(**options),
        confirmed_count=confirmed_count,
    )


def outcome(run):
    return list(run.invocations.order_by("ordinal").values_list("status", "reason"))


def finish(claims):
    ids = [claim.invocation_id for claim in claims]
    Invocation.objects.filter(pk__in=ids).update(status="succeeded", finished_at=timezone.now())
    for run in {row.run for row in Invocation.objects.filter(pk__in=ids).select_related("run")}:
        queue.refresh_counts(run)


# ------------------------------------------------------------------ sending


def test_a_run_in_sessions_names_each_with_its_instance(operator, kept):
    first, second = kept(), kept()
    run = send_to(operator, second, first)
    rows = run.invocations.order_by("ordinal").values_list("session", "instance", "instance_name", "status")
    assert list(rows) == [
        (second.pk, second.instance_id, second.instance_name, "queued"),
        (first.pk, first.instance_id, first.instance_name, "queued"),
    ]
    assert (run.is_in_sessions, run.target_count) == (True, 2)
    assert AuditEntry.objects.get(action="run.send").details["sessions"] == [second.pk, first.pk]
    assert not send(1).is_in_sessions


def test_the_same_request_again_sends_nothing_more(operator, kept):
    one = kept()
    assert send_to(operator, one, key="same") == send_to(operator, one, key="same")


def test_a_session_that_has_ended_is_skipped_and_says_why(operator, kept):
    gone = kept(state=State.CLOSED, message="Closed by root.")
    run = send_to(operator, gone, kept())
    assert outcome(run) == [("skipped", "session_closed"), ("queued", "")]
    message = run.invocations.first().message
    assert message == f"The session {gone.name} has ended. Closed by root. The command did not run."


def test_what_was_deleted_or_disabled_or_is_of_another_family_is_skipped(operator, kept):
    deleted, disabled, windows = (
        kept(),
        kept(instance=InstanceFactory(is_disabled=True)),
        kept(command_type="powershell"),
    )
    deleted.instance.delete()
    rows = [Session.objects.get(pk=one.pk) for one in (deleted, disabled, windows)]
    assert outcome(send_to(operator, *rows)) == [
        ("skipped", "instance_deleted"),
        ("skipped", "instance_disabled"),
        ("skipped", "os_mismatch"),
    ]


def test_somebody_elses_session_is_sent_to_by_who_manages_it_alone(kept):
    one = kept(instance=InstanceFactory(group=(group := GroupFactory())))
    other, inside = UserFactory(role=Role.OPERATOR), UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    assert outcome(send_to(other, one)) == [("skipped", "not_permitted")]
    assert outcome(send_to(inside, one)) == [("queued", "")]


def test_a_terminal_gets_no_command(operator, kept):
    with pytest.raises(RunError, match="is a terminal") as raised:
        send_to(operator, kept(kind="terminal"))
    assert raised.value.field == "sessions"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"interpreter": "bash"}, "Interpreter is not offered in a session"),
        ({"working_directory": "/srv"}, "use cd"),
        ({"run_as": "root"}, "Run as is not offered"),
        ({"is_dry_run": True}, "A dry run is not offered"),
        ({"rollout": Rollout(first="1")}, "First ones, batches"),
        ({"rollout": Rollout(connect_attempts=3)}, "further attempts"),
        ({"command_type": "bat"}, "takes Shell or PowerShell"),
        ({"command": "#!/usr/bin/env -S python3\nprint()"}, "names python3"),
    ],
    ids=["interpreter", "directory", "run_as", "dry_run", "first", "attempts", "bat", "shebang"],
)
def test_what_a_kept_shell_cannot_do_is_refused(options, why, operator, kept):
    with pytest.raises(RunError, match=why):
        send_to(operator, kept(), **options)


def test_a_first_line_that_names_a_shell_is_taken(operator, kept):
    assert send_to(operator, kept(), command="#!/bin/bash -e\ntrue").invocations.get().status == "queued"


def test_variables_arguments_and_a_time_limit_go_along(operator, kept):
    run = send_to(operator, kept(), environment=(("A", "1"),), arguments=("x",), timeout_s=5, stop_at_cap=True)
    assert (run.environment, run.arguments, run.timeout_s, run.stop_at_cap) == ([["A", "1"]], ["x"], 5, True)


def test_sessions_of_a_group_that_asks_first_are_counted(operator, kept):
    instance = InstanceFactory(group=GroupFactory(name="prod", asks_first=True))
    two = kept(instance=instance), kept(instance=instance)
    with pytest.raises(RunError, match="This goes to 2 sessions, some of group prod"):
        send_to(operator, *two)
    assert send_to(operator, *two, confirmed_count=2).target_count == 2


# ------------------------------------------------------------------ whose turn it is


def test_only_the_worker_that_holds_a_session_takes_what_is_sent_to_it(operator, kept, worker):
    other = enlisted_worker()
    run = send_to(operator, kept(), kept(worker=other), kept(state=State.OPENING), kept(state=State.BUSY))
    assert [claim.session_id for claim in queue.claim(other, slots=10)] == [run.invocations.get(ordinal=1).session_id]
    taken = queue.claim(worker, slots=10)
    assert [claim.session_id for claim in taken] == [run.invocations.get(ordinal=n).session_id for n in (0, 3)]


def test_what_no_worker_may_take_costs_no_transaction(operator, kept, django_assert_num_queries):
    send_to(operator, kept(worker=enlisted_worker()))
    stranger = enlisted_worker()
    with django_assert_num_queries(2):
        assert queue.claim(stranger, slots=10) == []


def test_commands_of_a_session_are_taken_one_by_one_as_they_were_sent(operator, kept, worker):
    one, other = kept(), kept()
    send_to(operator, one)
    second = send_to(operator, one, other)
    third = send_to(operator, other)
    taken = queue.claim(worker, slots=10)
    assert [claim.session_id for claim in taken] == [one.pk, other.pk]
    assert outcome(second) == [("queued", ""), ("connecting", "")]
    assert queue.claim(worker, slots=10) == []
    finish(taken[:1])
    assert [(claim.run_id, claim.session_id) for claim in queue.claim(worker, slots=10)] == [(second.pk, one.pk)]
    finish(taken[1:])
    assert [claim.run_id for claim in queue.claim(worker, slots=10)] == [third.pk]


def test_what_is_queued_before_goes_first_although_its_run_is_at_its_limit(operator, kept, worker):
    one, other = kept(), kept()
    first = send_to(operator, one, other, max_concurrency=1)
    send_to(operator, other)
    assert [(claim.run_id, claim.session_id) for claim in queue.claim(worker, slots=10)] == [(first.pk, one.pk)]


def test_what_was_sent_before_but_committed_later_waits_for_what_has_begun(operator, kept, worker):
    """PostgreSQL gives ids before the commit: of two that are sent at once the later one can be seen first."""
    one = kept()
    hidden = send_to(operator, one)
    Invocation.objects.filter(run=hidden).update(session=None, status="skipped")
    send_to(operator, one)
    begun = queue.claim(worker, slots=10)
    Invocation.objects.filter(run=hidden).update(session=one, status="queued")
    assert queue.claim(worker, slots=10) == []
    finish(begun)
    assert [claim.run_id for claim in queue.claim(worker, slots=10)] == [hidden.pk]


def test_a_session_that_is_to_be_closed_takes_nothing_more(operator, kept, worker):
    send_to(operator, kept(close_requested_at=timezone.now()))
    assert queue.claim(worker, slots=10) == []


@pytest.mark.sqlite
def test_what_is_asked_about_turns_is_answered_by_indexes(operator, kept, worker):
    send_to(operator, kept())
    asked = [queue._waiting(worker, None), turns.left_waiting()]
    for sql, params in [*(one.query.sql_with_params() for one in asked), (turns._ANYTHING_WAITS, ())]:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + sql, params)
            plan = [row[3] for row in cursor.fetchall()]
        assert any("turns_in_a_session" in step for step in plan), plan
        assert not any(step.startswith("SCAN") for step in plan), plan


def test_while_nothing_waits_for_a_session_a_claim_asks_nothing_about_turns(operator, kept, worker):
    send_to(operator, kept())
    assert "console_session" in str(queue._waiting(worker, None).query)
    queue.claim(worker, slots=1)
    assert "console_session" not in str(queue._waiting(worker, None).query)


# ------------------------------------------------------------------ ends


def test_what_waits_for_a_session_that_has_ended_is_skipped(operator, kept, worker):
    one, other = kept(), kept()
    first, second = send_to(operator, one), send_to(operator, one, other)
    assert skip_left_waiting() == 0
    sessions_queue.ended(worker, one.pk, is_broken=True, reason="connection_lost", message="The connection broke.")
    assert skip_left_waiting() == 2
    assert outcome(first) == [("skipped", "session_closed")]
    assert outcome(second) == [("skipped", "session_closed"), ("queued", "")]
    assert "The connection broke. The command did not run." in first.invocations.get().message
    first.refresh_from_db()
    assert first.has_ended


def test_a_worker_that_dies_leaves_a_broken_session_and_nothing_that_waits_for_ever(operator, kept):
    dead = uuid.uuid4()
    queue.enlist(dead)
    one, other = kept(worker=dead), kept(worker=dead)
    run, later = send_to(operator, one, other), send_to(operator, one)
    started, _ = queue.claim(dead, slots=10)
    Invocation.objects.filter(pk=started.invocation_id).update(status="running", start_sent_at=timezone.now())
    queue.reap(enlisted_worker())
    sessions_queue.reap(WorkerLease.objects.values("pk"))
    assert skip_left_waiting() == 2
    assert outcome(run) == [("lost", "console_restarted"), ("skipped", "session_closed")]
    assert outcome(later) == [("skipped", "session_closed")]


# ------------------------------------------------------------------ made ready


def prepared(worker):
    return preparation.prepare(queue.claim(worker, slots=10), Prompts())


def test_an_order_names_the_session_and_needs_no_credential(operator, kept, worker):
    one = kept()
    send_to(operator, one)
    (order,) = prepared(worker)
    assert order.session_id == one.pk
    assert order.command.working_directory == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: Grant.objects.all().delete(), "not_permitted"),
        (lambda row: Session.objects.update(state=State.BROKEN, message="It broke."), "session_closed"),
        (lambda row: Session.objects.all().delete(), "session_closed"),
    ],
    ids=["grant", "broken", "deleted"],
)
def test_what_changed_between_the_claim_and_the_start_is_refused(change, reason, operator, kept, worker):
    send_to(operator, kept())
    claims = queue.claim(worker, slots=10)
    change(None)
    (refusal,) = preparation.prepare(claims, Prompts())
    assert (refusal.status, refusal.reason) == ("skipped", reason)
    assert refusal.message.endswith("did not run.")
