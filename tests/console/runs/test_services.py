import pytest

from console.runs import queue, services, stopping
from console.runs.models import Run
from console.runs.services import Options, RunError
from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from tests.support import factories
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


def statuses(run):
    return list(run.invocations.order_by("ordinal").values_list("status", "reason"))


def test_a_command_is_queued_on_every_instance_in_order_and_recorded():
    instances = factories.InstanceFactory.create_batch(3)
    run = send(instances=instances[::-1], command="uptime")
    assert [row.instance for row in run.invocations.order_by("ordinal")] == instances[::-1]
    assert statuses(run) == [("queued", "")] * 3
    assert (run.status, run.counts, run.target_count) == ("queued", {"queued": 3}, 3)
    entry = AuditEntry.objects.get(action="run.send")
    assert entry.details["count"] == 3
    assert entry.actor == run.actor


def test_a_double_click_makes_one_run():
    actor, instance = factories.UserFactory(), factories.InstanceFactory()
    first, second = (
        services.send_command(actor, instances=[instance], command="true", request_key="k") for _ in range(2)
    )
    assert first == second
    assert Run.objects.count() == 1


def test_two_people_may_have_the_same_request_key():
    instance = factories.InstanceFactory()
    for actor in factories.UserFactory.create_batch(2):
        services.send_command(actor, instances=[instance], command="true", request_key="k")
    assert Run.objects.count() == 2


@pytest.mark.parametrize("role", [Role.VIEWER, None])
def test_who_may_not_send_makes_no_run(role):
    with pytest.raises(NotAllowed):
        send(actor=factories.UserFactory(role=role))
    assert not Run.objects.exists()


def test_a_deactivated_operator_may_not_send():
    with pytest.raises(NotAllowed):
        send(actor=factories.UserFactory(role=Role.OPERATOR, is_active=False))


def test_instances_of_other_groups_are_skipped_and_the_others_go_on():
    mine, other = factories.GroupFactory.create_batch(2)
    actor = factories.UserFactory(role=Role.OPERATOR, role_group=mine)
    run = send(
        actor=actor,
        instances=[factories.InstanceFactory(group=mine), factories.InstanceFactory(group=other)],
    )
    assert statuses(run) == [("queued", ""), ("skipped", "not_permitted")]


def test_disabled_and_windows_instances_are_skipped_with_the_reason():
    run = send(instances=[factories.InstanceFactory(is_disabled=True), factories.InstanceFactory(os="windows")])
    assert statuses(run) == [("skipped", "instance_disabled"), ("skipped", "os_mismatch")]
    assert (run.status, run.has_ended) == ("failed", True)


@pytest.mark.parametrize(
    ("command_type", "expected"),
    [
        ("shell", ["queued", "skipped", "queued"]),
        ("bat", ["skipped", "queued", "skipped"]),
        ("powershell", ["skipped", "queued", "skipped"]),
    ],
)
def test_a_command_type_reaches_its_own_os_family_alone(command_type, expected):
    instances = [factories.InstanceFactory(os=os) for os in ("linux", "windows", "macos")]
    run = send(instances=instances, command_type=command_type)
    assert [status for status, _ in statuses(run)] == expected
    skipped = run.invocations.filter(status="skipped")
    assert {(row.reason, row.message.endswith("The command did not run.")) for row in skipped} == {
        ("os_mismatch", True)
    }


@pytest.mark.parametrize(
    ("command", "options", "field"),
    [
        ("", {}, "command"),
        (" \n", {}, "command"),
        ("a\0b", {}, "command"),
        ("x" * (1024 * 1024 + 1), {}, "command"),
        ("true", {"timeout_s": 0}, "timeout_s"),
        ("true", {"max_concurrency": 0}, "max_concurrency"),
        ("true", {"max_concurrency": 1001}, "max_concurrency"),
        ("true", {"max_errors": -1}, "max_errors"),
        ("true", {"command_type": "perl"}, "command_type"),
        ("true", {"command_type": "bat", "interpreter": "pwsh"}, "interpreter"),
    ],
)
def test_what_cannot_be_sent_names_its_field(command, options, field):
    with pytest.raises(RunError) as refused:
        services.send_command(
            factories.UserFactory(),
            instances=[factories.InstanceFactory()],
            command=command,
            request_key="k",
            options=Options(**options),
        )
    assert refused.value.field == field
    assert not Run.objects.exists()


def test_no_target_is_refused():
    with pytest.raises(RunError) as refused:
        send(instances=[])
    assert refused.value.field == "ids"


def test_stop_cancels_what_is_queued_at_once():
    run = send(3)
    assert stopping.stop_run(run.actor, run=run) == 3
    run.refresh_from_db()
    assert statuses(run) == [("cancelled", "stopped_before_start")] * 3
    assert (run.status, run.has_ended) == ("stopped", True)


def test_stop_marks_what_is_active_for_its_worker_and_says_nothing_more():
    run = send(2, max_concurrency=1)
    worker = enlisted_worker()
    (claim,) = queue.claim(worker, slots=10)
    stopping.stop_run(run.actor, run=run)
    assert queue.stops_wanted(worker) == [claim.invocation_id]
    run.refresh_from_db()
    assert statuses(run) == [("connecting", ""), ("cancelled", "stopped_before_start")]
    assert (run.status, run.has_ended) == ("stopping", False)


def test_stop_of_one_leaves_the_others():
    run = send(3)
    stopping.stop_run(run.actor, run=run, ordinal=1)
    assert [status for status, _ in statuses(run)] == ["queued", "cancelled", "queued"]
    run.refresh_from_db()
    assert run.stop_requested_at is None


def test_stop_asked_twice_or_after_the_end_changes_nothing():
    run = send(1)
    stopping.stop_run(run.actor, run=run)
    before = list(run.invocations.values("status", "stop_requested_by", "finished_at"))
    assert stopping.stop_run(factories.UserFactory(), run=run) == 0
    assert list(run.invocations.values("status", "stop_requested_by", "finished_at")) == before


def test_a_viewer_may_not_stop():
    run = send(1)
    with pytest.raises(NotAllowed):
        stopping.stop_run(factories.UserFactory(role=Role.VIEWER), run=run)
    assert statuses(run) == [("queued", "")]


def test_runs_are_seen_by_those_who_see_one_of_their_instances():
    mine, other = factories.GroupFactory.create_batch(2)
    seen = send(instances=[factories.InstanceFactory(group=mine), factories.InstanceFactory(group=other)])
    hidden = send(instances=[factories.InstanceFactory(group=other)])
    viewer = factories.UserFactory(role=Role.VIEWER, role_group=mine)
    assert list(services.visible_runs(viewer)) == [seen]
    assert services.visible_invocations(viewer, seen).count() == 1
    assert set(services.visible_runs(factories.UserFactory(role=Role.VIEWER))) == {seen, hidden}
