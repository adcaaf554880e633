"""Everything done with host keys: which are trusted, which wait for a person, and that person's answer."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys.models import HostKey, HostKeyEnd, HostKeyState, RevokedKey

if TYPE_CHECKING:
    from console.members.models import User
    from instances.inventory.models import Instance

# A machine that shows a new key each time must not fill the table; the newest are kept for review.
WAITING_PER_INSTANCE = 5
_BATCH = 5000
_WAITING = (HostKeyState.UNKNOWN, HostKeyState.CHANGED)


class ChangedNotConfirmed(ValidationError):
    """An instance shows another key than the trusted one: compare the fingerprints and confirm each such key."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()), code="changed_not_confirmed")


class KeyRevoked(ValidationError):
    """A revoked key cannot be trusted. Give the machine a new host key, or take the revocation back first."""

    def __init__(self, *fingerprints: str) -> None:
        super().__init__(f"{type(self).__doc__} It is about {', '.join(fingerprints)}.", code="revoked")


def trusted_keys(instance: "Instance") -> tuple[PresentedKey, ...]:
    """Return the keys by which an instance is recognised; none means that nothing is ever sent to it."""
    return trusted_keys_of([instance])[instance.pk]


def trusted_keys_of(instances: Iterable["Instance"]) -> dict[int, tuple[PresentedKey, ...]]:
    """Return the trusted keys of each instance by instance id. Side effects: one query."""
    ids = [instance.pk for instance in instances]
    keys: defaultdict[int, list[PresentedKey]] = defaultdict(list)
    trusted = HostKey.objects.filter(instance__in=ids, state=HostKeyState.TRUSTED).order_by("pk")
    for instance_id, algorithm, data in trusted.values_list("instance_id", "algorithm", "data"):
        keys[instance_id].append(PresentedKey(algorithm, bytes(data)))
    return {pk: tuple(keys[pk]) for pk in ids}


def note_presented(instance: "Instance", presented: PresentedKey) -> HostKey:
    """Keep a key that an instance showed and that was not accepted, so that a person can review it.

    It is ``unknown`` where nothing is trusted yet, else ``changed``. A key that was approved meanwhile stays
    trusted. For workers, so without actor and audit entry.
    """
    with transaction.atomic():
        has_trusted = HostKey.objects.filter(instance_id=instance.pk, state=HostKeyState.TRUSTED).exists()
        state = HostKeyState.CHANGED if has_trusted else HostKeyState.UNKNOWN
        row, is_new = HostKey.objects.exclude(state=HostKeyState.FORMER).get_or_create(
            instance_id=instance.pk,
            fingerprint=presented.fingerprint,
            defaults={"state": state, "algorithm": presented.algorithm[:60], "data": presented.data},
        )
        if is_new:
            _drop_oldest_waiting(instance.pk)
        elif row.state not in {HostKeyState.TRUSTED, state}:
            row.state = state
            HostKey.objects.filter(pk=row.pk, state__in=_WAITING).update(state=state)
    return row


def waiting(actor: "User", state: HostKeyState) -> QuerySet[HostKey]:
    """Return the keys in a state that wait for review, of the instances the actor decides about; oldest first."""
    theirs = HostKey.objects.filter(rules.scope(actor, Action.TRUST_HOST_KEYS, field="instance__group"), state=state)
    return theirs.select_related("instance", "instance__group").order_by("seen_at", "pk")


def trust(actor: "User", *, host_keys: Sequence[HostKey], confirm_changed: bool = False) -> list[HostKey]:
    """Approve keys that wait for review, of one or many instances, and return those that are trusted now.

    1. An unknown key is trusted; what else of its instance waits counts as changed from then on.
    2. A changed key, only with ``confirm_changed``, takes the place of all keys trusted for its instance before; these
       are kept as former ones.
    3. Kept connections to these instances are given up: their target version rises.
    A key decided by somebody else meanwhile is passed over.
    Raises: NotAllowed, ChangedNotConfirmed or KeyRevoked (then nothing was trusted).
    """
    _require(actor, host_keys)
    with transaction.atomic():
        rows = list(_waiting_rows(host_keys))
        if not confirm_changed and any(row.state == HostKeyState.CHANGED for row in rows):
            raise ChangedNotConfirmed
        if revoked := revoked_among(rows):
            raise KeyRevoked(*sorted({row.fingerprint for row in rows if row.pk in revoked}))
        former = _replaced_by(rows)
        approved = [row.pk for row in rows]
        end_trust(actor, [key.pk for keys in former.values() for key in keys], why=HostKeyEnd.REPLACED)
        HostKey.objects.filter(pk__in=approved, state__in=_WAITING).update(
            state=HostKeyState.TRUSTED, trusted_at=timezone.now(), trusted_by=actor
        )
        instance_ids = {row.instance_id for row in rows}
        HostKey.objects.filter(instance__in=instance_ids, state=HostKeyState.UNKNOWN).update(state=HostKeyState.CHANGED)
        raise_target_versions(instance_ids)
        for row in rows:
            replaced = [key.fingerprint for key in former.get(row.instance_id, [])]
            record(
                actor,
                "trust_host_key",
                row.instance.name,
                id=row.instance_id,
                algorithm=row.algorithm,
                fingerprint=row.fingerprint,
                replaced=replaced,
            )
    return list(HostKey.objects.filter(pk__in=approved).select_related("instance"))


def trust_fingerprint(actor: "User", *, instance: "Instance", fingerprint: str) -> HostKey:
    """Approve the key of an instance that has this fingerprint, unknown or changed; for the command line.

    The machine must have shown the key before (Check does that). Raises: NotAllowed, ValidationError naming what
    the instance showed instead.
    """
    wanted = "SHA256:" + fingerprint.strip().removeprefix("SHA256:").rstrip("=")
    current = HostKey.objects.filter(instance_id=instance.pk).exclude(state=HostKeyState.FORMER)
    keys = list(current.select_related("instance", "instance__group"))
    found = next((key for key in keys if key.fingerprint == wanted), None)
    if found is None:
        rules.require(actor, Action.TRUST_HOST_KEYS, instance.group)
        shown = ", ".join(key.fingerprint for key in keys) or "no key yet"
        raise ValidationError(f"{instance.name} showed {shown}, not {wanted}. Nothing was trusted.")
    if found.state == HostKeyState.TRUSTED:
        return found
    return trust(actor, host_keys=[found], confirm_changed=True)[0]


def forget(actor: "User", *, host_keys: Sequence[HostKey]) -> None:
    """Remove waiting keys; end the trust in others, which are kept as former ones.

    An instance without a trusted key, and no authority to vouch for it, is not connected to until one is approved.
    Raises: NotAllowed.
    """
    _require(actor, host_keys)
    with transaction.atomic():
        current = HostKey.objects.exclude(state=HostKeyState.FORMER)
        rows = list(current.filter(pk__in=[key.pk for key in host_keys]).select_related("instance"))
        HostKey.objects.filter(pk__in=[row.pk for row in rows], state__in=_WAITING).delete()
        trusted = [row for row in rows if row.state == HostKeyState.TRUSTED]
        end_trust(actor, [row.pk for row in trusted], why=HostKeyEnd.FORGOTTEN)
        settle({row.instance_id for row in trusted})
        for row in rows:
            record(
                actor,
                "forget_host_key",
                row.instance.name,
                id=row.instance_id,
                fingerprint=row.fingerprint,
                was=row.state,
            )


def leave_place(actor: "User", *, instance_id: int) -> None:
    """Forget by what the machine at an instance's former address was recognised. Needs the caller's transaction."""
    HostKey.objects.filter(instance=instance_id, state__in=_WAITING).delete()
    trusted = HostKey.objects.filter(instance=instance_id, state=HostKeyState.TRUSTED)
    end_trust(actor, list(trusted.values_list("pk", flat=True)), why=HostKeyEnd.MOVED)


def end_trust(actor: "User", host_key_ids: Collection[int], *, why: HostKeyEnd) -> None:
    """Make trusted keys former ones. Needs the caller's transaction, permission and record."""
    for part in parts(host_key_ids):
        HostKey.objects.filter(pk__in=part, state=HostKeyState.TRUSTED).update(
            state=HostKeyState.FORMER, ended_at=timezone.now(), ended_by=actor, ended_why=why
        )


def settle(instance_ids: Collection[int]) -> None:
    """Bring in order what follows from keys that are trusted no more. Needs the caller's transaction.

    Where nothing is trusted any more, waiting keys are unknown rather than changed; kept connections are given up.
    """
    for part in parts(instance_ids):
        still = HostKey.objects.filter(instance__in=part, state=HostKeyState.TRUSTED).values("instance")
        changed = HostKey.objects.filter(instance__in=part, state=HostKeyState.CHANGED)
        changed.exclude(instance__in=still).update(state=HostKeyState.UNKNOWN)
    raise_target_versions(instance_ids)


def revoked_among(host_keys: Collection[HostKey]) -> dict[int, RevokedKey]:
    """Return the revocation that holds for a key, by the key's id. Side effects: one query, or none without keys.

    The keys' instances must be loaded.
    """
    if not host_keys:
        return {}
    said: defaultdict[str, list[RevokedKey]] = defaultdict(list)
    for revoked in RevokedKey.objects.select_related("revoked_by"):
        said[revoked.fingerprint].append(revoked)
    found: dict[int, RevokedKey] = {}
    for key in host_keys:
        for revoked in said.get(key.fingerprint, ()):
            if revoked.group_id in {None, key.instance.group_id}:
                found[key.pk] = revoked
    return found


def former_fingerprints(host_keys: Iterable[HostKey]) -> dict[int, list[HostKey]]:
    """Return the trusted keys beside changed ones, by instance id. Side effects: one query."""
    trusted: defaultdict[int, list[HostKey]] = defaultdict(list)
    ids = {key.instance_id for key in host_keys}
    rows = HostKey.objects.filter(instance__in=ids, state=HostKeyState.TRUSTED).select_related("trusted_by")
    for key in rows.order_by("pk"):
        trusted[key.instance_id].append(key)
    return dict(trusted)


def _require(actor: "User", host_keys: Sequence[HostKey]) -> None:
    # Also without any key: an empty answer must not tell who may.
    if not host_keys:
        rules.require_anywhere(actor, Action.TRUST_HOST_KEYS)
    for group in {key.instance.group_id: key.instance.group for key in host_keys}.values():
        rules.require(actor, Action.TRUST_HOST_KEYS, group)


def _waiting_rows(host_keys: Sequence[HostKey]) -> QuerySet[HostKey]:
    rows = HostKey.objects.filter(pk__in=[key.pk for key in host_keys], state__in=_WAITING)
    return rows.select_related("instance").order_by("pk")


def _replaced_by(rows: Sequence[HostKey]) -> dict[int, list[HostKey]]:
    return former_fingerprints(row for row in rows if row.state == HostKeyState.CHANGED)


def raise_target_versions(instance_ids: Collection[int]) -> None:
    """Have kept connections to these instances given up."""
    for part in parts(instance_ids):
        instance_model().objects.filter(pk__in=part).update(target_version=F("target_version") + 1)


def instance_model() -> "type[Instance]":
    """Return the model of instances. By name: the inventory is built on this package, so importing it is a circle."""
    return cast("type[Instance]", apps.get_model("instances", "Instance"))


def parts(ids: Collection[int]) -> Iterator[list[int]]:
    """Cut ids into pieces that a statement takes: SQLite allows 32,766 parameters."""
    listed = list(ids)
    return (listed[at : at + _BATCH] for at in range(0, len(listed), _BATCH))


def _drop_oldest_waiting(instance_id: int) -> None:
    rows = HostKey.objects.filter(instance_id=instance_id, state__in=_WAITING).order_by("-pk")
    HostKey.objects.filter(pk__in=list(rows.values_list("pk", flat=True)[WAITING_PER_INSTANCE:])).delete()


# ------------------------------------------------------------------ keys that a person entered


def trust_entered(
    actor: "User", keys: Sequence[tuple[int, PresentedKey]], *, replacing: Sequence[tuple[int, PresentedKey]] = ()
) -> int:
    """Trust keys that a person entered, as (instance id, key); return how many others they replaced.

    ``replacing`` ones take the place of the instance's trusted keys of the same kind. Waiting ones leave the review;
    what else of these instances waits counts as changed. A key that is trusted already must not be among them. Needs
    the caller's transaction, permission and record.
    """
    entered = [*keys, *replacing]
    if not entered:
        return 0
    concerned = {instance_id for instance_id, _ in entered}
    current = _current_of(concerned)
    of_kind: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for row in current.values():
        if row.state == HostKeyState.TRUSTED:
            of_kind[row.instance_id, row.algorithm].append(row.pk)
    kinds = dict.fromkeys((instance_id, key.algorithm) for instance_id, key in replacing)
    replaced = [pk for kind in kinds for pk in of_kind[kind]]
    end_trust(actor, replaced, why=HostKeyEnd.REPLACED)
    now = timezone.now()
    waiting_ids = [current[at, key.fingerprint].pk for at, key in entered if (at, key.fingerprint) in current]
    for part in parts(waiting_ids):
        HostKey.objects.filter(pk__in=part, state__in=_WAITING).update(
            state=HostKeyState.TRUSTED, trusted_at=now, trusted_by=actor
        )
    new = [_entered(at, key, HostKeyState.TRUSTED) for at, key in entered if (at, key.fingerprint) not in current]
    for trusted in new:
        trusted.trusted_at, trusted.trusted_by = now, actor
    HostKey.objects.bulk_create(new, batch_size=500)
    for part in parts(concerned):
        HostKey.objects.filter(instance__in=part, state=HostKeyState.UNKNOWN).update(state=HostKeyState.CHANGED)
    raise_target_versions(concerned)
    return len(replaced)


def queue_changed(keys: Sequence[tuple[int, PresentedKey]]) -> None:
    """Put keys of instances that have a trusted one into the review. Needs the caller's transaction and record."""
    concerned = {instance_id for instance_id, _ in keys}
    current = _current_of(concerned)
    new = [_entered(at, key, HostKeyState.CHANGED) for at, key in keys if (at, key.fingerprint) not in current]
    HostKey.objects.bulk_create(new, batch_size=500)
    counts = Counter(row.instance_id for row in [*new, *current.values()] if row.state in _WAITING)
    for instance_id, count in counts.items():
        if count > WAITING_PER_INSTANCE:
            _drop_oldest_waiting(instance_id)


def _current_of(instance_ids: Collection[int]) -> dict[tuple[int, str], HostKey]:
    found: dict[tuple[int, str], HostKey] = {}
    for part in parts(instance_ids):
        for row in HostKey.objects.filter(instance__in=part).exclude(state=HostKeyState.FORMER):
            found[row.instance_id, row.fingerprint] = row
    return found


def _entered(instance_id: int, key: PresentedKey, state: HostKeyState) -> HostKey:
    return HostKey(
        instance_id=instance_id,
        state=state,
        algorithm=key.algorithm,
        data=key.data,
        fingerprint=key.fingerprint,
    )
