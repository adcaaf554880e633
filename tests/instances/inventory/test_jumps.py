"""Jump hosts in the inventory: who may choose one, chains, what is shown, and what cannot be deleted."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from instances.access.models import Role
from instances.credentials import services as credentials
from instances.inventory import jumps, services
from instances.inventory.addresses import Address
from instances.inventory.errors import InUseAsJumpHost, JumpInvalid
from instances.inventory.models import Instance
from instances.inventory.query import matching
from instances.inventory.targets import NOWHERE, target_of
from tests.instances.inventory.test_services import change
from tests.support.factories import (
    CredentialFactory,
    GroupFactory,
    HostKeyFactory,
    InstanceFactory,
    UserFactory,
    allow_localhost,
)

pytestmark = pytest.mark.django_db


def chain_of_length(number: int) -> list[Instance]:
    rows: list[Instance] = []
    for _ in range(number):
        rows.append(InstanceFactory(jump=rows[-1] if rows else None))
    return rows


def names(query: Any) -> set[str]:
    return set(query.values_list("name", flat=True))


# ------------------------------------------------------------------ chains


def test_a_target_has_its_whole_chain() -> None:
    a = InstanceFactory(name="a")
    b = InstanceFactory(name="b", jump=a)
    c = InstanceFactory(name="c", jump=b)
    target = target_of(c)
    assert target.via is not None
    assert target.via.via is not None
    assert (target.name, target.via.name, target.via.via.name, target.via.via.via) == ("c", "b", "a", None)
    assert target.via == target_of(b)
    assert jumps.chain_of(c) == [a, b]


@pytest.mark.parametrize("field", ["address", "port", "target_version"])
def test_a_change_of_any_jump_host_names_another_connection(field: str) -> None:
    a, _, c = chain_of_length(3)
    before = target_of(c)
    Instance.objects.filter(pk=a.pk).update(**{field: {"address": "10.9.9.9"}.get(field, 77)})
    assert target_of(c).key != before.key


def test_without_its_jump_host_nothing_is_dialled() -> None:
    lonely = Instance(pk=1, name="lonely", address="10.0.0.1", jump_id=4711)
    assert target_of(lonely).via == NOWHERE
    # Circles cannot be saved; one in the database must not hang a worker either.
    a, b = chain_of_length(2)
    Instance.objects.filter(pk=a.pk).update(jump=b)
    a.refresh_from_db()
    at, length = target_of(a), 0
    while at.via is not None:
        at, length = at.via, length + 1
    assert (at, length) == (NOWHERE, jumps.HOPS_LIMIT + 1)


def test_a_chain_is_set_and_taken_away() -> None:
    actor, a, b = UserFactory(), InstanceFactory(), InstanceFactory()
    changed = change(actor, b, jump=a)
    assert changed.has_moved
    assert changed.instance.jump == a
    assert change(actor, changed.instance, jump=None).instance.jump is None


def test_another_way_takes_the_credential_and_host_keys_away() -> None:
    actor, a = UserFactory(), InstanceFactory()
    row = InstanceFactory(credential=CredentialFactory())
    HostKeyFactory(instance=row)
    changed = change(actor, row, jump=a)
    assert (changed.instance.credential, row.host_keys.exclude(state="former").count()) == (None, 0)
    assert changed.instance.target_version == row.target_version + 1
    kept = change(actor, changed.instance, name="renamed")
    assert (kept.has_moved, kept.instance.jump) == (False, a)


def test_circles_are_refused() -> None:
    actor, (a, b, c) = UserFactory(), chain_of_length(3)
    for jump in (a, b, c):
        with pytest.raises(JumpInvalid, match="circle"):
            change(actor, a, jump=jump)
    a.refresh_from_db()
    assert a.jump is None


def test_a_chain_has_at_most_eight_jump_hosts_counted_on_both_sides() -> None:
    actor = UserFactory()
    long = chain_of_length(jumps.HOPS_LIMIT)
    assert services.add_instance(actor, address=Address("10.1.1.1"), jump=long[-1]).jump == long[-1]
    with pytest.raises(JumpInvalid, match="at most 8"):
        services.add_instance(actor, address=Address("10.1.1.2"), jump=Instance.objects.get(address="10.1.1.1"))
    with pytest.raises(JumpInvalid, match="at most 8"):
        change(actor, long[0], jump=InstanceFactory())


def test_the_own_machine_is_neither_a_jump_host_nor_behind_one(settings: Any) -> None:
    allow_localhost(settings)
    actor, here, a = UserFactory(), InstanceFactory(address="localhost", is_local=True), InstanceFactory()
    with pytest.raises(JumpInvalid, match="no jump host"):
        services.add_instance(actor, address=Address("10.1.1.1"), jump=here)
    with pytest.raises(JumpInvalid, match="without SSH"):
        services.add_instance(actor, address=Address("localhost", is_local=True), jump=a)
    InstanceFactory(jump=a)
    with pytest.raises(JumpInvalid, match="no jump host"):
        change(actor, a, address=Address("localhost", is_local=True))


# ------------------------------------------------------------------ who may


def test_only_who_may_send_to_a_jump_host_reaches_further_through_it() -> None:
    mine, theirs = GroupFactory(), GroupFactory()
    actor = UserFactory(role=Role.ADMINISTRATOR, role_group=mine)
    bastion = InstanceFactory(name="bastion", group=theirs)
    behind = InstanceFactory(group=mine, jump=bastion)
    with pytest.raises(JumpInvalid, match="no instance"):
        jumps.find(actor, "bastion")
    with pytest.raises(JumpInvalid, match="Only who may send"):
        services.add_instance(actor, address=Address("10.1.1.1"), group=mine, jump=bastion)
    # Another address behind it would be another machine in a network that is not theirs to reach.
    with pytest.raises(JumpInvalid, match="Only who may send"):
        change(actor, behind, address=Address("10.1.1.1"))
    assert change(actor, behind, name="renamed").instance.jump == bastion


@pytest.mark.parametrize(("role", "may"), [(Role.VIEWER, False), (Role.OPERATOR, True)])
def test_the_role_in_the_group_of_the_jump_host_decides(role: str, may: bool) -> None:
    mine, theirs = GroupFactory(), GroupFactory()
    actor = UserFactory(role=Role.ADMINISTRATOR, role_group=mine)
    actor.grants.create(role=role, group=theirs)
    bastion = InstanceFactory(name="bastion", group=theirs)
    if may:
        assert jumps.find(actor, " bastion ") == bastion
        assert services.add_instance(actor, address=Address("10.1.1.1"), group=mine, jump=bastion).jump == bastion
    else:
        with pytest.raises(JumpInvalid):
            jumps.find(actor, "bastion")


def test_names_are_suggested_to_those_who_may_use_them() -> None:
    mine, theirs = GroupFactory(), GroupFactory()
    actor = UserFactory(role=Role.OPERATOR, role_group=mine)
    used = InstanceFactory(name="bastion-2", group=mine)
    InstanceFactory(name="bastion-1", group=mine, jump=used)
    InstanceFactory(name="bastion-3", group=theirs)
    assert jumps.suggest(actor, "") == ["bastion-2"]
    assert jumps.suggest(actor, "BASTION") == ["bastion-2", "bastion-1"]


# ------------------------------------------------------------------ delete, disable, suspend


def test_a_jump_host_in_use_is_not_deleted_and_those_behind_are_named() -> None:
    actor, bastion = UserFactory(), InstanceFactory(name="bastion")
    behind = [InstanceFactory(name=f"web-{number}", jump=bastion) for number in range(7)]
    with pytest.raises(InUseAsJumpHost, match=r"bastion: .*\(web-1, web-2, web-3, web-4, web-5 and 1 more\)"):
        services.delete_instances(actor, instances=Instance.objects.filter(pk__in=[bastion.pk, behind[0].pk]))
    mine = GroupFactory()
    Instance.objects.filter(pk=bastion.pk).update(group=mine)
    with pytest.raises(InUseAsJumpHost, match=r"\(7 in all\)"):
        services.delete_instances(UserFactory(role_group=mine), instances=Instance.objects.filter(pk=bastion.pk))
    assert Instance.objects.count() == 8
    assert services.delete_instances(actor, instances=Instance.objects.all()) == 8


def test_a_disabled_or_suspended_jump_host_blocks_what_is_behind_it() -> None:
    a, b, c = chain_of_length(3)
    credential = CredentialFactory()
    assert jumps.blocked([a, b, c]) == {}
    Instance.objects.filter(pk=a.pk).update(credential=credential)
    for _ in range(credentials.FAILURES_BEFORE_SUSPENSION):
        credentials.note_failure(credential_id=credential.pk, instance=a)
    assert {pk: why.reason for pk, why in jumps.blocked([a, b, c]).items()} == {
        b.pk: "auth_failed",
        c.pk: "auth_failed",
    }
    Instance.objects.filter(pk=a.pk).update(is_disabled=True)
    assert {pk: why.reason for pk, why in jumps.blocked([a, b, c]).items()} == {
        b.pk: "instance_disabled",
        c.pk: "instance_disabled",
    }
    assert a.name in jumps.blocked([c])[c.pk].message


def test_many_behind_one_cost_a_few_queries(django_assert_max_num_queries: Any) -> None:
    bastion = InstanceFactory(credential=CredentialFactory())
    rows = [InstanceFactory(jump=bastion) for _ in range(30)]
    with django_assert_max_num_queries(6):
        jumps.blocked(rows)


# ------------------------------------------------------------------ filter and pages


def test_the_filter_finds_what_is_behind_a_jump_host() -> None:
    actor, bastion = UserFactory(), InstanceFactory(name="Bastion 1")
    InstanceFactory(name="web-1", jump=bastion)
    assert names(matching(actor, 'via:"bastion 1"')) == {"web-1"}
    assert names(matching(actor, "via:none")) == {"Bastion 1"}
    assert names(matching(actor, '-via:"bastion 1"')) == {"Bastion 1"}


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


NEW = {"address": "10.0.0.4", "name": "web-1", "os": "linux", "tags": ""}


def test_the_form_takes_the_name_of_a_jump_host() -> None:
    client, bastion = client_of(UserFactory()), InstanceFactory(name="bastion")
    assert client.post(reverse("add-instance"), NEW | {"jump": "bastion"}).status_code == 302
    row = Instance.objects.get(name="web-1")
    assert row.jump == bastion
    page = client.get(reverse("instance", args=[row.pk])).content.decode()
    assert "Reached through" in page
    assert f'<a href="{reverse("instance", args=[bastion.pk])}">bastion</a>' in page
    assert "via%3Abastion" in client.get(reverse("instance", args=[bastion.pk])).content.decode()
    assert 'value="bastion"' in client.get(reverse("edit-instance", args=[row.pk])).content.decode()


def test_a_wrong_jump_host_is_refused_beside_the_field() -> None:
    answer = client_of(UserFactory()).post(reverse("add-instance"), NEW | {"jump": "nobody"})
    assert answer.status_code == 422
    assert "There is no instance “nobody”" in answer.content.decode()
    assert answer.context["form"].errors["jump"]
    row = InstanceFactory(name="round")
    changed = NEW | {"name": "round", "jump": "round"}
    answer = client_of(UserFactory()).post(reverse("edit-instance", args=[row.pk]), changed)
    assert answer.status_code == 422
    assert "circle" in str(answer.context["form"].errors["jump"])


def test_a_jump_host_one_may_not_see_stays_and_has_no_link() -> None:
    mine = GroupFactory()
    bastion = InstanceFactory(name="bastion", group=GroupFactory())
    row = InstanceFactory(name="web-1", group=mine, jump=bastion, address="10.0.0.4")
    client = client_of(UserFactory(role=Role.ADMINISTRATOR, role_group=mine))
    page = client.get(reverse("instance", args=[row.pk])).content.decode()
    assert "bastion" in page
    assert reverse("instance", args=[bastion.pk]) not in page
    edited = NEW | {"tags": "env=prod", "jump": "bastion", "group": mine.pk}
    assert client.post(reverse("edit-instance", args=[row.pk]), edited).status_code == 302
    row.refresh_from_db()
    assert (row.jump, row.tags.get().value) == (bastion, "prod")


def test_deleting_a_jump_host_in_use_says_what_is_behind_it() -> None:
    bastion = InstanceFactory(name="bastion")
    InstanceFactory(name="web-1", jump=bastion)
    answer = client_of(UserFactory()).post(
        reverse("delete-instances"), {"ids": bastion.pk, "confirm": "1"}, follow=True
    )
    assert "other instances are reached through it (web-1)" in answer.content.decode()
    assert Instance.objects.count() == 2


def test_what_was_typed_narrows_the_choices() -> None:
    InstanceFactory(name="bastion-1")
    InstanceFactory(name="web-1")
    page = client_of(UserFactory()).get(reverse("jump-hosts"), {"jump": "bast"}).content.decode()
    assert '<option value="bastion-1">' in page
    assert "web-1" not in page
