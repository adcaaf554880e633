import pytest
from django.db import DatabaseError, connection, transaction

from instances.audit.models import AuditEntry
from instances.audit.services import record
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry():
    with transaction.atomic():
        return record(UserFactory(), "add_instance", "web-1", id=1)


def test_an_entry_is_kept_with_its_actors_name(entry):
    entry.refresh_from_db()
    assert (entry.action, entry.subject, entry.actor_name) == ("add_instance", "web-1", entry.actor.username)


def test_an_entry_cannot_be_changed(entry):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(subject="something else")


def test_an_entry_cannot_be_removed(entry):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_an_entry_cannot_be_changed_around_the_orm(entry):
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE instances_auditentry SET actor_name = 'nobody'")


def test_an_entry_stays_as_it_was_when_the_account_is_deleted(entry):
    actor_id = entry.actor_id
    entry.actor.delete()
    assert AuditEntry.objects.filter(pk=entry.pk, actor_id=actor_id).exists()


def test_a_subject_that_is_too_long_is_cut():
    with transaction.atomic():
        assert len(record(UserFactory(), "x", "y" * 500).subject) == 200


@pytest.mark.django_db(transaction=True)
def test_nothing_is_recorded_outside_a_transaction():
    with pytest.raises(transaction.TransactionManagementError):
        record(UserFactory(), "add_instance", "web-1")


@pytest.mark.django_db(transaction=True)
def test_an_action_that_fails_leaves_no_entry():
    user = UserFactory()

    def act() -> None:
        with transaction.atomic():
            record(user, "add_instance", "web-1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_again", [1, 2])
def test_a_test_with_real_transactions_starts_empty_and_protected(_again):
    assert not AuditEntry.objects.exists()
    with transaction.atomic():
        record(UserFactory(), "add_instance", "web-1")
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.all().delete()
