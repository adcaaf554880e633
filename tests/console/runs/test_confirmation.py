"""Typed confirmation: asked by the service, above a number and for groups and tags that ask."""

import dataclasses

import pytest
from django.urls import reverse

from console.runs import services
from console.runs.families import Part, send_to_families
from console.runs.forms import SendForm
from console.runs.models import CommandType, Run
from console.runs.services import Options, RunError
from console.runs.targets import targets_of
from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.inventory.models import OS
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


@pytest.fixture(autouse=True)
def _limit(settings):
    settings.ENV = dataclasses.replace(settings.ENV, confirm_above=2, confirm_tags=("env=prod", "pci"))


def asked(count=1, **fields):
    return factories.InstanceFactory.create_batch(count, **fields)


def ask(actor, instances, confirmed_count=None, **options):
    return services.send_command(
        actor,
        instances=instances,
        command="true",
        request_key="key",
        options=Options(**options),
        confirmed_count=confirmed_count,
    )


@pytest.mark.parametrize(
    ("fields", "count", "says"),
    [
        ({}, 3, "This goes to 3 instances."),
        ({"group": "Paris"}, 1, "This goes to 1 instance, some of group Paris, where it is asked first."),
        ({"tags": {"env": "PROD"}}, 2, "some of env=PROD"),
        ({"tags": {"pci": "any"}}, 1, "some of pci=any"),
    ],
    ids=["number", "group", "tag", "key"],
)
@pytest.mark.parametrize("typed", [None, 0, 7])
def test_without_the_right_number_nothing_is_sent(operator, fields, count, says, typed):
    group = factories.GroupFactory(name="Paris", asks_first=True) if "group" in fields else None
    instances = asked(count, **(fields | {"group": group}))
    with pytest.raises(RunError, match=f"Type {count} to confirm") as refused:
        ask(operator, instances, typed)
    assert refused.value.field == "confirmed_count"
    assert says in str(refused.value)
    assert not Run.objects.exists()
    assert ask(operator, instances, count).target_count == count


@pytest.mark.parametrize("fields", [{}, {"group": "quiet"}, {"tags": {"env": "test"}}], ids=["few", "group", "tag"])
def test_others_are_not_asked_about(operator, fields):
    group = factories.GroupFactory() if "group" in fields else None
    assert ask(operator, asked(2, **(fields | {"group": group}))).target_count == 2


def test_a_dry_run_is_not_asked_about(operator):
    assert ask(operator, asked(3), is_dry_run=True).is_dry_run


def test_two_families_are_one_number(operator):
    linux, windows = asked(2), asked(2, os=OS.WINDOWS)
    parts = {
        "posix": Part(linux, "true", Options()),
        "windows": Part(windows, "exit", Options(command_type=CommandType.POWERSHELL)),
    }
    for wrong in (None, 2):
        with pytest.raises(RunError, match="Type 4"):
            send_to_families(operator, request_key="key", confirmed_count=wrong, **parts)
    given = {"ids": ",".join(str(one.pk) for one in linux + windows)}
    assert targets_of(operator, given, "shell").confirmation.count == 4
    assert targets_of(operator, given | {"leave_out_windows": "on"}, "shell").confirmation is None
    assert len(send_to_families(operator, request_key="key", confirmed_count=4, **parts)) == 2


def test_the_form_asks_beside_the_field_and_loses_nothing(client, operator):
    ids = ",".join(str(instance.pk) for instance in asked(3))
    fields = {"ids": ids, "command": "echo kept", "command_type": "shell"}
    shown = client.get(reverse("send"), {"ids": ids}).content.decode()
    assert 'name="confirmed_count"' in shown
    for typed in ("", "2", "three"):
        answer = client.post(reverse("send"), fields | {"confirmed_count": typed})
        text = answer.content.decode()
        assert (answer.status_code, "echo kept" in text) == (422, True)
        assert 'id="confirmed-count-error"' in text
    assert not Run.objects.exists()
    assert client.post(reverse("send"), fields | {"confirmed_count": "3"}).status_code == 302


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("5,000", 5000),
        ("1 234 567", 1234567),
        ("5\u202f000", 5000),
        (" 12 ", 12),
        ("1,2", None),
        ("5,0000", None),
        ("50,00", None),
        (",000", None),
    ],
)
def test_a_number_is_taken_as_the_page_writes_it(operator, typed, count):
    form = SendForm({"confirmed_count": typed}, user=operator)
    assert (form.is_valid(), form.cleaned_data.get("confirmed_count")) == (False, count)
    assert ("confirmed_count" in form.errors) == (count is None)


def test_a_group_is_told_to_ask_on_its_page(client):
    client.force_login(factories.UserFactory())
    group = factories.GroupFactory(name="Paris")
    address = reverse("change-group", args=[group.pk])
    client.post(address, {"name": "Paris", "asks_first": "on"})
    group.refresh_from_db()
    assert group.asks_first
    assert AuditEntry.objects.filter(action="change_group", details__asks_first=True).exists()
    assert "checked" in client.get(reverse("groups")).content.decode()
    client.post(address, {"name": "Paris"})
    group.refresh_from_db()
    assert not group.asks_first


def test_what_differs_from_the_last_run_of_a_saved_command_is_said(client, operator):
    version = factories.saved_command(name="disk", text="df").latest
    before, stays, new = asked(3)
    run = send(instances=[before, stays], actor=operator)
    Run.objects.filter(pk=run.pk).update(saved_version=version)
    fields = {"ids": f"{stays.pk},{new.pk}", "saved_version": version.pk}
    text = " ".join(client.get(reverse("send-targets"), fields).content.decode().split())
    assert f"1 more ({new.name}); without 1 ({before.name})" in text
    same = client.get(reverse("send-targets"), {**fields, "ids": f"{before.pk},{stays.pk}"}).content.decode()
    assert "send-difference" not in same
    stranger = factories.UserFactory(role=Role.OPERATOR, role_group=factories.GroupFactory())
    client.force_login(stranger)
    assert before.name not in client.get(reverse("send-targets"), fields).content.decode()
