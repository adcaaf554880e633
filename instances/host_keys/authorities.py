"""Everything done with host authorities and revoked keys: who may vouch for an instance, and what is refused there."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import known_hosts, services
from instances.host_keys.models import HostAuthority, HostKey, HostKeyEnd, HostKeyState, RevokedKey

if TYPE_CHECKING:
    from console.members.models import User
    from instances.inventory.models import Instance

EVERYWHERE = "everywhere"


@dataclass(frozen=True)
class Vouching:
    """Which authorities may vouch for an instance, and what is refused there; ``version`` changes with both."""

    authorities: tuple[PresentedKey, ...] = ()
    revoked: tuple[PresentedKey, ...] = ()
    version: str = ""


def vouching_for(instances: Iterable["Instance"]) -> dict[int, Vouching]:
    """Return what counts for each instance by its id. Side effects: two queries, however many instances."""
    trusted = [(row, _key(row)) for row in HostAuthority.objects.order_by("pk")]
    revoked = _Revoked(RevokedKey.objects.order_by("pk"))
    found: dict[int, Vouching] = {}
    kept: dict[tuple[tuple[PresentedKey, ...], int | None], Vouching] = {}
    for instance in instances:
        group_id = instance.group_id
        authorities = tuple(key for row, key in trusted if _counts_for(row, instance))
        if (authorities, group_id) not in kept:
            kept[authorities, group_id] = _vouching(authorities, revoked.of(group_id))
        found[instance.pk] = kept[authorities, group_id]
    return found


def authorities_of(instance: "Instance") -> list[HostAuthority]:
    """Return the authorities that may vouch for an instance. Side effects: one query."""
    rows = HostAuthority.objects.select_related("group", "trusted_by")
    return [row for row in rows if _counts_for(row, instance)]


def visible_authorities(actor: "User") -> QuerySet[HostAuthority]:
    """Return the authorities the actor decides about, and those that count everywhere."""
    return HostAuthority.objects.filter(_visible(actor)).select_related("group", "trusted_by")


def visible_revoked(actor: "User") -> QuerySet[RevokedKey]:
    """Return the revoked keys the actor decides about, and those that are revoked everywhere."""
    return RevokedKey.objects.filter(_visible(actor)).select_related("group", "revoked_by")


def trust_authority(
    actor: "User", *, key: PresentedKey, patterns: str, name: str = "", group: Group | None = None
) -> HostAuthority:
    """Let certificates signed with this key vouch for the instances whose address matches the patterns.

    Without a name it is called like its patterns.
    Raises: NotAllowed, ValidationError by field.
    """
    rules.require(actor, Action.TRUST_HOST_KEYS, group)
    patterns = _checked_patterns(patterns)
    _check_name(name)
    with transaction.atomic():
        if RevokedKey.objects.filter(Q(group=None) | Q(group=group), fingerprint=key.fingerprint).exists():
            raise ValidationError({"line": services.KeyRevoked(key.fingerprint).messages})
        same = HostAuthority.objects.filter(fingerprint=key.fingerprint, patterns=patterns, group=group)
        if same.exists():
            raise ValidationError({"line": "This authority is trusted for these patterns already."})
        row = HostAuthority.objects.create(
            name=name.strip() or patterns[:80],
            patterns=patterns,
            group=group,
            trusted_by=actor,
            algorithm=key.algorithm,
            data=key.data,
            fingerprint=key.fingerprint,
        )
        record(actor, "trust_host_authority", row.name, id=row.pk, patterns=patterns, **_said(row, group))
    return row


def remove_authority(actor: "User", *, authority: HostAuthority) -> None:
    """Let an authority vouch for nobody any more; keys that a person trusted stay trusted. Raises: NotAllowed."""
    rules.require(actor, Action.TRUST_HOST_KEYS, authority.group)
    with transaction.atomic():
        count, _ = HostAuthority.objects.filter(pk=authority.pk).delete()
        if count:
            said = _said(authority, authority.group)
            record(actor, "remove_host_authority", authority.name, id=authority.pk, patterns=authority.patterns, **said)


def revoke(actor: "User", *, key: PresentedKey, comment: str = "", group: Group | None = None) -> RevokedKey:
    """Refuse a host key, or everything an authority signs, whoever trusted it; what is revoked already stays so.

    Trust in it ends, and connections that were made with it are given up.
    Raises: NotAllowed.
    """
    rules.require(actor, Action.TRUST_HOST_KEYS, group)
    with transaction.atomic():
        row, is_new = RevokedKey.objects.get_or_create(
            fingerprint=key.fingerprint,
            group=group,
            defaults={
                "algorithm": key.algorithm,
                "data": key.data,
                "comment": comment.strip()[:200],
                "revoked_by": actor,
            },
        )
        if is_new:
            concerned = HostKey.objects.filter(fingerprint=key.fingerprint, state=HostKeyState.TRUSTED)
            if group is not None:
                concerned = concerned.filter(instance__group=group)
            losing = dict(concerned.values_list("pk", "instance_id"))
            services.end_trust(actor, losing, why=HostKeyEnd.REVOKED)
            services.settle(set(losing.values()))
            instances = sorted(set(losing.values()))
            record(actor, "revoke_host_key", row.fingerprint, comment=row.comment, ids=instances, **_said(row, group))
    return row


def restore(actor: "User", *, revoked: RevokedKey) -> None:
    """Take a revocation back. What was trusted before is not by that: it is reviewed again. Raises: NotAllowed."""
    rules.require(actor, Action.TRUST_HOST_KEYS, revoked.group)
    with transaction.atomic():
        count, _ = RevokedKey.objects.filter(pk=revoked.pk).delete()
        if count:
            record(actor, "restore_host_key", revoked.fingerprint, **_said(revoked, revoked.group))


def _visible(actor: "User") -> Q:
    decided = rules.scope(actor, Action.TRUST_HOST_KEYS)
    # No condition at all is everything already; with an "or" it would become nothing but that.
    return decided | Q(group=None) if decided else decided


class _Revoked:
    """The revoked keys by group: those of everywhere are part of each."""

    def __init__(self, rows: Iterable[RevokedKey]) -> None:
        self._of_group: defaultdict[int | None, list[PresentedKey]] = defaultdict(list)
        for row in rows:
            self._of_group[row.group_id].append(_key(row))

    def of(self, group_id: int | None) -> tuple[PresentedKey, ...]:
        everywhere = self._of_group.get(None, [])
        return tuple(everywhere if group_id is None else everywhere + self._of_group.get(group_id, []))


def _counts_for(authority: HostAuthority, instance: "Instance") -> bool:
    if authority.group_id not in {None, instance.group_id} or instance.is_local:
        return False
    return known_hosts.applies(authority.patterns, instance.address, instance.port)


def _vouching(authorities: tuple[PresentedKey, ...], revoked: tuple[PresentedKey, ...]) -> Vouching:
    if not authorities and not revoked:
        return Vouching()
    digest = hashlib.sha256()
    for keys in (authorities, revoked):
        digest.update(b"".join(sorted(key.data for key in keys)) + b"\0")
    return Vouching(authorities, revoked, digest.hexdigest()[:16])


def _key(row: HostAuthority | RevokedKey) -> PresentedKey:
    return PresentedKey(row.algorithm, bytes(row.data))


def _checked_patterns(patterns: str) -> str:
    try:
        return known_hosts.check_patterns(patterns)
    except known_hosts.LineInvalid as error:
        raise ValidationError({"patterns": str(error)}) from None


def _check_name(name: str) -> None:
    if len(name.strip()) > 80 or not name.isprintable():
        raise ValidationError({"name": "A name has at most 80 visible characters."})


def _said(row: HostAuthority | RevokedKey, group: Group | None) -> dict[str, str]:
    return {
        "algorithm": row.algorithm,
        "fingerprint": row.fingerprint,
        "group": group.name if group is not None else EVERYWHERE,
    }
