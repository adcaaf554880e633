"""Everything done with credentials: keep them, attach them, find the one for an instance, and open it to sign in.

What a person entered wrongly is raised as Django's ValidationError, by field: name, user_name, secret, passphrase.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.credentials import vault
from instances.credentials.models import Credential, CredentialKind, CredentialSuspension, GroupCredential
from instances.credentials.user_names import check_user_name
from instances.engine.errors import KeyUnreadable, PassphraseWrong
from instances.engine.ssh import check_key
from instances.engine.types import Auth, KeyAuth, PasswordAuth

if TYPE_CHECKING:
    from console.members.models import User
    from instances.inventory.models import Instance

SECRET_LIMIT = 64 * 1024
FAILURES_BEFORE_SUSPENSION = 2
_BATCH = 5000


# ------------------------------------------------------------------ keep


def add_credential(
    actor: "User", *, name: str, kind: str, user_name: str, secret: str, passphrase: str = ""
) -> Credential:
    """Keep a new credential, sealed. ``secret`` is the password, or the text of the private key.

    Raises: NotAllowed, ValidationError.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    name = _clean_name(name)
    _check_user_name(user_name)
    secret, fingerprint = _checked_secret(kind, secret, passphrase)
    with transaction.atomic():
        _free_name(name)
        credential = Credential.objects.create(name=name, kind=kind, user_name=user_name, fingerprint=fingerprint)
        sealed = _sealed(credential, secret, passphrase)
        Credential.objects.filter(pk=credential.pk).update(**sealed)
        record(actor, "add_credential", name, id=credential.pk, kind=kind, user_name=user_name, fingerprint=fingerprint)
    credential.refresh_from_db()
    return credential


def change_credential(
    actor: "User", *, credential: Credential, name: str, user_name: str, secret: str = "", passphrase: str = ""
) -> Credential:
    """Change a credential; an empty secret keeps the one that is there, and a passphrase comes with its key.

    A new version ends kept connections and lifts suspensions. Raises: NotAllowed, ValidationError.
    """
    rules.require(actor, Action.MANAGE_CREDENTIALS)
    name = _clean_name(name)
    _check_user_name(user_name)
    if passphrase and not secret:
        raise ValidationError({"passphrase": "A passphrase is stored with its key: enter the key again too."})
    changed: dict[str, object] = {"name": name, "user_name": user_name}
    if secret:
        secret, changed["fingerprint"] = _checked_secret(credential.kind, secret, passphrase)
    with transaction.atomic():
        _free_name(name, except_for=credential)
        if secret:
            changed |= _sealed(credential, secret, passphrase)
        if secret or user_name != credential.user_name:
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
            has_new_secret=bool(secret),
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


def credential_for(instance: "Instance") -> Credential | None:
    """Return the credential an instance is signed in to with: its own, else its group's default."""
    return credentials_for([instance])[instance.pk]


def credentials_for(instances: Iterable["Instance"]) -> dict[int, Credential | None]:
    """Return the credential of each instance by instance id. Side effects: two queries, however many instances."""
    rows = list(instances)
    own = Credential.objects.in_bulk({row.credential_id for row in rows if row.credential_id})
    groups = {row.group_id for row in rows if row.group_id and row.credential_id not in own}
    defaults = {
        default.group_id: default.credential
        for default in GroupCredential.objects.filter(group__in=groups).select_related("credential")
    }
    return {row.pk: own.get(row.credential_id or 0) or defaults.get(row.group_id or 0) for row in rows}


def auth_of(credential: Credential, user_name_override: str = "") -> Auth:
    """Open a credential and return what the engine signs in with; only for the target in hand.

    Raises: VaultError when the stored secret does not open.
    """
    user = user_name_override or credential.user_name
    secret = _opened(credential, "secret", credential.sealed_secret)
    if credential.kind == CredentialKind.PASSWORD:
        return PasswordAuth(user, secret.decode())
    passphrase = credential.sealed_passphrase
    return KeyAuth(user, secret, _opened(credential, "passphrase", passphrase).decode() if passphrase else None)


# ------------------------------------------------------------------ refused credentials


def note_failure(*, credential_id: int, instance: "Instance", version: int | None = None) -> None:
    """Count one authentication failure of a credential on an instance; the second suspends it there.

    ``version`` is the one that was offered; a failure of an earlier version than is stored now counts for nothing.
    """
    with transaction.atomic():
        current = Credential.objects.filter(pk=credential_id).values_list("version", flat=True).first()
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


# ------------------------------------------------------------------ validate and seal


def _clean_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise ValidationError({"name": "A name has 1 to 80 visible characters."})
    return name


def _check_user_name(user_name: str) -> None:
    try:
        check_user_name(user_name)
    except ValidationError as error:
        raise ValidationError({"user_name": error.messages}) from None


def _free_name(name: str, *, except_for: Credential | None = None) -> None:
    taken = Credential.objects.filter(name=name)
    if except_for is not None:
        taken = taken.exclude(pk=except_for.pk)
    if taken.exists():
        raise ValidationError({"name": "This name is taken. Choose another one."})


def _checked_secret(kind: str, secret: str, passphrase: str) -> tuple[str, str]:
    """Return the secret as it is kept, and the fingerprint of a key's public half."""
    if len(secret) > SECRET_LIMIT or len(passphrase) > SECRET_LIMIT:
        raise ValidationError({"secret": "This is too long for a password or a private key."})
    if kind == CredentialKind.PASSWORD:
        if passphrase:
            raise ValidationError({"passphrase": "Only a private key has a passphrase."})
        return _checked_password(secret), ""
    if kind != CredentialKind.KEY:
        raise ValidationError({"kind": "Choose a password or a private key."})
    # Browsers submit text areas with CR LF; OpenSSH's and PEM's readers want the last line ended.
    secret = secret.replace("\r\n", "\n").strip() + "\n"
    return secret, _fingerprint(secret, passphrase)


def _checked_password(secret: str) -> str:
    if not secret:
        raise ValidationError({"secret": "Enter the password."})
    if any(character in secret for character in "\0\r\n"):
        raise ValidationError({"secret": "A password is one line of text."})
    return secret


def _fingerprint(key: str, passphrase: str) -> str:
    if not key.strip():
        raise ValidationError({"secret": "Paste the private key, or choose its file."})
    if key.startswith("PuTTY-User-Key-File"):
        raise ValidationError(
            {"secret": "This is PuTTY's own form. Convert it: puttygen key.ppk -O private-openssh -o key"}
        )
    if "PRIVATE KEY" not in key and key.startswith(("ssh-", "ecdsa-", "sk-", "---- BEGIN SSH2 PUBLIC")):
        raise ValidationError({"secret": "This is the public half. The private one is in the file without .pub."})
    try:
        return check_key(key.encode(), passphrase or None)
    except (PassphraseWrong, KeyUnreadable) as error:
        # A PEM key opened with the wrong passphrase is noise, which the reader reports as an unreadable key.
        is_noise = bool(passphrase) and "ENCRYPTED" in key
        if isinstance(error, PassphraseWrong) or is_noise:
            wrong, missing = "The passphrase does not open this key.", "This key is encrypted: enter its passphrase."
            raise ValidationError({"passphrase": wrong if passphrase else missing}) from None
        raise ValidationError(
            {"secret": "This is not a private key in OpenSSH or PEM form, or a part of it is missing."}
        ) from None


def _sealed(credential: Credential, secret: str, passphrase: str) -> dict[str, bytes]:
    return {
        "sealed_secret": vault.seal(secret.encode(), owner=vault.owner_of(credential.pk, "secret")),
        "sealed_passphrase": (
            vault.seal(passphrase.encode(), owner=vault.owner_of(credential.pk, "passphrase")) if passphrase else b""
        ),
    }


def _opened(credential: Credential, part: str, sealed: bytes | memoryview) -> bytes:
    return vault.open_sealed(bytes(sealed), owner=vault.owner_of(credential.pk, part))
