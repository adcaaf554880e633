"""What becomes of a file that is sent, once no instance waits for it any more."""

import pytest
from django.utils import timezone

from console.transfers import queue, store
from console.transfers.models import Delivery, Direction, State, Transfer
from tests.support.at_once import during_another_request
from tests.support.factories import InstanceFactory, UserFactory


@pytest.mark.django_db(transaction=True)
def test_of_two_deliveries_that_end_at_once_the_last_removes_the_file():
    stored, size = store.keep([b"content"], limit_bytes=100)
    transfer = Transfer.objects.create(
        direction=Direction.SEND, path="~/sent", stored=stored, size=size, actor=UserFactory(), actor_name="olga"
    )
    first, second = (
        Delivery.objects.create(transfer=transfer, instance=one, state=State.RUNNING, due_at=timezone.now())
        for one in InstanceFactory.create_batch(2)
    )
    with during_another_request(lambda: queue.fail(second.pk, "failure", "It broke.")):
        queue.fail(first.pk, "failure", "It broke.")
    assert Transfer.objects.get().stored == ""
    assert not store.path_of(stored).exists()
