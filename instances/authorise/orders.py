"""Owns what workers do with placements: take them, sign in for them, and write how each ended."""

import dataclasses
import datetime
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from instances.audit.services import record
from instances.authorise.eligible import EXCLUDED, part
from instances.authorise.models import OPEN_STATES, Authorisation, KeyAction, Placement, State
from instances.credentials.models import Credential
from instances.credentials.services import auth_of, credential_for
from instances.credentials.vault import VaultError
from instances.engine.types import Target
from instances.inventory.jumps import blocked
from instances.inventory.models import Instance
from instances.inventory.targets import Offered, target_of

# Three connects, two scripts and what they wait for end within this; a placement whose worker died is taken again.
CLAIM_FOR = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Order:
    """A placement made ready. ``sign_in`` is today's way in; ``key`` a fresh one with the key, None when it goes.

    ``offered`` is the credential of ``sign_in``, ``credential_id`` the instance's own. ``is_used``: the key is
    what the instance signs in with today. ``has_placed``: an earlier try wrote the line.
    """

    placement_id: int
    instance_id: int
    action: str
    line: str
    public_key: str
    sign_in: Target
    offered: Offered
    key: Target | None
    credential_id: int | None
    target_version: int
    is_used: bool
    has_placed: bool


def claim(limit: int) -> list[Order]:
    """Take up to ``limit`` placements that wait, the oldest first; what cannot be done any more is ended instead."""
    now = timezone.now()
    due = Placement.objects.filter(state__in=OPEN_STATES, due_at__lte=now).order_by("due_at", "pk")
    # Asked several times a second: an empty answer must not cost the one write lock.
    if not due.exists():
        return []
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Placement.objects.filter(pk__in=ids).update(state=State.RUNNING, due_at=now + CLAIM_FOR)
    rows = Placement.objects.filter(pk__in=ids).select_related(
        "authorisation__credential",
        "authorisation__next_credential",
        "authorisation__requested_by",
        "instance__group",
        "instance__credential",
    )
    return [order for row in rows if (order := _order(row)) is not None]


def note_placed(placement_id: int) -> None:
    """Remember that the line was written, before anything else can go wrong."""
    Placement.objects.filter(pk=placement_id).update(has_placed=True)


def succeed(order: Order, message: str) -> None:
    """End a placement well, and switch the instance's credential if that was asked and nobody changed it meanwhile."""
    with transaction.atomic():
        row = _open(order.placement_id)
        if row is None:
            return
        told = _switch(row.authorisation, order)
        _end(row, State.SUCCEEDED, "", f"{message} {told}".strip())


def fail(placement_id: int, reason: str, message: str) -> None:
    """End a placement that did not come about; the instance keeps its credential."""
    with transaction.atomic():
        row = _open(placement_id)
        if row is not None:
            _end(row, State.FAILED, reason, message)


def _open(placement_id: int) -> Placement | None:
    rows = Placement.objects.select_related(
        "authorisation__credential", "authorisation__next_credential", "authorisation__requested_by"
    )
    return rows.filter(pk=placement_id, state=State.RUNNING).first()


def _end(row: Placement, state: str, reason: str, message: str) -> None:
    Placement.objects.filter(pk=row.pk).update(
        state=state, reason=reason[:40], message=message[:700], finished_at=timezone.now()
    )
    wanted = row.authorisation
    done = "place_key" if wanted.action == KeyAction.PLACE else "remove_key"
    record(
        wanted.requested_by,
        done if state == State.SUCCEEDED else f"{done}_failed",
        row.instance_name,
        id=row.instance_id,
        authorisation=wanted.pk,
        credential=wanted.credential_name,
        line=wanted.line,
        reason=reason,
        message=message,
    )


def _switch(wanted: Authorisation, order: Order) -> str:
    """Give the instance the credential it is to sign in with now; return what to tell about it."""
    is_placed = wanted.action == KeyAction.PLACE
    if not (wanted.is_switching if is_placed else order.is_used):
        return ""
    after = wanted.credential if is_placed else wanted.next_credential
    if after is None and order.credential_id is None:
        return "The key is still the default of its group."
    # Whoever chose another credential or address meanwhile meant it.
    own = Q(credential_id=order.credential_id) if order.credential_id else Q(credential=None)
    same = Instance.objects.filter(own, pk=order.instance_id, target_version=order.target_version)
    if not same.update(credential=after):
        return "It was changed meanwhile, so its credential was left."
    return f"It signs in with {after.name} now." if after else "It has no credential of its own any more."


def _order(row: Placement) -> Order | None:
    """Make a placement ready, or end it."""
    wanted, instance, key = row.authorisation, row.instance, row.authorisation.credential
    if instance is None or key is None or wanted.requested_by is None:
        fail(row.pk, "deleted", "The instance, the key or who asked for it was deleted meanwhile.")
        return None
    found = part(wanted.requested_by, [instance], action=wanted.action, key=key, next_credential=wanted.next_credential)
    if found.excluded:
        fail(row.pk, found.excluded[0].reason, EXCLUDED[found.excluded[0].reason])
        return None
    if why := blocked([instance]).get(instance.pk):
        fail(row.pk, why.reason, why.cause)
        return None
    today = target_of(instance)
    sign_in = found.candidates[0].sign_in
    try:
        # Once the key is to be taken away, what comes after it must be seen to work first.
        way_in = _fresh(today, instance, sign_in) if wanted.next_credential else today
        with_key = _fresh(today, instance, key) if wanted.action == KeyAction.PLACE else None
    except VaultError:
        fail(row.pk, "vault", "A stored secret cannot be opened: enter the credential again.")
        return None
    return Order(
        placement_id=row.pk,
        instance_id=instance.pk,
        action=wanted.action,
        line=wanted.line,
        public_key=wanted.public_key,
        sign_in=way_in,
        offered=(sign_in.pk, sign_in.version),
        key=with_key,
        credential_id=instance.credential_id,
        target_version=instance.target_version,
        is_used=credential_for(instance) == key,
        has_placed=row.has_placed,
    )


def _fresh(target: Target, instance: Instance, credential: Credential) -> Target:
    """The same machine, signed in to with this credential on a connection that nobody else has."""
    return dataclasses.replace(target, auth=auth_of(credential, instance.user_name), key=uuid.uuid4())
