"""What the engine is given for an instance."""

from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import DjangoAssertNumQueries

from instances.credentials import services as credentials
from instances.engine.types import PasswordAuth
from instances.inventory import targets
from instances.inventory.models import Instance
from instances.inventory.targets import LOOPBACK_NETWORKS, target_of, targets_of
from tests.support.factories import (
    GroupCredentialFactory,
    GroupFactory,
    HostKeyFactory,
    InstanceFactory,
    UserFactory,
    allow_localhost,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def credential() -> Any:
    return credentials.add_credential(
        UserFactory(), name="stored", kind="password", user_name="deploy", secret="correct horse"
    )


def test_a_target_has_the_address_the_credential_and_the_trusted_keys(credential: Any) -> None:
    instance = InstanceFactory(address="10.0.0.1", port=2222, credential=credential)
    trusted = HostKeyFactory(instance=instance)
    HostKeyFactory(instance=instance, state="changed")
    target = target_of(instance)
    assert (target.address, target.port, target.name) == ("10.0.0.1", 2222, instance.name)
    assert target.auth == PasswordAuth("deploy", "correct horse")
    assert [key.fingerprint for key in target.host_keys] == [trusted.fingerprint]


def test_the_instances_user_name_wins(credential: Any) -> None:
    target = target_of(InstanceFactory(credential=credential, user_name="root"))
    assert target.auth == PasswordAuth("root", "correct horse")


def test_the_groups_default_is_used_without_an_own_one(credential: Any) -> None:
    default = GroupCredentialFactory(credential=credential)
    assert target_of(InstanceFactory(group=default.group)).auth == PasswordAuth("deploy", "correct horse")
    assert target_of(InstanceFactory(group=GroupFactory())).auth is None


def test_a_secret_that_does_not_open_holds_nobody_else_up(credential: Any) -> None:
    broken = InstanceFactory(credential=credential)
    credential.sealed_secret = b"garbage"
    credential.save()
    fine = InstanceFactory()
    targets = targets_of([Instance.objects.get(pk=broken.pk), fine])
    assert targets[broken.pk].auth is None
    assert fine.pk in targets


def test_every_change_of_the_place_gives_another_key(credential: Any) -> None:
    instance = InstanceFactory(credential=credential)
    seen = {target_of(instance).key}
    for field, value in (("address", "10.9.9.9"), ("port", 23), ("user_name", "root"), ("target_version", 2)):
        setattr(instance, field, value)
        seen.add(target_of(instance).key)
    credential.version += 1
    credential.save()
    seen.add(target_of(Instance.objects.get(pk=instance.pk)).key)
    instance.credential = None
    seen.add(target_of(instance).key)
    assert len(seen) == 7


def test_loopback_is_denied_except_for_the_demo_and_where_it_is_allowed(settings: Any) -> None:
    ordinary, demo = InstanceFactory(), InstanceFactory(is_demo=True)
    denied = tuple(django_settings.ENV.denied_networks)
    assert target_of(ordinary).denied_networks == denied + LOOPBACK_NETWORKS
    assert target_of(demo).denied_networks == denied
    allow_localhost(settings)
    assert target_of(ordinary).denied_networks == denied


def test_the_own_machine_is_local_and_needs_no_credential(credential: Any) -> None:
    target = target_of(InstanceFactory(is_local=True, credential=credential))
    assert target.is_local
    assert target.auth is None


def test_many_targets_take_few_queries(credential: Any, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    default = GroupCredentialFactory(credential=credential)
    for instance in InstanceFactory.create_batch(30, group=default.group):
        HostKeyFactory(instance=instance)
    rows = list(Instance.objects.all())
    with django_assert_max_num_queries(6):
        assert len(targets_of(rows)) == 30


def test_a_credential_shared_by_many_is_opened_once(credential: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(targets, "auth_of", lambda shared: opened.append(shared) or PasswordAuth("deploy", "x"))
    rows = InstanceFactory.create_batch(5, credential=credential)
    assert {target.auth for target in targets_of(rows).values()} == {PasswordAuth("deploy", "x")}
    assert opened == [credential]
