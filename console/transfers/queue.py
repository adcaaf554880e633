"""Owns what workers do with deliveries: take them, say how far they are, write how each ended."""

import datetime
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from console.transfers import store
from console.transfers.models import OPEN_STATES, Delivery, State, Transfer
from console.transfers.services import LEFT_OUT, refusal
from instances.credentials.services import credential_for, is_suspended
from instances.engine.files import Overwrite, Wanted
from instances.engine.types import Target
from instances.inventory.jumps import blocked
from instances.inventory.targets import target_of

# Renewed every few seconds while bytes move; a delivery whose worker died is taken again.
CLAIM_FOR = datetime.timedelta(minutes=2)
SUSPENDED = "Its credential was refused twice and is not offered until somebody presses Try again."


@dataclass(frozen=True)
class Order:
    """A delivery made ready; ``stored`` is the file here that is sent, or the one to make."""

    delivery_id: int
    instance_id: int
    target: Target
    direction: str
    wanted: Wanted
    stored: str


def claim(limit: int) -> list[Order]:
    """Take up to ``limit`` deliveries that wait; what may not be done any more is ended instead."""
    now = timezone.now()
    due = Delivery.objects.filter(state__in=OPEN_STATES, due_at__lte=now).order_by("due_at", "pk")
    # Asked several times a second: an empty answer must not cost the one write lock.
    if not due.exists():
        return []
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Delivery.objects.filter(pk__in=ids).update(state=State.RUNNING, due_at=now + CLAIM_FOR, done_bytes=0)
    rows = Delivery.objects.filter(pk__in=ids).select_related(
        "transfer__actor", "instance__group", "instance__credential"
    )
    return [order for row in rows if (order := _order(row)) is not None]


def note_progress(delivery_id: int, done_bytes: int) -> None:
    """Say how far a delivery is, and keep it for this worker."""
    Delivery.objects.filter(pk=delivery_id, state=State.RUNNING).update(
        done_bytes=done_bytes, due_at=timezone.now() + CLAIM_FOR
    )


def succeed(delivery_id: int, *, size: int, sha256: str, message: str, stored: str = "") -> None:
    """End a delivery well."""
    values = {"size": size, "done_bytes": size, "sha256": sha256, "stored": stored}
    _end(delivery_id, state=State.SUCCEEDED, message=message, **values)


def fail(delivery_id: int, reason: str, message: str) -> None:
    """End a delivery that did not come about."""
    _end(delivery_id, state=State.FAILED, reason=reason[:40], message=message[:500])


def _end(delivery_id: int, **values: object) -> None:
    ended = Delivery.objects.filter(pk=delivery_id, state=State.RUNNING)
    with transaction.atomic():
        # Locked: of the last two that end at once each would see that the other one is still open.
        transfer = Transfer.objects.select_for_update(of=("self",)).filter(deliveries=delivery_id).first()
        if transfer is None or not ended.update(finished_at=timezone.now(), **values):
            return
        if transfer.deliveries.filter(state__in=OPEN_STATES).exists():
            return
        Transfer.objects.filter(pk=transfer.pk).update(stored="")
        transaction.on_commit(lambda: store.remove([transfer.stored]))


def _order(row: Delivery) -> Order | None:
    transfer, instance = row.transfer, row.instance
    if instance is None or transfer.actor is None:
        fail(row.pk, "deleted", "The instance, or who asked for it, was deleted meanwhile.")
        return None
    if reason := refusal(transfer.actor, instance):
        fail(row.pk, reason, LEFT_OUT[reason])
        return None
    credential = credential_for(instance)
    if credential is not None and is_suspended(credential, instance):
        fail(row.pk, "credential_suspended", SUSPENDED)
        return None
    if why := blocked([instance]).get(instance.pk):
        fail(row.pk, why.reason, why.cause)
        return None
    return Order(
        delivery_id=row.pk,
        instance_id=instance.pk,
        target=target_of(instance),
        direction=transfer.direction,
        wanted=Wanted(transfer.path, Overwrite(transfer.overwrite), transfer.mode, transfer.owner),
        stored=transfer.stored or store.new_name(),
    )
