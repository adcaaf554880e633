import pytest
from django.urls import reverse

from instances.access.models import Grant, Role
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def shared(client):
    """A run on two instances, and the browser of an operator who may see one of them."""
    group = factories.GroupFactory()
    instances = [factories.InstanceFactory(name="theirs", group=group), factories.InstanceFactory(name="canary")]
    run = send(instances=instances, command="uptime")
    client.force_login(factories.UserFactory(role=Role.OPERATOR, role_group=group))
    return run, instances


def test_the_history_counts_only_what_one_may_see(client, shared):
    (run,) = client.get(reverse("runs")).context["runs"]
    assert (run.target_count, run.counts) == (1, {"queued": 1})


def test_a_filter_for_a_name_finds_only_names_one_may_see(client, shared):
    assert len(client.get(reverse("runs"), {"instance": "theirs"}).context["runs"]) == 1
    assert len(client.get(reverse("runs"), {"instance": "canary"}).context["runs"]) == 0


def test_sending_again_starts_from_the_instances_one_may_see(client, shared):
    run, (theirs, _) = shared
    page = client.get(reverse("send"), {"again": run.pk, "which": "all"})
    assert page.context["targets"].names == (theirs.name,)
    assert "canary" not in page.content.decode()


def test_who_sees_everything_sees_every_count(client, shared):
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    (run,) = client.get(reverse("runs"), {"instance": "canary"}).context["runs"]
    assert (run.target_count, run.counts) == (2, {"queued": 2})


def test_stopping_a_shared_run_stops_ones_own_part_only(client, shared):
    run, _ = shared
    assert client.post(reverse("stop-run", args=[run.pk])).status_code == 302
    run.refresh_from_db()
    assert list(run.invocations.order_by("ordinal").values_list("status", flat=True)) == ["cancelled", "queued"]
    assert (run.stop_requested_at, run.status) == (None, "running")


def test_who_only_sees_a_run_and_stops_others_does_not_stop_it(client, shared):
    run, _ = shared
    user = factories.UserFactory(role=Role.OPERATOR, role_group=factories.GroupFactory())
    Grant.objects.create(user=user, role=Role.VIEWER)
    client.force_login(user)
    for values in ({}, {"i": "0"}):
        assert client.post(reverse("stop-run", args=[run.pk]), values).status_code == 403
        assert client.post(reverse("recheck-run", args=[run.pk]), values).status_code == 403
    run.refresh_from_db()
    assert (run.stop_requested_at, run.status) == (None, "queued")
