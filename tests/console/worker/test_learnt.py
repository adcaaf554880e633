"""What attempts teach about instances is written, whatever becomes of the instances meanwhile."""

import threading

import pytest
from django.db import connection

from console.worker import learnt
from instances.credentials.models import Credential, CredentialSuspension
from instances.engine.errors import AuthFailed, HostKeyUnknown
from instances.engine.types import HostKey
from instances.inventory.models import Instance
from tests.support.factories import CredentialFactory, InstanceFactory, host_key_data

SHOWN = HostKeyUnknown(HostKey("ssh-ed25519", host_key_data(6_000_001)))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "module", "name"),
    [(SHOWN, learnt.host_keys, "note_presented"), (AuthFailed(), learnt.credentials, "note_failure")],
)
def test_an_instance_that_is_deleted_while_it_is_noted_breaks_nothing(error, module, name, monkeypatch):
    """An error there would end the worker, with all the commands it runs."""
    instance, credential = InstanceFactory(), CredentialFactory()
    note = getattr(module, name)

    def delete():
        Instance.objects.filter(pk=instance.pk).delete()
        connection.close()

    deleting = threading.Thread(target=delete)

    def late(*args, **kwargs):
        deleting.start()
        # Until it is done, or waits for what is written here.
        deleting.join(0.3)
        return note(*args, **kwargs)

    monkeypatch.setattr(module, name, late)
    noted = learnt.Learnt()
    noted.note(instance.pk, error, offered=(credential.pk, credential.version))
    noted.save()
    deleting.join()
    assert not Instance.objects.exists()


@pytest.mark.django_db
def test_a_former_password_that_is_refused_late_says_nothing_about_the_present_one():
    """It is changed while attempts with the former one are on their way: they must not take the new one out of use."""
    instance, credential = InstanceFactory(), CredentialFactory()
    former = (credential.pk, credential.version)
    Credential.objects.filter(pk=credential.pk).update(version=credential.version + 1)
    for offered in (former, former, (credential.pk, credential.version + 1)):
        noted = learnt.Learnt()
        noted.note(instance.pk, AuthFailed(), offered=offered)
        noted.save()
    assert list(CredentialSuspension.objects.values_list("failures", flat=True)) == [1]
