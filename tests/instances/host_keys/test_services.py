import pytest
from django.core.exceptions import ValidationError

from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import services
from instances.host_keys.models import HostKey, HostKeyState
from tests.support.factories import GroupFactory, HostKeyFactory, InstanceFactory, UserFactory, host_key_data

pytestmark = pytest.mark.django_db


def key(number):
    return PresentedKey("ssh-ed25519", host_key_data(1_000_000 + number))


@pytest.fixture
def administrator():
    return UserFactory(role=Role.ADMINISTRATOR)


@pytest.fixture
def instance():
    return InstanceFactory()


def states(instance):
    return set(instance.host_keys.values_list("fingerprint", "state"))


def version(instance):
    instance.refresh_from_db()
    return instance.target_version


def test_the_first_key_waits_as_unknown_until_somebody_trusts_it(administrator, instance):
    row = services.note_presented(instance, key(1))
    assert row.state == HostKeyState.UNKNOWN
    assert services.trusted_keys(instance) == ()
    services.trust(administrator, host_keys=[row])
    assert services.trusted_keys(instance) == (key(1),)
    row.refresh_from_db()
    assert row.trusted_by == administrator
    assert row.trusted_at is not None
    assert version(instance) == 2


def test_another_key_than_the_trusted_one_waits_as_changed_and_changes_nothing(instance):
    trusted = HostKeyFactory(instance=instance)
    row = services.note_presented(instance, key(2))
    assert row.state == HostKeyState.CHANGED
    assert [one.fingerprint for one in services.trusted_keys(instance)] == [trusted.fingerprint]
    assert version(instance) == 1


def test_seeing_a_key_again_makes_no_second_row(instance):
    assert services.note_presented(instance, key(1)).pk == services.note_presented(instance, key(1)).pk
    assert HostKey.objects.count() == 1


def test_a_trusted_key_stays_trusted_when_a_late_report_names_it(instance):
    row = HostKeyFactory(instance=instance)
    assert services.note_presented(instance, PresentedKey(row.algorithm, row.data)).state == HostKeyState.TRUSTED


def test_a_machine_with_a_new_key_each_time_does_not_fill_the_table(instance):
    for number in range(20):
        services.note_presented(instance, key(number))
    assert instance.host_keys.count() == services.WAITING_PER_INSTANCE
    assert instance.host_keys.filter(fingerprint=key(19).fingerprint).exists()


def test_many_keys_are_trusted_at_once(administrator):
    instances = [InstanceFactory() for _ in range(5)]
    rows = [services.note_presented(one, key(number)) for number, one in enumerate(instances)]
    assert len(services.trust(administrator, host_keys=rows)) == 5
    assert all(len(keys) == 1 for keys in services.trusted_keys_of(instances).values())
    assert AuditEntry.objects.filter(action="trust_host_key").count() == 5


def test_a_changed_key_needs_its_own_confirmation(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    changed, unknown = services.note_presented(instance, key(1)), services.note_presented(InstanceFactory(), key(2))
    with pytest.raises(services.ChangedNotConfirmed):
        services.trust(administrator, host_keys=[unknown, changed])
    unknown.refresh_from_db()
    assert unknown.state == HostKeyState.UNKNOWN
    assert (trusted.fingerprint, "trusted") in states(instance)


def test_a_confirmed_changed_key_replaces_the_old_ones_and_both_are_recorded(administrator, instance):
    old = [HostKeyFactory(instance=instance).fingerprint for _ in range(2)]
    services.trust(administrator, host_keys=[services.note_presented(instance, key(1))], confirm_changed=True)
    assert states(instance) == {(key(1).fingerprint, "trusted"), *((one, "former") for one in old)}
    assert version(instance) == 2
    entry = AuditEntry.objects.get(action="trust_host_key")
    assert entry.subject == instance.name
    assert entry.details["fingerprint"] == key(1).fingerprint
    assert sorted(entry.details["replaced"]) == sorted(old)


def test_trusting_one_of_two_unknown_keys_makes_the_other_a_changed_one(administrator, instance):
    chosen, other = services.note_presented(instance, key(1)), services.note_presented(instance, key(2))
    services.trust(administrator, host_keys=[chosen])
    assert states(instance) == {(chosen.fingerprint, "trusted"), (other.fingerprint, "changed")}


def test_two_unknown_keys_of_one_instance_can_be_trusted_together(administrator, instance):
    rows = [services.note_presented(instance, key(number)) for number in (1, 2)]
    services.trust(administrator, host_keys=rows)
    assert len(services.trusted_keys(instance)) == 2


def test_an_answer_somebody_else_gave_meanwhile_is_passed_over(administrator, instance):
    row = services.note_presented(instance, key(1))
    services.forget(administrator, host_keys=[HostKey.objects.get(pk=row.pk)])
    assert services.trust(administrator, host_keys=[row]) == []
    assert services.trusted_keys(instance) == ()


def test_forgetting_the_trusted_key_closes_the_instance_until_a_new_answer(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    services.note_presented(instance, key(1))
    services.forget(administrator, host_keys=[trusted])
    assert services.trusted_keys(instance) == ()
    assert states(instance) == {(trusted.fingerprint, "former"), (key(1).fingerprint, "unknown")}
    assert version(instance) == 2
    assert AuditEntry.objects.get().details["was"] == "trusted"


def test_forgetting_a_waiting_key_keeps_the_trusted_one_and_its_connections(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    services.forget(administrator, host_keys=[services.note_presented(instance, key(1))])
    assert states(instance) == {(trusted.fingerprint, "trusted")}
    assert version(instance) == 1


@pytest.mark.parametrize("write", [str, lambda text: text.removeprefix("SHA256:"), lambda text: f" {text}= "])
def test_a_fingerprint_from_the_shell_is_trusted_if_the_instance_showed_it(administrator, instance, write):
    services.note_presented(instance, key(1))
    row = services.trust_fingerprint(administrator, instance=instance, fingerprint=write(key(1).fingerprint))
    assert row.state == HostKeyState.TRUSTED
    again = services.trust_fingerprint(administrator, instance=instance, fingerprint=key(1).fingerprint)
    assert again.pk == row.pk


def test_a_fingerprint_the_instance_did_not_show_is_refused_with_what_it_showed(administrator, instance):
    services.note_presented(instance, key(1))
    with pytest.raises(ValidationError) as error:
        services.trust_fingerprint(administrator, instance=instance, fingerprint=key(2).fingerprint)
    assert key(1).fingerprint in error.value.messages[0]
    assert services.trusted_keys(instance) == ()


@pytest.mark.parametrize("who", [{"role": Role.OPERATOR}, {"role": Role.VIEWER}, {"role": None}, {"is_active": False}])
def test_only_administrators_decide(who, instance):
    user, row = UserFactory(**who), services.note_presented(instance, key(1))
    calls = [
        lambda: services.trust(user, host_keys=[row]),
        lambda: services.trust(user, host_keys=[]),
        lambda: services.forget(user, host_keys=[row]),
        lambda: services.trust_fingerprint(user, instance=instance, fingerprint=row.fingerprint),
        lambda: services.trust_fingerprint(user, instance=instance, fingerprint="SHA256:other"),
    ]
    for call in calls:
        with pytest.raises(NotAllowed):
            call()
    assert states(instance) == {(row.fingerprint, "unknown")}


def test_who_administers_one_group_decides_there_only():
    theirs, other = InstanceFactory(group=GroupFactory()), InstanceFactory(group=GroupFactory())
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=theirs.group)
    inside, outside = services.note_presented(theirs, key(1)), services.note_presented(other, key(2))
    assert list(services.waiting(user, HostKeyState.UNKNOWN)) == [inside]
    with pytest.raises(NotAllowed):
        services.trust(user, host_keys=[inside, outside])
    assert services.trusted_keys(theirs) == ()
    services.trust(user, host_keys=[inside])
    assert services.trusted_keys(theirs) == (key(1),)
