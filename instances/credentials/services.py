"""Everything done with credentials: keep them, attach them, find the one for an instance, and open it to sign in.

What a person entered wrongly is raised as Django's ValidationError, by field; see entry.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.credentials import vault
from instances.credentials.entry import (
    Checked,
    Entered,
    check_change,
    check_entered,
    check_entered_user_name,
    clean_name,
)
from instances.credentials.models import Credential, CredentialKind, CredentialSuspension, GroupCredential
from instances.engine.ssh_keys import public_line, split_keys
from instances.engine.types import AgentAuth, Auth, KeyAuth, PasswordAuth

if TYPE_CHECKING:
    from console.members.models import User
    from instances.inventory.models import Instance

FAILURES_BEFORE_SUSPENSION = 2
_BATCH = 5000


# ------------------------------------------------------------------ keep


def add_credential(actor: "User", *, name: str, kind: str, user_name: str, **entered: Any) -> Credential:
    """Keep a new credential, sealed. ``entered``: the fields of Entered.

    Raises: NotAllowed, ValidationError.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    name = clean_name(name)
    check_entered_user_name(user_name)
    checked = check_entered(kind, Entered(**entered))
    with transaction.atomic():
        _free_name(name)
        credential = Credential.objects.create(name=name, kind=kind, user_name=user_name, **checked.columns)
        Credential.objects.filter(pk=credential.pk).update(**_sealed(credential, checked))
        record(
            actor,
            "add_credential",
            name,
            id=credential.pk,
            kind=kind,
            user_name=user_name,
            fingerprint=credential.fingerprint,
        )
    credential.refresh_from_db()
    return credential


def change_credential(
    actor: "User", *, credential: Credential, name: str, user_name: str, **entered: Any
) -> Credential:
    """Change a credential; an empty secret keeps the one that is there, and a passphrase comes with its key.

    ``entered``: the fields of Entered. Certificates and identities always take the place of the former ones.

    A new version ends kept connections and lifts suspensions. Raises: NotAllowed, ValidationError.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    name = clean_name(name)
    check_entered_user_name(user_name)
    checked = check_change(credential.kind, Entered(**entered), public_lines_of(credential))
    changed: dict[str, Any] = {"name": name, "user_name": user_name} | checked.columns
    with transaction.atomic():
        _free_name(name, except_for=credential)
        changed |= _sealed(credential, checked)
        if any(getattr(credential, column) != value for column, value in changed.items() if column != "name"):
            changed["version"] = credential.version + 1
        same = Credential.objects.filter(pk=credential.pk, version=credential.version)
        if not same.update(**changed):
            raise ValidationError("Somebody else changed or deleted this credential meanwhile. Look at it again.")
        record(
            actor,
            "change_credential",
            name,
            id=credential.pk,
            former_name=credential.name,
            user_name=user_name,
            former_user_name=credential.user_name,
            has_new_secret=bool(checked.secret),
            fingerprint=changed.get("fingerprint", credential.fingerprint),
        )
    credential.refresh_from_db()
    return credential


def delete_credential(actor: "User", *, credential: Credential) -> None:
    """Remove a credential; instances and groups that used it have none afterwards. Raises: NotAllowed."""
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    with transaction.atomic():
        instances = list(credential.instances.values_list("pk", flat=True)[:1000])
        groups = list(credential.group_defaults.values_list("group_id", flat=True))
        record(actor, "delete_credential", credential.name, id=credential.pk, instances=instances, groups=groups)
        credential.delete()


# ------------------------------------------------------------------ attach


def attach(actor: "User", *, credential: Credential | None, instances: Sequence["Instance"]) -> None:
    """Give instances a credential of their own; None takes it away, so that their group's default counts again.

    Using a credential on a machine of one's choice is a way to learn it, so this needs the right to manage
    credentials everywhere, and to manage these instances. Raises: NotAllowed.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    for group in {instance.group_id: instance.group for instance in instances}.values():
        rules.require(actor, Action.MANAGE_INSTANCES, group)
    if not instances:
        return
    ids = [instance.pk for instance in instances]
    with transaction.atomic():
        for start in range(0, len(ids), _BATCH):
            type(instances[0]).objects.filter(pk__in=ids[start : start + _BATCH]).update(credential=credential)
        action = "detach_credential" if credential is None else "attach_credential"
        record(actor, action, credential.name if credential else "", instances=ids[:1000], count=len(ids))


def attach_to_group(actor: "User", *, credential: Credential | None, group: Group) -> None:
    """Make a credential the default of a group, replacing the former one; None leaves the group without.

    Raises: NotAllowed.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    with transaction.atomic():
        if credential is None:
            GroupCredential.objects.filter(group=group).delete()
        else:
            GroupCredential.objects.update_or_create(group=group, defaults={"credential": credential})
        action = "detach_credential" if credential is None else "attach_credential"
        record(actor, action, credential.name if credential else "", group=group.name)


def make_default(actor: "User", *, credential: Credential | None) -> None:
    """Make a credential the one for all instances without one of their own or their group; None leaves them without.

    Raises: NotAllowed.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    with transaction.atomic():
        Credential.objects.filter(is_default=True).update(is_default=False)
        if credential is not None:
            Credential.objects.filter(pk=credential.pk).update(is_default=True)
        action = "detach_credential" if credential is None else "attach_credential"
        record(actor, action, credential.name if credential else "", everything=True)


def attachable(actor: "User", ids: Sequence[int]) -> list["Instance"]:
    """Return the instances with these ids whose credential the actor may choose, by name."""
    found: list[Instance] = []
    for start in range(0, len(ids), _BATCH):
        part = _instances().filter(rules.scope(actor, Action.MANAGE_INSTANCES), pk__in=ids[start : start + _BATCH])
        found.extend(part.select_related("group"))
    return sorted(found, key=lambda instance: instance.name)


def _instances() -> "QuerySet[Instance]":
    # By name: the inventory is built on this package, so importing it here would be a circle.
    model = cast("type[Instance]", apps.get_model("instances", "Instance"))
    return model.objects.all()


# ------------------------------------------------------------------ find and open


class Source(StrEnum):
    """Why an instance is signed in to with a credential, the most specific reason first."""

    OWN = "own"
    GROUP = "group"
    DEFAULT = "default"
    NONE = "none"


def credential_for(instance: "Instance") -> Credential | None:
    """Return the credential an instance is signed in to with."""
    return credentials_for([instance])[instance.pk]


def credentials_for(instances: Iterable["Instance"]) -> dict[int, Credential | None]:
    """Return the credential of each instance by instance id. Side effects: three queries, however many instances."""
    return {pk: credential for pk, (credential, _) in choices_for(instances).items()}


def choices_for(instances: Iterable["Instance"]) -> dict[int, tuple[Credential | None, Source]]:
    """Return the credential of each instance by instance id, and why it is that one: own, group, default, none.

    Side effects: three queries, however many instances.
    """
    rows = list(instances)
    own = Credential.objects.in_bulk({row.credential_id for row in rows if row.credential_id})
    groups = {row.group_id for row in rows if row.group_id and row.credential_id not in own}
    of_group = {
        default.group_id: default.credential
        for default in GroupCredential.objects.filter(group__in=groups).select_related("credential")
    }
    default = Credential.objects.filter(is_default=True).first()
    found: dict[int, tuple[Credential | None, Source]] = {}
    for row in rows:
        if row.credential_id in own:
            found[row.pk] = own[row.credential_id], Source.OWN
        elif row.group_id in of_group:
            found[row.pk] = of_group[row.group_id], Source.GROUP
        else:
            found[row.pk] = default, Source.DEFAULT if default else Source.NONE
    return found


class Lacking(Protocol):
    """What decides whether an instance has a credential."""

    credential_id: int | None
    group_id: int | None
    is_local: bool


Lacks = TypeVar("Lacks", bound=Lacking)


def without_credential(rows: Iterable[Lacks]) -> list[Lacks]:
    """Return those that nothing can be sent to for want of a credential. Side effects: two queries, for any number."""
    if Credential.objects.filter(is_default=True).exists():
        return []
    served = set(GroupCredential.objects.values_list("group_id", flat=True))
    return [row for row in rows if not (row.is_local or row.credential_id or row.group_id in served)]


def auth_of(credential: Credential, user_name_override: str = "") -> Auth:
    """Open a credential and return what the engine signs in with; only for the target in hand.

    Raises: VaultError when the stored secret does not open.
    """
    user = user_name_override or credential.user_name
    if credential.kind == CredentialKind.AGENT:
        return AgentAuth(user, settings.ENV.agent_socket, tuple(credential.public_keys.splitlines()))
    secret = _opened(credential, "secret", credential.sealed_secret)
    if credential.kind == CredentialKind.PASSWORD:
        return PasswordAuth(user, secret.decode())
    return KeyAuth(user, secret, _passphrase(credential), credential.certificates)


def public_lines_of(credential: Credential) -> tuple[str, ...]:
    """Return the public half of each key of a credential; those kept by an earlier version are opened for it.

    Raises: VaultError when the stored secret does not open.
    """
    if credential.public_keys or credential.kind != CredentialKind.KEY:
        return tuple(credential.public_keys.splitlines())
    secret = _opened(credential, "secret", credential.sealed_secret).decode()
    return tuple(public_line(key, _passphrase(credential)) for key in split_keys(secret))


# ------------------------------------------------------------------ refused credentials


def note_failure(*, credential_id: int, instance: "Instance", version: int | None = None) -> None:
    """Count one authentication failure of a credential on an instance; the second suspends it there.

    ``version`` is the one that was offered; a failure of an earlier version than is stored now counts for nothing.
    """
    with transaction.atomic():
        stored = Credential.objects.select_for_update().filter(pk=credential_id)
        current = stored.values_list("version", flat=True).first()
        if current is None or (version is not None and version != current):
            return
        row, is_new = CredentialSuspension.objects.get_or_create(
            credential_id=credential_id, instance_id=instance.pk, defaults={"version": current, "failures": 1}
        )
        if is_new:
            return
        same = CredentialSuspension.objects.filter(pk=row.pk, version=current)
        if not same.update(failures=F("failures") + 1):
            CredentialSuspension.objects.filter(pk=row.pk).update(version=current, failures=1)


def note_success(*, credential_id: int, instance: "Instance") -> None:
    """Forget the failures of a credential on an instance: it was accepted."""
    CredentialSuspension.objects.filter(credential_id=credential_id, instance_id=instance.pk).delete()


def note_successes(instance_ids: Sequence[int]) -> None:
    """Forget all failures on instances that were signed in to. Side effects: a statement per 5,000 instances."""
    for start in range(0, len(instance_ids), _BATCH):
        CredentialSuspension.objects.filter(instance__in=instance_ids[start : start + _BATCH]).delete()


def is_suspended(credential: Credential, instance: "Instance") -> bool:
    """Say whether a credential was refused so often on an instance that it is not offered again."""
    return _suspensions().filter(credential=credential, instance_id=instance.pk).exists()


def suspended_on(credentials: Mapping[int, Credential | None]) -> set[int]:
    """Return the ids of the instances on which their credential is suspended.

    Shape: ``credentials`` is what credentials_for returned. Side effects: one query.
    """
    used = {credential.pk for credential in credentials.values() if credential is not None}
    found = _suspensions().filter(credential__in=used).values_list("instance_id", "credential_id")
    return {
        instance_id
        for instance_id, credential_id in found
        if (credential := credentials.get(instance_id)) is not None and credential.pk == credential_id
    }


def resumable(actor: "User") -> "QuerySet[Instance]":
    """Return the instances the actor may check, and so may have their credential tried again."""
    return _instances().filter(rules.scope(actor, Action.CHECK_INSTANCE)).select_related("group")


def resume(actor: "User", *, instance: "Instance") -> None:
    """Let an instance's credential be offered there again: somebody pressed Try again. Raises: NotAllowed."""
    rules.require(actor, Action.CHECK_INSTANCE, instance.group)
    with transaction.atomic():
        CredentialSuspension.objects.filter(instance_id=instance.pk).delete()
        record(actor, "resume_credential", instance.name, id=instance.pk)


def _suspensions() -> QuerySet[CredentialSuspension]:
    # A failure count of a former version says nothing about the secret that is stored now.
    return CredentialSuspension.objects.filter(
        version=F("credential__version"), failures__gte=FAILURES_BEFORE_SUSPENSION
    )


# ------------------------------------------------------------------ seal


def free_name(wanted: str) -> str:
    """Return a name nobody has given to a credential yet, made of the wanted one."""
    name, number = wanted[:80], 2
    while Credential.objects.filter(name=name).exists():
        name, number = f"{wanted[:70]} ({number})", number + 1
    return name


def _free_name(name: str, *, except_for: Credential | None = None) -> None:
    taken = Credential.objects.filter(name=name)
    if except_for is not None:
        taken = taken.exclude(pk=except_for.pk)
    if taken.exists():
        raise ValidationError({"name": "This name is taken. Choose another one."})


def _sealed(credential: Credential, checked: Checked) -> dict[str, bytes]:
    if not checked.secret:
        return {}
    return {
        "sealed_secret": vault.seal(checked.secret.encode(), owner=vault.owner_of(credential.pk, "secret")),
        "sealed_passphrase": (
            vault.seal(checked.passphrase.encode(), owner=vault.owner_of(credential.pk, "passphrase"))
            if checked.passphrase
            else b""
        ),
    }


def _passphrase(credential: Credential) -> str | None:
    sealed = credential.sealed_passphrase
    return _opened(credential, "passphrase", sealed).decode() if sealed else None


def _opened(credential: Credential, part: str, sealed: bytes | memoryview) -> bytes:
    return vault.open_sealed(bytes(sealed), owner=vault.owner_of(credential.pk, part))
