"""Everything people do about keys on instances: authorise one, take one away."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record
from instances.authorise.eligible import Selection, part
from instances.authorise.models import Authorisation, KeyAction, Placement, State
from instances.credentials.key_pairs import public_key
from instances.credentials.models import Credential
from instances.credentials.vault import VaultError
from instances.engine.authorise import Limits, line_of
from instances.engine.types import HostKey
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User

_BATCH = 2000


def line_for(credential: Credential, *, limits: str = Limits.COMMANDS, sources: str = "") -> str:
    """Return the line that lets a credential's key in, exactly as it is written to ``authorized_keys``.

    Raises: ValidationError, by field: credential, sources.
    """
    key = _public_key(credential)
    try:
        return line_of(key, limits=Limits(limits), sources=sources.strip(), comment=f"muster:{credential.name}")
    except ValueError as error:
        raise ValidationError({"sources": str(error)}) from None


def authorise(
    actor: "User", *, credential: Credential, instances: Sequence[Instance], line: str, is_switching: bool
) -> Authorisation:
    """Have a key's line placed on instances with what they sign in with today; workers do it.

    With ``is_switching`` an instance that lets the key in gets it as its credential. Where it cannot be done is noted
    with the reason. Raises: NotAllowed, ValidationError when it can be done nowhere, or the line is another key's.
    """
    _require(actor)
    key = _public_key(credential)
    if HostKey.parse(key).line not in line or "\n" in line:
        raise ValidationError("This is not a line of this key.")
    selection = part(actor, instances, action=KeyAction.PLACE, key=credential)
    wanted = Authorisation(action=KeyAction.PLACE, line=line, is_switching=is_switching)
    return _ask_for(actor, wanted, credential=credential, selection=selection)


def take_away(
    actor: "User", *, credential: Credential, instances: Sequence[Instance], next_credential: Credential | None
) -> Authorisation:
    """Have every line of a key taken out on instances, which sign in with ``next_credential`` afterwards.

    Without one the key itself, or whatever is used today, does it, and an instance whose own credential was the key
    has none of its own afterwards. Raises: NotAllowed, ValidationError when it can be done nowhere.
    """
    _require(actor)
    if next_credential is not None and next_credential.pk == credential.pk:
        raise ValidationError({"next_credential": "Choose another credential than the key that is taken away."})
    selection = part(actor, instances, action=KeyAction.REMOVE, key=credential, next_credential=next_credential)
    wanted = Authorisation(action=KeyAction.REMOVE, next_credential=next_credential, is_switching=True)
    return _ask_for(actor, wanted, credential=credential, selection=selection)


def _require(actor: "User") -> None:
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    rules.require_anywhere(actor, Action.MANAGE_INSTANCES)


def _public_key(credential: Credential) -> str:
    try:
        found = public_key(credential)
    except VaultError:
        raise ValidationError({"credential": "The stored key cannot be opened: enter it again."}) from None
    if not found:
        raise ValidationError({"credential": "This credential has no key to place."})
    return found


def _ask_for(actor: "User", wanted: Authorisation, *, credential: Credential, selection: Selection) -> Authorisation:
    """Keep an authorisation with a placement for each instance, those that are left out too."""
    if not selection.candidates:
        raise ValidationError("There is no selected instance on which this can be done.")
    wanted.credential, wanted.credential_name = credential, credential.name
    wanted.public_key = _public_key(credential)
    wanted.requested_by, wanted.requested_by_name = actor, actor.get_username()
    now = timezone.now()
    names = [candidate.instance.name for candidate in selection.candidates]
    with transaction.atomic():
        wanted.save()
        rows = [
            Placement(authorisation=wanted, instance=row.instance, instance_name=row.instance.name, due_at=now)
            for row in selection.candidates
        ]
        rows += [
            Placement(
                authorisation=wanted,
                instance=row.instance,
                instance_name=row.instance.name,
                state=State.SKIPPED,
                reason=row.reason,
                message=row.message,
                finished_at=now,
            )
            for row in selection.excluded
        ]
        Placement.objects.bulk_create(rows, batch_size=_BATCH)
        record(
            actor,
            "authorise_key" if wanted.action == KeyAction.PLACE else "take_key_away",
            credential.name,
            id=wanted.pk,
            fingerprint=credential.fingerprint,
            line=wanted.line,
            is_switching=wanted.is_switching,
            next_credential=wanted.next_credential.name if wanted.next_credential else "",
            instances=names[:1000],
            count=len(names),
        )
    return wanted
