"""Which credential an instance signs in with, and when one is tried no more."""

import pytest

from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.credentials import services
from instances.credentials.models import CredentialSuspension, GroupCredential
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_the_most_specific_credential_wins(administrator, django_assert_num_queries):
    default, own = CredentialFactory(), CredentialFactory()
    group = GroupFactory()
    services.attach_to_group(administrator, credential=default, group=group)
    inherits, has_own = InstanceFactory(group=group), InstanceFactory(group=group)
    services.attach(administrator, credential=own, instances=[has_own])
    lonely, elsewhere = InstanceFactory(), InstanceFactory(group=GroupFactory())
    instances = [inherits, has_own, lonely, elsewhere]
    for instance in instances:
        instance.refresh_from_db()
    with django_assert_num_queries(3):
        found = services.credentials_for(instances)
    assert found == {inherits.pk: default, has_own.pk: own, lonely.pk: None, elsewhere.pk: None}
    assert services.credential_for(has_own) == own


def test_the_default_for_everything_comes_last_and_is_one(administrator, django_assert_num_queries):
    own, group, first, everything = CredentialFactory.create_batch(4)
    for credential in (first, everything):
        services.make_default(administrator, credential=credential)
    of_group = GroupFactory()
    services.attach_to_group(administrator, credential=group, group=of_group)
    rows = [InstanceFactory(credential=own, group=of_group), InstanceFactory(group=of_group), InstanceFactory()]
    with django_assert_num_queries(3):
        found = list(services.choices_for(rows).values())
    assert found == [(own, "own"), (group, "group"), (everything, "default")]
    services.make_default(administrator, credential=None)
    assert services.choices_for(rows)[rows[2].pk] == (None, "none")
    with pytest.raises(NotAllowed):
        services.make_default(UserFactory(role=Role.OPERATOR), credential=own)


def test_taking_the_own_credential_away_brings_the_groups_back(administrator):
    default, group = CredentialFactory(), GroupFactory()
    services.attach_to_group(administrator, credential=default, group=group)
    instance = InstanceFactory(group=group, credential=CredentialFactory())
    services.attach(administrator, credential=None, instances=[instance])
    instance.refresh_from_db()
    assert services.credential_for(instance) == default


def test_a_groups_default_is_replaced_and_taken_away(administrator):
    group, first, second = GroupFactory(), CredentialFactory(), CredentialFactory()
    for credential in (first, second):
        services.attach_to_group(administrator, credential=credential, group=group)
    assert GroupCredential.objects.get().credential == second
    services.attach_to_group(administrator, credential=None, group=group)
    assert not GroupCredential.objects.exists()


# ------------------------------------------------------------------ refused credentials


def test_the_second_failure_suspends_on_that_instance_only():
    credential = CredentialFactory()
    instance, other = InstanceFactory(credential=credential), InstanceFactory(credential=credential)
    services.note_failure(credential_id=credential.pk, instance=instance)
    assert not services.is_suspended(credential, instance)
    services.note_failure(credential_id=credential.pk, instance=instance)
    assert services.is_suspended(credential, instance)
    assert not services.is_suspended(credential, other)
    assert services.suspended_on(services.credentials_for([instance, other])) == {instance.pk}


def test_a_suspension_concerns_only_the_credential_in_use():
    former, now = CredentialFactory(), CredentialFactory()
    instance = InstanceFactory(credential=now)
    for _ in range(2):
        services.note_failure(credential_id=former.pk, instance=instance)
    assert services.suspended_on({instance.pk: now}) == set()


def test_a_success_forgets_the_failure_before():
    credential = CredentialFactory()
    instance = InstanceFactory(credential=credential)
    services.note_failure(credential_id=credential.pk, instance=instance)
    services.note_successes([instance.pk])
    services.note_failure(credential_id=credential.pk, instance=instance)
    assert not services.is_suspended(credential, instance)
    services.note_success(credential_id=credential.pk, instance=instance)
    assert not CredentialSuspension.objects.exists()


def test_a_new_version_is_tried_again_and_counted_anew(administrator):
    signs_in = {"name": "db", "user_name": "deploy"}
    credential = services.add_credential(administrator, kind="password", secret="one", **signs_in)
    instance = InstanceFactory(credential=credential)
    for _ in range(2):
        services.note_failure(credential_id=credential.pk, instance=instance)
    credential = services.change_credential(administrator, credential=credential, secret="another", **signs_in)
    assert not services.is_suspended(credential, instance)
    services.note_failure(credential_id=credential.pk, instance=instance, version=1)
    services.note_failure(credential_id=credential.pk, instance=instance, version=2)
    assert not services.is_suspended(credential, instance)
    services.note_failure(credential_id=credential.pk, instance=instance, version=2)
    assert services.is_suspended(credential, instance)


def test_a_failure_of_a_deleted_credential_counts_for_nothing():
    services.note_failure(credential_id=12345, instance=InstanceFactory())
    assert not CredentialSuspension.objects.exists()


def test_an_operator_has_a_suspended_credential_tried_again():
    credential = CredentialFactory()
    instance = InstanceFactory(credential=credential)
    for _ in range(2):
        services.note_failure(credential_id=credential.pk, instance=instance)
    services.resume(UserFactory(role=Role.OPERATOR), instance=instance)
    assert not services.is_suspended(credential, instance)
    assert AuditEntry.objects.filter(action="resume_credential", subject=instance.name).exists()
    with pytest.raises(NotAllowed):
        services.resume(UserFactory(role=Role.VIEWER), instance=instance)
