"""Owns on which instances something can be done with a key, and why not on the others."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from instances.access import rules
from instances.access.rules import Action
from instances.authorise.models import KeyAction
from instances.credentials import services as credentials
from instances.credentials.models import Credential
from instances.inventory.models import OS, Instance

if TYPE_CHECKING:
    from console.members.models import User

EXCLUDED = {
    "not_permitted": "You may not manage this instance.",
    "instance_disabled": "It is disabled.",
    "instance_local": "It is the console's own machine, which is not signed in to.",
    "windows": "It is a Windows machine: place the key there by hand.",
    "credentials_missing": "It has no credential to sign in with now.",
    "credential_suspended": "Its credential was refused twice and is not offered until somebody presses Try again.",
    "same_credential": "It signs in with this key already.",
    "other_user": "The key is for another user name than the one that signs in now.",
}


@dataclass(frozen=True)
class Candidate:
    """An instance and the credential it is signed in to with, to do something with the key."""

    instance: Instance
    sign_in: Credential


@dataclass(frozen=True)
class Excluded:
    """An instance on which nothing is done, and why; ``reason`` is a key of ``EXCLUDED``."""

    instance: Instance
    reason: str

    @property
    def message(self) -> str:
        """The sentence for people."""
        return EXCLUDED[self.reason]


@dataclass(frozen=True)
class Selection:
    """Instances parted into those on which it can be done and the others."""

    candidates: list[Candidate] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)


def part(
    actor: "User",
    instances: Iterable[Instance],
    *,
    action: str,
    key: Credential,
    next_credential: Credential | None = None,
) -> Selection:
    """Part instances; their order stays. Side effects: a handful of queries, however many instances.

    A key is taken away by ``next_credential`` if there is one, otherwise by what is used now, be it the key itself.
    """
    rows = list(instances)
    owned = credentials.credentials_for(rows)
    suspended = credentials.suspended_on(owned)
    managed = set(
        Instance.objects.filter(rules.scope(actor, Action.MANAGE_INSTANCES))
        .order_by()
        .values_list("group_id", flat=True)
        .distinct()
        if rows and rules.allowed(actor, Action.MANAGE_CREDENTIALS)
        else ()
    )
    found = Selection()
    for row in rows:
        is_used = next_credential is None
        sign_in = owned[row.pk] if is_used else next_credential
        reason = "not_permitted" if row.group_id not in managed else _why_not(row, sign_in, action=action, key=key)
        if not reason and is_used and row.pk in suspended:
            reason = "credential_suspended"
        if reason or sign_in is None:
            found.excluded.append(Excluded(row, reason))
        else:
            found.candidates.append(Candidate(row, sign_in))
    return found


def _why_not(instance: Instance, sign_in: Credential | None, *, action: str, key: Credential) -> str:
    if instance.is_local:
        return "instance_local"
    if instance.is_disabled:
        return "instance_disabled"
    if instance.os == OS.WINDOWS:
        return "windows"
    if sign_in is None:
        return "credentials_missing"
    if action == KeyAction.PLACE and sign_in.pk == key.pk:
        return "same_credential"
    # The line stands in the home folder of one user; an instance's own user name counts for every credential.
    if not instance.user_name and sign_in.user_name != key.user_name:
        return "other_user"
    return ""
