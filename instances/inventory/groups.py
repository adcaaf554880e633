"""Adds, renames and deletes groups, and says which credential their instances have by default."""

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.credentials.models import Credential, GroupCredential
from instances.credentials.services import attach_to_group
from instances.inventory.errors import NameInvalid, NameTaken

if TYPE_CHECKING:
    from console.members.models import User

# "group:none" in the filter means instances without a group.
_RESERVED = frozenset({"none"})


def manageable(user: "User") -> QuerySet[Group]:
    """Return the groups the user may rename or delete, each with ``instance_count``."""
    found = Group.objects.filter(rules.scope(user, Action.MANAGE_GROUPS, field="pk"))
    counted = found.annotate(instance_count=Count("instances", filter=Q(instances__is_adhoc=False)))
    return counted.select_related("default_credential__credential").order_by("name")


def add_group(
    actor: "User",
    *,
    name: str,
    credential: Credential | None = None,
    asks_first: bool = False,
    records_terminals: bool = True,
) -> Group:
    """Add a group; with ``asks_first`` a number is typed before commands go to it.

    Raises: NotAllowed, NameInvalid, NameTaken.
    """
    rules.require(actor, Action.MANAGE_GROUPS)
    with transaction.atomic():
        group = Group(name=_name(name), asks_first=asks_first, records_terminals=records_terminals)
        _save(group)
        if credential is not None:
            _set_default(actor, group, credential)
        record(actor, "add_group", group.name, id=group.pk, records_terminals=records_terminals)
    return group


def change_group(
    actor: "User",
    *,
    group: Group,
    name: str,
    credential: Credential | None,
    asks_first: bool | None = None,
    records_terminals: bool | None = None,
) -> Group:
    """Rename a group, choose its default credential, whether it asks first and records terminals (None: as before).

    Terminals that are open already go on as they began.

    Raises: NotAllowed, NameInvalid, NameTaken.
    """
    rules.require(actor, Action.MANAGE_GROUPS, group)
    with transaction.atomic():
        before, group.name = group.name, _name(name)
        wanted = {"asks_first": asks_first, "records_terminals": records_terminals}
        changed = {key: value for key, value in wanted.items() if value not in (None, getattr(group, key))}
        for key, value in changed.items():
            setattr(group, key, value)
        _save(group)
        _set_default(actor, group, credential)
        record(actor, "change_group", group.name, id=group.pk, former_name=before, **changed)
    return group


def delete_group(actor: "User", *, group: Group) -> None:
    """Delete a group; its instances stay, without a group and without its default credential.

    Raises: NotAllowed.
    """
    rules.require(actor, Action.MANAGE_GROUPS, group)
    with transaction.atomic():
        record(actor, "delete_group", group.name, id=group.pk)
        group.delete()


def select_group(user: "User", *, group: Group | None) -> None:
    """Keep which group's instances the user's pages show; None shows all. A personal setting, so no audit entry.

    Raises: NotAllowed for a group the user may not see.
    """
    if group is not None:
        rules.require(user, Action.VIEW, group)
    user.selected_group = group
    user.save(update_fields=["selected_group"])


def _set_default(actor: "User", group: Group, credential: Credential | None) -> None:
    before = GroupCredential.objects.filter(group=group).values_list("credential", flat=True).first()
    after = credential.pk if credential is not None else None
    if before != after:
        attach_to_group(actor, credential=credential, group=group)


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 80 or not name.isprintable() or '"' in name:
        raise NameInvalid("A group's name has 1 to 80 visible characters, without quotes.")
    if name.lower() in _RESERVED:
        raise NameInvalid("This word means “no group” in the filter. Choose another name.")
    return name


def _save(group: Group) -> None:
    if Group.objects.filter(name__iexact=group.name).exclude(pk=group.pk).exists():
        raise NameTaken(f"There is a group “{group.name}” already.")
    try:
        with transaction.atomic():
            group.save()
    except IntegrityError as error:
        raise NameTaken(f"There is a group “{group.name}” already.") from error
