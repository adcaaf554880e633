"""Groups: who may change them, and what becomes of their instances."""

import pytest
from django.urls import reverse

from instances.access.models import Group, Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.inventory import groups
from instances.inventory.errors import NameInvalid, NameTaken
from tests.support.factories import (
    CredentialFactory,
    GroupCredentialFactory,
    GroupFactory,
    InstanceFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def test_a_group_is_added_with_its_default_credential() -> None:
    credential = CredentialFactory()
    group = groups.add_group(UserFactory(), name=" eu ", credential=credential)
    assert group.name == "eu"
    assert group.default_credential.credential == credential
    assert AuditEntry.objects.filter(action="add_group", subject="eu").exists()


def test_a_group_is_renamed_and_loses_its_default() -> None:
    group = GroupCredentialFactory().group
    groups.change_group(UserFactory(), group=group, name="us", credential=None)
    group = Group.objects.get(pk=group.pk)
    assert group.name == "us"
    assert not hasattr(group, "default_credential")


def test_the_instances_of_a_deleted_group_stay() -> None:
    instance = InstanceFactory(group=GroupFactory())
    groups.delete_group(UserFactory(), group=instance.group)
    instance.refresh_from_db()
    assert instance.group is None


@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_administrators_change_groups(role: str | None) -> None:
    actor, group = UserFactory(role=role), GroupFactory()
    with pytest.raises(NotAllowed):
        groups.add_group(actor, name="x")
    with pytest.raises(NotAllowed):
        groups.change_group(actor, group=group, name="x", credential=None)
    with pytest.raises(NotAllowed):
        groups.delete_group(actor, group=group)


def test_an_administrator_of_one_group_cannot_add_others_nor_choose_a_credential() -> None:
    group = GroupFactory()
    actor = UserFactory(role="administrator", role_group=group)
    groups.change_group(actor, group=group, name="mine", credential=None)
    with pytest.raises(NotAllowed):
        groups.add_group(actor, name="x")
    with pytest.raises(NotAllowed):
        groups.change_group(actor, group=group, name="mine", credential=CredentialFactory())
    assert list(groups.manageable(actor)) == [group]


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\nb", "none", 'a"b'])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        groups.add_group(UserFactory(), name=name)


def test_a_taken_name_is_refused_whatever_its_case() -> None:
    GroupFactory(name="EU")
    with pytest.raises(NameTaken):
        groups.add_group(UserFactory(), name="eu")


def test_the_group_switch_is_kept_and_refused_for_what_may_not_be_seen() -> None:
    mine, other = GroupFactory(), GroupFactory()
    user = UserFactory(role="viewer", role_group=mine)
    groups.select_group(user, group=mine)
    user.refresh_from_db()
    assert user.selected_group == mine
    with pytest.raises(NotAllowed):
        groups.select_group(user, group=other)
    groups.select_group(user, group=None)
    assert user.selected_group is None


def test_who_manages_a_group_but_no_credentials_renames_it_and_sees_no_credential(client) -> None:
    group = GroupCredentialFactory(credential__name="canary-credential").group
    client.force_login(UserFactory(role=Role.ADMINISTRATOR, role_group=group))
    assert "canary-credential" not in client.get(reverse("groups")).content.decode()
    assert client.post(reverse("change-group", args=[group.pk]), {"name": "us", "credential": ""}).status_code == 302
    group = Group.objects.get(pk=group.pk)
    assert group.name == "us"
    assert group.default_credential.credential.name == "canary-credential"
