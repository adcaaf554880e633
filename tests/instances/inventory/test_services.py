"""What changes the inventory: the normal case, who may not, what is refused, races."""

from typing import Any

import pytest
from django.db import transaction

from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.host_keys.services import trusted_keys
from instances.inventory import services
from instances.inventory.addresses import Address, parse
from instances.inventory.errors import (
    AddressInvalid,
    InstanceGone,
    LocalhostNotAllowed,
    NameInvalid,
    NameTaken,
)
from instances.inventory.models import Instance, Reach
from instances.inventory.services import NewInstance
from tests.support.factories import (
    CredentialFactory,
    GroupFactory,
    HostKeyFactory,
    InstanceFactory,
    UserFactory,
    allow_localhost,
)

pytestmark = pytest.mark.django_db


def change(actor: Any, instance: Instance, **changes: Any) -> services.Changed:
    same = {
        "address": Address(instance.address, instance.port, instance.user_name, instance.is_local),
        "name": instance.name,
        "group": instance.group,
        "credential": instance.credential,
        "os": instance.os,
        "tags": {tag.key: tag.value for tag in instance.tags.all()},
        "jump": instance.jump,
    }
    return services.change_instance(actor, instance=instance, **(same | changes))


def every(*instances: Instance) -> Any:
    return Instance.objects.filter(pk__in=[instance.pk for instance in instances])


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


# ------------------------------------------------------------------ add


def test_an_instance_is_added_with_its_tags_and_a_record() -> None:
    actor, group, credential = UserFactory(), GroupFactory(), CredentialFactory()
    instance = services.add_instance(
        actor,
        address=parse("deploy@web-1.example.com:2222"),
        name="web-1",
        group=group,
        credential=credential,
        tags={"env": "prod"},
    )
    instance.refresh_from_db()
    assert (instance.address, instance.port, instance.user_name) == ("web-1.example.com", 2222, "deploy")
    assert (instance.group, instance.credential, instance.reach) == (group, credential, Reach.UNKNOWN)
    assert [(tag.key, tag.value) for tag in instance.tags.all()] == [("env", "prod")]
    assert instance.check_requested_at is None
    assert actions() == ["add_instance"]


def test_without_a_name_it_is_called_like_its_host() -> None:
    assert services.add_instance(UserFactory(), address=parse("a@10.0.0.4:2222")).name == "10.0.0.4"


def test_a_check_can_be_asked_for_with_it() -> None:
    assert services.add_instance(UserFactory(), address=parse("web-1"), check=True).check_requested_at


@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_administrators_add(role: str | None) -> None:
    with pytest.raises(NotAllowed):
        services.add_instance(UserFactory(role=role), address=parse("web-1"))
    assert not Instance.objects.exists()
    assert actions() == []


def test_an_administrator_of_one_group_adds_only_there() -> None:
    group = GroupFactory()
    actor = UserFactory(role="administrator", role_group=group)
    services.add_instance(actor, address=parse("web-1"), group=group)
    with pytest.raises(NotAllowed):
        services.add_instance(actor, address=parse("web-2"))
    with pytest.raises(NotAllowed):
        services.add_instance(actor, address=parse("web-2"), group=GroupFactory())


def test_an_administrator_of_one_group_cannot_point_a_stored_credential_at_a_machine() -> None:
    group = GroupFactory()
    actor = UserFactory(role="administrator", role_group=group)
    with pytest.raises(NotAllowed):
        services.add_instance(actor, address=parse("web-1"), group=group, credential=CredentialFactory())


def test_a_taken_name_is_refused() -> None:
    InstanceFactory(name="web-1")
    with pytest.raises(NameTaken, match="web-1"):
        services.add_instance(UserFactory(), address=parse("10.0.0.1"), name="web-1")


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "x" * 81, 'a"b'])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        services.add_instance(UserFactory(), address=parse("10.0.0.1"), name=name)


def test_a_typed_in_address_gives_its_name_to_a_registered_one() -> None:
    actor = UserFactory()
    typed = services.adhoc_instance(actor, address="10.0.0.9")
    assert services.add_instance(actor, address=parse("10.0.0.9")).name == "10.0.0.9"
    typed.refresh_from_db()
    assert typed.name != "10.0.0.9"


def test_the_own_machine_needs_permission(settings: Any) -> None:
    with pytest.raises(LocalhostNotAllowed):
        services.add_instance(UserFactory(), address=parse("localhost"))
    allow_localhost(settings)
    assert services.add_instance(UserFactory(), address=parse("."), name="here").is_local


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.9.9.9:2222", "::1", "0.0.0.0", "169.254.169.254", "::ffff:127.0.0.1"]
)
def test_a_closed_network_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid, match="closed"):
        services.add_instance(UserFactory(), address=parse(text))


def test_loopback_is_open_for_the_demo_and_where_it_is_allowed(settings: Any) -> None:
    services.add_instance(UserFactory(), address=parse("127.0.0.1"), name="demo", is_demo=True)
    allow_localhost(settings)
    services.add_instance(UserFactory(), address=parse("127.0.0.1"))
    with pytest.raises(AddressInvalid):
        services.add_instance(UserFactory(), address=parse("169.254.169.254"))


# ------------------------------------------------------------------ add many


def test_many_are_added_at_once() -> None:
    new = [NewInstance(parse(f"10.0.0.{n}"), f"web-{n}", tags={"n": str(n)}) for n in range(1, 101)]
    rows = services.add_many(UserFactory(), new=new, group=GroupFactory())
    assert len(rows) == 100
    assert Instance.objects.get(name="web-42").tags.get().value == "42"
    assert actions() == ["add_instances"]


def test_many_are_all_or_none() -> None:
    InstanceFactory(name="web-2")
    new = [NewInstance(parse("10.0.0.1"), "web-1"), NewInstance(parse("10.0.0.2"), "web-2")]
    with pytest.raises(NameTaken):
        services.add_many(UserFactory(), new=new)
    twice = [NewInstance(parse("10.0.0.1"), "web-1"), NewInstance(parse("10.0.0.2"), "web-1")]
    with pytest.raises(NameTaken):
        services.add_many(UserFactory(), new=twice)
    assert Instance.objects.count() == 1


def test_many_need_the_role_too() -> None:
    with pytest.raises(NotAllowed):
        services.add_many(UserFactory(role="operator"), new=[NewInstance(parse("10.0.0.1"))])


# ------------------------------------------------------------------ typed in


def test_a_typed_in_address_is_kept_out_of_the_list_and_made_once() -> None:
    actor = UserFactory()
    typed = services.adhoc_instance(actor, address="deploy@10.0.0.9:2222")
    assert typed.is_adhoc
    assert typed.name == "deploy@10.0.0.9:2222"
    assert services.adhoc_instance(actor, address="deploy@10.0.0.9:2222") == typed
    assert services.adhoc_instance(actor, address="root@10.0.0.9:2222") != typed


def test_a_typed_address_keeps_the_credential_it_was_reached_with() -> None:
    actor, credential = UserFactory(), CredentialFactory()
    without = services.adhoc_instance(actor, address="10.0.0.9")
    chosen = services.adhoc_instance(actor, address="10.0.0.9", credential=credential)
    assert chosen != without
    assert services.adhoc_instance(actor, address="10.0.0.9") == chosen


def test_a_registered_instance_at_that_place_is_taken_instead() -> None:
    registered = InstanceFactory(address="10.0.0.9", user_name="deploy")
    assert services.adhoc_instance(UserFactory(role="operator"), address="10.0.0.9") == registered
    assert services.adhoc_instance(UserFactory(), address="root@10.0.0.9") != registered


def test_typing_a_new_address_needs_the_right_to_add() -> None:
    with pytest.raises(NotAllowed):
        services.adhoc_instance(UserFactory(role="operator"), address="10.0.0.9")
    with pytest.raises(LocalhostNotAllowed):
        services.adhoc_instance(UserFactory(), address=".")


# ------------------------------------------------------------------ change


def test_other_fields_change_without_losing_anything() -> None:
    instance = InstanceFactory(credential=CredentialFactory(), tags={"env": "prod"})
    HostKeyFactory(instance=instance)
    changed = change(UserFactory(), instance, name="other", tags={"role": "db"})
    assert not changed.has_moved
    instance.refresh_from_db()
    assert instance.name == "other"
    assert instance.credential is not None
    assert instance.target_version == 1
    assert instance.host_keys.count() == 1
    assert [tag.key for tag in instance.tags.all()] == ["role"]


@pytest.mark.parametrize("address", [Address("10.9.9.9", 22), Address("10.0.0.1", 2222)])
def test_a_move_takes_the_credential_and_the_host_keys_away(address: Address) -> None:
    instance = InstanceFactory(address="10.0.0.1", credential=CredentialFactory())
    HostKeyFactory(instance=instance)
    actor = UserFactory()
    changed = change(actor, instance, address=address)
    assert changed.has_moved
    instance.refresh_from_db()
    assert instance.credential is None
    assert instance.target_version == 2
    assert trusted_keys(instance) == ()
    assert set(instance.host_keys.values_list("state", "ended_why", "ended_by")) == {("former", "moved", actor.pk)}


def test_a_move_cannot_bring_a_credential_along() -> None:
    instance = InstanceFactory()
    changed = change(UserFactory(), instance, address=Address("10.9.9.9"), credential=CredentialFactory())
    assert changed.instance.credential is None


def test_another_user_name_closes_kept_connections_only() -> None:
    instance = InstanceFactory(credential=CredentialFactory())
    changed = change(UserFactory(), instance, address=Address(instance.address, 22, "root"))
    assert not changed.has_moved
    assert changed.instance.target_version == 2
    assert changed.instance.credential is not None


@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_administrators_change(role: str | None) -> None:
    with pytest.raises(NotAllowed):
        change(UserFactory(role=role), InstanceFactory(), name="other")


def test_an_instance_cannot_be_pulled_into_a_group_one_does_not_manage_nor_out_of_one() -> None:
    mine, theirs = GroupFactory(), GroupFactory()
    actor = UserFactory(role="administrator", role_group=mine)
    with pytest.raises(NotAllowed):
        change(actor, InstanceFactory(group=mine), group=theirs)
    with pytest.raises(NotAllowed):
        change(actor, InstanceFactory(group=theirs), group=mine)


def test_a_name_taken_meanwhile_is_refused() -> None:
    first, second = InstanceFactory(), InstanceFactory()
    with pytest.raises(NameTaken):
        change(UserFactory(), first, name=second.name)


def test_an_instance_deleted_meanwhile_is_told() -> None:
    instance = InstanceFactory()
    Instance.objects.filter(pk=instance.pk).delete()
    with pytest.raises(InstanceGone):
        services.change_instance(
            UserFactory(),
            instance=instance,
            address=Address("10.0.0.1"),
            name="x",
            group=None,
            credential=None,
            os="linux",
            tags={},
            jump=None,
        )


def test_an_edit_of_a_page_drawn_before_a_move_moves_it_back_without_the_credential() -> None:
    instance = InstanceFactory(address="10.0.0.1", credential=CredentialFactory())
    stale = Instance.objects.get(pk=instance.pk)
    change(UserFactory(), instance, address=Address("10.9.9.9"))
    assert change(UserFactory(), stale, name="renamed").instance.credential is None


# ------------------------------------------------------------------ disable, enable, delete, check


def test_instances_are_disabled_and_enabled() -> None:
    first, second = InstanceFactory(), InstanceFactory(is_disabled=True)
    assert services.disable_instances(UserFactory(), instances=every(first, second)) == 1
    assert services.enable_instances(UserFactory(), instances=every(first, second)) == 2
    assert actions() == ["disable_instances", "enable_instances"]


def test_instances_are_deleted_with_a_record_of_their_names() -> None:
    first = InstanceFactory(name="web-1", tags={"env": "prod"})
    assert services.delete_instances(UserFactory(), instances=every(first, InstanceFactory())) == 2
    assert not Instance.objects.exists()
    assert AuditEntry.objects.get().details["instances"][str(first.pk)] == "web-1"


def test_a_check_is_asked_for_once_and_not_on_disabled_ones() -> None:
    first, second = InstanceFactory(), InstanceFactory(is_disabled=True)
    actor = UserFactory(role="operator")
    assert services.request_check(actor, instances=every(first, second)) == 1
    first.refresh_from_db()
    asked = first.check_requested_at
    services.request_check(actor, instances=every(first))
    first.refresh_from_db()
    assert first.check_requested_at == asked


@pytest.mark.parametrize("service", [services.disable_instances, services.enable_instances, services.delete_instances])
@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_administrators_do_these(service: Any, role: str | None) -> None:
    instance = InstanceFactory()
    with pytest.raises(NotAllowed):
        service(UserFactory(role=role), instances=every(instance))
    assert every(instance).filter(is_disabled=False).exists()


def test_viewers_do_not_check() -> None:
    with pytest.raises(NotAllowed):
        services.request_check(UserFactory(role="viewer"), instances=every(InstanceFactory()))


def test_one_that_may_not_be_managed_stops_all() -> None:
    group = GroupFactory()
    actor = UserFactory(role="administrator", role_group=group)
    mine, theirs = InstanceFactory(group=group), InstanceFactory()
    with pytest.raises(NotAllowed):
        services.delete_instances(actor, instances=every(mine, theirs))
    assert Instance.objects.count() == 2
    assert services.delete_instances(actor, instances=every(mine)) == 1


def test_nothing_is_done_without_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = InstanceFactory()
    monkeypatch.setattr(AuditEntry.objects, "create", _broken)
    with pytest.raises(RuntimeError), transaction.atomic():
        services.delete_instances(UserFactory(), instances=every(instance))
    assert Instance.objects.exists()


def _broken(**_: Any) -> None:
    raise RuntimeError("the audit table cannot be written")
