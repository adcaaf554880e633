import re
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from django.urls import reverse
from django.utils import timezone

from console.history import pages
from console.history.filters import filtered
from console.history.forms import HistoryForm
from console.runs.models import Invocation, Run
from instances.access.models import Role
from instances.inventory.models import Instance, Tag
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def group():
    return factories.GroupFactory(name="shop")


@pytest.fixture
def runs(group):
    """Three runs: what each is found by is in its command."""
    instances = factories.InstanceFactory.create_batch(2)
    web = factories.InstanceFactory(name="web-1", group=group)
    Tag.objects.create(instance=web, key="role", value="web")
    ann = factories.UserFactory(username="Ann", role=Role.OPERATOR)
    failed = send(instances=[web, instances[0]], command="failed on web-1", actor=ann)
    Invocation.objects.filter(run=failed, instance=web).update(status="failed", reason="exit_status", exit_status=77)
    old = send(instances=instances[:1], command="old")
    Run.objects.filter(pk=old.pk).update(
        created_at=timezone.now() - timedelta(days=40), status="succeeded", is_dry_run=True
    )
    Invocation.objects.filter(run=old).update(status="succeeded", exit_status=0)
    saved = factories.saved_command(name="Disk usage", text="df -h", owner=ann)
    kept = send(instances=instances[1:], command="kept")
    Run.objects.filter(pk=kept.pk).update(saved_version=saved.latest)
    Invocation.objects.filter(run=kept).update(status="unreachable", reason="auth_failed")
    return {"failed": failed.pk, "old": old.pk, "kept": kept.pk}


@pytest.fixture
def found(client, runs):
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    names = {pk: name for name, pk in runs.items()}
    return lambda **params: [names[run.pk] for run in client.get(reverse("runs"), params or {"all": 1}).context["runs"]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["kept", "old", "failed"]),
        ({"text": "ON WEB"}, ["failed"]),
        ({"state": "succeeded"}, ["old"]),
        ({"state": "in_progress"}, ["kept", "failed"]),
        ({"user": "ann"}, ["failed"]),
        ({"instance": "WEB-"}, ["failed"]),
        ({"exit_status": "77"}, ["failed"]),
        ({"exit_status": "0"}, ["old"]),
        ({"reason": "auth_failed"}, ["kept"]),
        ({"saved": "disk usage"}, ["kept"]),
        ({"tag": "role=web"}, ["failed"]),
        ({"tag": "role"}, ["failed"]),
        ({"tag": "role=db"}, []),
        ({"group": "Shop"}, ["failed"]),
        ({"within": "30d"}, ["kept", "failed"]),
        ({"dry_runs": "only"}, ["old"]),
        ({"dry_runs": "no", "within": "90d"}, ["kept", "failed"]),
        ({"until": (timezone.now() - timedelta(days=35)).date().isoformat()}, ["old"]),
        ({"since": (timezone.now() - timedelta(days=2)).date().isoformat()}, ["kept", "failed"]),
        ({"until": "9999-12-31", "text": "ON WEB"}, ["failed"]),
        ({"exit_status": "77", "tag": "role=web", "user": "Ann", "within": "1h"}, ["failed"]),
        # Each of the two invocations fits a half; none fits both.
        ({"exit_status": "77", "instance": "instance"}, []),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict | list) else None,
)
@pytest.mark.parametrize("few", [1, 10**6], ids=["looked-up", "gone-through"])
def test_each_filter_finds_what_fits_either_way_of_asking(params, expected, few, found, monkeypatch):
    monkeypatch.setattr("console.history.filters.FEW", 0 if few == 1 else few)
    assert found(**params) == expected


def test_what_ran_on_an_instance_that_is_gone_is_found_by_its_name(found):
    Instance.objects.filter(name="web-1").delete()
    assert found(instance="web-1") == ["failed"]


@pytest.mark.parametrize("few", [0, 10**6], ids=["looked-up", "gone-through"])
def test_filters_look_only_at_instances_one_may_see(client, runs, group, few, monkeypatch):
    monkeypatch.setattr("console.history.filters.FEW", few)
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))

    def found(**params):
        return [run.pk for run in client.get(reverse("runs"), params).context["runs"]]

    assert found(all=1) == [runs["failed"]]
    assert found(exit_status=77) == [runs["failed"]]
    assert found(reason="auth_failed") == found(exit_status=0) == found(instance="instance") == []
    Instance.objects.filter(name="web-1").delete()
    assert found(instance="web-1") == []


@pytest.mark.parametrize(
    "params", [{"exit_status": "x"}, {"since": "soon"}, {"within": "9y"}, {"state": "odd"}, {"dry_runs": "x"}]
)
def test_a_filter_that_cannot_be_read_is_said_and_left_out(params, client, found):
    assert found(**params) == ["kept", "old", "failed"]
    page = client.get(reverse("runs"), params)
    assert page.status_code == 200
    assert b"field__error" in page.content


@pytest.mark.sqlite
@pytest.mark.parametrize("wanted", [{}, {"tag": "role=web"}], ids=["alone", "with-a-tag"])
@pytest.mark.parametrize(
    ("params", "index"),
    [({"exit_status": "77"}, "invocations_by_exit_status"), ({"reason": "auth_failed"}, "invocations_by_reason")],
    ids=["exit-status", "reason"],
)
def test_what_went_wrong_is_looked_up_in_an_index_of_it_alone(params, index, wanted, runs):
    user = factories.UserFactory(role=Role.VIEWER)
    assert f"COVERING INDEX {index}" in filtered(user, HistoryForm(params | wanted)).explain()


def test_what_is_set_is_shown_and_can_be_taken_away(client, found):
    page = client.get(reverse("runs"), {"state": "failed", "tag": "role=web", "before": "99", "user": ""})
    chips = {chip.label: chip for chip in page.context["chips"]}
    assert {label: chip.value for label, chip in chips.items()} == {"State": "Failed", "Tag": "role=web"}
    assert parse_qs(chips["State"].query) == {"tag": ["role=web"]}
    assert "Without State: Failed" in page.content.decode()


# ------------------------------------------------------------------ pages


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_ROWS", 2)
    monkeypatch.setattr(pages, "COUNT_LIMIT", 4)
    sent = [send(instances=[factories.InstanceFactory()], command=f"number {number}").pk for number in range(5)]
    return sent[::-1]


def test_one_goes_to_older_runs_and_back_and_to_either_end(client, short):
    client.force_login(factories.UserFactory(role=Role.VIEWER))

    def page(query):
        return client.get(f"{reverse('runs')}?{query}").context["runs"]

    first = page("text=number")
    assert [run.pk for run in first] == short[:2]
    assert (first.has_newer, first.has_older, first.count) == (False, True, "4+")
    second = page(first.older_query)
    assert [run.pk for run in second] == short[2:4]
    assert (second.has_newer, second.has_older) == (True, True)
    assert [run.pk for run in page(second.newer_query)] == short[:2]
    oldest = page(second.oldest_query)
    assert [run.pk for run in oldest] == short[3:]
    assert (oldest.has_newer, oldest.has_older) == (True, False)
    assert [run.pk for run in page(oldest.newest_query)] == short[:2]


@pytest.mark.parametrize("query", ["before=x", "after=-1", "before=" + "9" * 30, "before=", "page=7"])
def test_a_place_that_is_none_is_the_newest(query, client, short):
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    response = client.get(f"{reverse('runs')}?{query}")
    assert [run.pk for run in response.context["runs"]] == short[:2]


def test_a_run_from_the_library_is_called_by_its_name_for_those_who_may_see_it(client):
    owner, other = factories.UserFactory(username="ann"), factories.UserFactory(username="ben")
    instance = factories.InstanceFactory()
    for name, is_shared in (("Disk usage", True), ("My secret plan", False)):
        saved = factories.saved_command(name=name, text="export LC_ALL=C", owner=owner, is_shared=is_shared)
        run = send(instances=[instance], command="export LC_ALL=C")
        Run.objects.filter(pk=run.pk).update(saved_version=saved.latest)
    for user, names in ((owner, ["My secret plan", "Disk usage"]), (other, ["Disk usage"])):
        client.force_login(user)
        for path in (reverse("runs"), reverse("instance-commands", args=[instance.pk])):
            page = client.get(path, {"all": 1}).content.decode()
            assert re.findall(r"<b>([^<]+)</b> · export LC_ALL=C", page) == names


def test_the_pages_take_few_queries(client, short, django_assert_max_num_queries):
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=factories.GroupFactory()))
    instance = Instance.objects.latest("pk")
    Instance.objects.update(group=client.get(reverse("home")).wsgi_request.user.grants.get().group)
    for path in (f"{reverse('runs')}?tag=role&user=x&group=y", reverse("run", args=short[:1]),
                 reverse("instance-commands", args=[instance.pk])):  # fmt: skip
        with django_assert_max_num_queries(15):
            assert client.get(path).status_code == 200
