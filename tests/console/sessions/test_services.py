import datetime
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from console.runs.models import WorkerLease
from console.sessions import queue, services
from console.sessions.models import Kind, Session, State
from console.sessions.services import Wish
from instances.access.models import Grant, Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.inventory.models import Instance
from tests.support import factories
from tests.support.at_once import during_another_request
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory, session

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return UserFactory(role=Role.OPERATOR)


def opened(actor, *instances, key="once", **wish):
    return services.open_sessions(actor, instances, Wish(**wish), request_key=key)


def states():
    return list(Session.objects.order_by("pk").values_list("state", flat=True))


def test_one_is_opened_on_each_instance(operator):
    first, second = InstanceFactory(), InstanceFactory(os="windows")
    done = opened(operator, first, second, name="deploy")
    assert [(row.instance, row.name, row.command_type) for row in done.sessions] == [
        (first, "deploy", "shell"),
        (second, "deploy", "powershell"),
    ]
    assert states() == [State.OPENING] * 2
    assert AuditEntry.objects.get(action="open_shell").details["instances"] == [first.name, second.name]


def test_the_same_request_again_opens_nothing_more(operator):
    instance = InstanceFactory()
    assert opened(operator, instance).sessions == opened(operator, instance).sessions
    assert len(states()) == 1


def test_some_instances_are_left_out_and_the_others_are_not(operator):
    usual, disabled = InstanceFactory(), InstanceFactory(is_disabled=True)
    done = opened(operator, usual, disabled)
    assert [row.instance for row in done.sessions] == [usual]
    assert done.left_out == [(disabled.name, "It is disabled.")]


def test_nothing_to_open_is_an_error_that_says_why(operator):
    with pytest.raises(ValidationError, match="It is disabled"):
        opened(operator, InstanceFactory(is_disabled=True))
    with pytest.raises(ValidationError, match="Select an instance"):
        opened(operator)


def test_a_viewer_opens_nothing():
    viewer = UserFactory(role=Role.VIEWER)
    for kind in Kind:
        with pytest.raises(NotAllowed):
            opened(viewer, InstanceFactory(), kind=kind)


def test_who_may_open_in_one_group_opens_in_no_other():
    group = GroupFactory()
    operator = UserFactory(role=Role.OPERATOR, role_group=group)
    with pytest.raises(ValidationError, match="You may not open a terminal on it"):
        opened(operator, InstanceFactory(), kind=Kind.TERMINAL)
    assert opened(operator, InstanceFactory(group=group), kind=Kind.TERMINAL).sessions


def test_limits_per_person_and_per_instance(operator, settings):
    settings.ENV = settings.ENV.__class__(**{**vars(settings.ENV), "sessions_per_user": 2, "sessions_per_instance": 1})
    instance = InstanceFactory()
    opened(operator, instance)
    with pytest.raises(ValidationError, match="1 sessions are open on it already"):
        opened(UserFactory(), instance, key="other")
    with pytest.raises(ValidationError, match="You have 1 of 2 sessions and terminals open; 2 more are too many"):
        opened(operator, InstanceFactory(), InstanceFactory(), key="more")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limits", [{"sessions_per_user": 1}, {"sessions_per_instance": 1}])
def test_two_requests_at_once_keep_a_limit_together(limits, operator, settings):
    settings.ENV = settings.ENV.__class__(**{**vars(settings.ENV), **limits})
    instance = InstanceFactory()
    others = (operator, InstanceFactory()) if "sessions_per_user" in limits else (UserFactory(), instance)

    def open_another():
        with pytest.raises(ValidationError):
            opened(*others, key="other")

    with during_another_request(open_another):
        opened(operator, instance)
    assert len(states()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_request_twice_at_once_opens_nothing_more(operator):
    instance = InstanceFactory()
    with during_another_request(lambda: opened(operator, instance)):
        opened(operator, instance)
    assert len(states()) == 1


@pytest.mark.parametrize("records", [True, False])
def test_the_group_says_whether_terminals_are_recorded(records, operator):
    instance = InstanceFactory(group=GroupFactory(records_terminals=records))
    assert opened(operator, instance, kind=Kind.TERMINAL).sessions[0].is_recorded is records
    assert not opened(operator, instance, key="shell").sessions[0].is_recorded


def test_closing_is_asked_of_the_worker_that_holds_it(operator):
    row = session(InstanceFactory(), operator, worker=uuid.uuid4())
    waiting = session(InstanceFactory(), operator, state=State.OPENING)
    assert services.close_sessions(operator, [row, waiting]) == 2
    row.refresh_from_db(), waiting.refresh_from_db()
    assert (row.state, row.close_requested_by) == (State.READY, operator.username)
    assert waiting.state == State.CLOSED
    assert services.close_sessions(operator, [row]) == 0


def test_others_sessions_are_closed_and_seen_by_who_manages_them_alone(operator):
    group = GroupFactory()
    row = session(InstanceFactory(group=group), operator)
    elsewhere = UserFactory(role=Role.ADMINISTRATOR, role_group=GroupFactory())
    inside = UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    for stranger in (elsewhere, UserFactory(role=Role.OPERATOR)):
        assert not services.visible_sessions(stranger).exists()
        assert not services.may_watch(stranger, row)
        with pytest.raises(NotAllowed):
            services.close_sessions(stranger, [row])
    assert services.visible_sessions(inside).get() == row
    assert services.may_watch(inside, row)
    assert services.close_sessions(inside, [row]) == 1


# ------------------------------------------------------------------ the worker's side


def held(worker, **fields):
    return session(InstanceFactory(), UserFactory(role=Role.OPERATOR), worker=worker, **fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: Session.objects.update(close_requested_at=timezone.now(), close_requested_by="x"), "closed"),
        (lambda row: Instance.objects.update(is_disabled=True), "instance_disabled"),
        (lambda row: Grant.objects.all().delete(), "not_permitted"),
        (lambda row: type(row.owner).objects.update(is_active=False), "not_permitted"),
        (lambda row: row.owner.delete(), "not_permitted"),
        (lambda row: row.instance.delete(), "instance_deleted"),
        (lambda row: ago("opened_at", 86401), "too_old"),
        (lambda row: ago("last_used_at", 7201), "idle"),
        (lambda row: ago("detached_at", 14401), "detached"),
    ],
)
def test_what_is_due_is_closed_and_why(change, reason):
    worker = uuid.uuid4()
    row = held(worker)
    assert queue.due(worker) == []
    change(row)
    assert [(pk, why) for pk, why, _ in queue.due(worker)] == [(row.pk, reason)]
    assert queue.due(uuid.uuid4()) == []


def test_who_was_deactivated_is_not_said_to_have_signed_out():
    worker = uuid.uuid4()
    row = held(worker, kind=Kind.TERMINAL)
    services.close_signed_out(row.pk)
    assert [why for _, why, _ in queue.due(worker)] == ["closed"]
    type(row.owner).objects.update(is_active=False)
    assert [why for _, why, _ in queue.due(worker)] == ["not_permitted"]


def ago(field, seconds):
    Session.objects.update(**{field: timezone.now() - datetime.timedelta(seconds=seconds)})


def test_a_busy_session_is_not_idle_but_may_be_too_old():
    worker = uuid.uuid4()
    held(worker, state=State.BUSY)
    ago("last_used_at", 10**6)
    assert queue.due(worker) == []
    ago("opened_at", 86401)
    assert [why for _, why, _ in queue.due(worker)] == ["too_old"]


def test_without_a_grace_period_a_terminal_goes_with_its_last_page_but_not_before_its_first():
    worker, just = uuid.uuid4(), timezone.now() - datetime.timedelta(seconds=2)
    held(worker, kind=Kind.TERMINAL, state=State.DETACHED, grace_s=0, opened_at=just, detached_at=just)
    assert queue.due(worker) == []
    ago("detached_at", 1)
    message = "Closed: no page shows it any more (MUSTER_SESSION_GRACE_S)."
    assert [tuple(why) for _, *why in queue.due(worker)] == [("detached", message)]


def test_each_is_claimed_once_with_what_opening_takes():
    opened(UserFactory(), instance := InstanceFactory(), kind=Kind.TERMINAL)
    first, second = uuid.uuid4(), uuid.uuid4()
    (order,) = queue.claim(first, 10)
    assert (order.instance_id, order.kind, order.target.name) == (instance.pk, Kind.TERMINAL, instance.name)
    assert queue.claim(second, 10) == []
    assert not queue.opened(second, order.session_id, state=State.DETACHED, remote_pid=None)
    assert queue.opened(first, order.session_id, state=State.DETACHED, remote_pid=None)


def test_what_may_not_be_opened_any_more_is_not():
    done = opened(owner := UserFactory(role=Role.OPERATOR), InstanceFactory())
    owner.grants.all().delete()
    assert queue.claim(uuid.uuid4(), 10) == []
    done.sessions[0].refresh_from_db()
    assert (done.sessions[0].state, done.sessions[0].reason) == (State.BROKEN, "not_permitted")


def test_sessions_of_a_worker_that_is_gone_are_broken_and_the_end_stays():
    alive = WorkerLease.objects.create(process_id=1, boot_id="x", expires_ns=0)
    gone, kept = held(uuid.uuid4()), held(alive.pk)
    assert queue.reap(WorkerLease.objects.values("pk")) == 1
    gone.refresh_from_db(), kept.refresh_from_db()
    assert (gone.state, gone.reason) == (State.BROKEN, "console_restarted")
    assert kept.state == State.READY
    assert not queue.ended(gone.worker, gone.pk, is_broken=False, reason="closed", message="late")


def test_what_a_gone_worker_recorded_is_all_there_is():
    recording = factories.recording(InstanceFactory(), UserFactory(), b"x", is_live=True)
    Session.objects.update(worker=uuid.uuid4())
    assert queue.reap(WorkerLease.objects.values("pk")) == 1
    recording.refresh_from_db()
    assert not recording.is_live
