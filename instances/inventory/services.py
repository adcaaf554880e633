"""Everything that changes the inventory. Each service asks for permission first and leaves an audit entry."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.credentials.models import Credential, CredentialSuspension
from instances.host_keys import services as host_keys
from instances.inventory import jumps, targets
from instances.inventory import tags as tag_text
from instances.inventory.addresses import Address
from instances.inventory.addresses import parse as parse_address
from instances.inventory.errors import (
    AddressInvalid,
    InstanceGone,
    LocalhostNotAllowed,
    NameInvalid,
    NameTaken,
)
from instances.inventory.models import OS, Instance, Tag, in_parts

if TYPE_CHECKING:
    from console.members.models import User

NAME_LIMIT = 80
MOVED = (
    "The address changed, so the stored credential and the trusted host keys were taken away from this instance. "
    "Choose the credential again, and review the host key after the next check."
)


@dataclass(frozen=True)
class NewInstance:
    """What is known of an instance before it is saved.

    ``jump`` is its jump host, if that is there already; ``via`` the name of one that is added together with it.
    """

    address: Address
    name: str = ""
    os: str = OS.LINUX
    tags: Mapping[str, str] | None = None
    group: Group | None = None
    via: str = ""
    jump: Instance | None = None

    @property
    def wanted_name(self) -> str:
        """The given name, otherwise the host."""
        return self.name.strip() or self.address.host[:NAME_LIMIT]


@dataclass(frozen=True)
class Changed:
    """A changed instance; ``has_moved`` tells that it lost its credential and its trusted host keys."""

    instance: Instance
    has_moved: bool


def add_instance(
    actor: "User",
    *,
    address: Address,
    name: str = "",
    group: Group | None = None,
    credential: Credential | None = None,
    os: str = OS.LINUX,
    tags: Mapping[str, str] | None = None,
    jump: Instance | None = None,
    is_demo: bool = False,
    check: bool = False,
) -> Instance:
    """Register an instance; without a name it is called like its host. ``check`` asks a worker to look at it at once.

    Raises: NotAllowed, NameTaken, NameInvalid, AddressInvalid (a network closed to the console),
    LocalhostNotAllowed, JumpInvalid.
    """
    _require_place(actor, group, credential)
    new = NewInstance(address, name, os, tags)
    check_address(address, is_demo=is_demo)
    check_name(new.wanted_name)
    with transaction.atomic():
        _free_name(new.wanted_name)
        instance = _row(new, group, credential)
        jumps.check(actor, instance=instance, jump=jump)
        instance.jump = jump
        instance.is_demo = is_demo
        instance.check_requested_at = timezone.now() if check else None
        _save(instance)
        Tag.objects.bulk_create(tag_text.rows(instance.pk, tags or {}))
        via = jump.name if jump else ""
        record(actor, "add_instance", instance.name, id=instance.pk, address=str(address), via=via)
    return instance


def add_many(
    actor: "User",
    *,
    new: Sequence[NewInstance],
    group: Group | None = None,
    credential: Credential | None = None,
    check: bool = False,
) -> list[Instance]:
    """Register many instances in one transaction: all of them or, when one is refused, none.

    Raises: as add_instance.
    """
    _require_place(actor, group, credential)
    for chosen in {one.group for one in new if one.group is not None}:
        rules.require(actor, Action.MANAGE_INSTANCES, chosen)
    for one in new:
        check_address(one.address)
        check_name(one.wanted_name)
    with transaction.atomic():
        _free_names([one.wanted_name for one in new])
        unsaved = [_row(one, one.group or group, credential) for one in new]
        for row in unsaved:
            row.check_requested_at = timezone.now() if check else None
        try:
            with transaction.atomic():
                rows = Instance.objects.bulk_create(unsaved, batch_size=500)
        except IntegrityError as error:
            raise NameTaken("One of these names is taken by now. Look at the list again.") from error
        jumps.join(actor, list(zip(new, rows, strict=True)))
        tags = [tag for one, row in zip(new, rows, strict=True) for tag in tag_text.rows(row.pk, one.tags or {})]
        Tag.objects.bulk_create(tags, batch_size=1000)
        record(actor, "add_instances", f"{len(rows)} instances", ids=[row.pk for row in rows])
    return rows


def adhoc_instance(actor: "User", *, address: str, credential: Credential | None = None) -> Instance:
    """Return the instance for an address typed into Send Command, made without showing it in the list.

    A registered one at the same place (and with the same user name, if one was typed) is taken instead, with its
    credential and trusted keys. Raises: NotAllowed, AddressInvalid, LocalhostNotAllowed.
    """
    place = parse_address(address)
    same = Instance.objects.filter(address=place.host, port=place.port, is_local=place.is_local)
    registered = same.filter(rules.scope(actor, Action.SEND_COMMAND), is_adhoc=False, is_disabled=False)
    registered = registered.filter(user_name=place.user) if place.user else registered
    # What is typed is meant as seen from here; behind a jump host it is taken only where nothing else is.
    found = registered.order_by(F("jump").asc(nulls_first=True), "pk").first()
    if found is not None:
        return found
    _require_place(actor, None, credential)
    check_address(place)
    with transaction.atomic():
        typed = same.filter(is_adhoc=True, user_name=place.user)
        typed = typed.filter(credential=credential) if credential is not None else typed
        # Without a choice, the credential that was used at this place before.
        found = typed.order_by(F("credential").desc(nulls_last=True), "pk").first()
        if found is not None:
            return found
        instance = _row(NewInstance(place), None, credential)
        instance.is_adhoc = True
        # A name nobody can have typed, until the row's id makes it one of its own.
        instance.name = f"typed {uuid.uuid4()}"
        _save(instance)
        wanted = str(place)[:60]
        is_taken = Instance.objects.filter(name=wanted).exists()
        instance.name = f"{wanted} ({instance.pk})" if is_taken else wanted
        _save(instance)
        record(actor, "type_address", instance.name, id=instance.pk, address=str(place))
    return instance


def change_instance(
    actor: "User",
    *,
    instance: Instance,
    address: Address,
    name: str,
    group: Group | None,
    credential: Credential | None,
    os: str,
    tags: Mapping[str, str],
    jump: Instance | None,
) -> Changed:
    """Change an instance. Another host, port or jump host takes its credential and trusted host keys away.

    Somebody who may edit an address must not be able to have a stored secret sent to a machine of his own, so after
    a move the credential is chosen, and the host key reviewed, again.
    Raises: NotAllowed, NameTaken, NameInvalid, AddressInvalid, LocalhostNotAllowed, InstanceGone, JumpInvalid.
    """
    name = name.strip() or address.host[:NAME_LIMIT]
    check_name(name)
    with transaction.atomic():
        row = _locked(instance.pk)
        rules.require(actor, Action.MANAGE_INSTANCES, row.group)
        _require_place(actor, group, credential if credential != row.credential else None)
        before = _place(row)
        jump_id = jump.pk if jump is not None else None
        has_moved = before[:4] != (address.host, address.port, address.is_local, jump_id)
        if has_moved:
            check_address(address)
        if name != row.name:
            _free_name(name)
        row.name, row.group, row.os = name, group, os
        row.address, row.port, row.is_local, row.user_name = address.host, address.port, address.is_local, address.user
        if has_moved:
            jumps.check(actor, instance=row, jump=jump)
        row.jump = jump
        row.credential = None if has_moved else credential
        # Loopback is open to the demo fleet only, and only at its own places.
        row.is_demo = row.is_demo and not has_moved
        if _place(row) != before:
            row.target_version += 1
        _save(row)
        if has_moved:
            _forget_place(actor, row.pk)
        _replace_tags(row.pk, tags)
        record(
            actor,
            "change_instance",
            row.name,
            id=row.pk,
            address=str(address),
            via=jump.name if jump else "",
            has_moved=has_moved,
        )
    return Changed(row, has_moved)


def disable_instances(actor: "User", *, instances: QuerySet[Instance]) -> int:
    """Keep instances in the list but send nothing to them; return how many changed.

    Raises: NotAllowed, changing none, if one of them may not be managed.
    """
    return _set_disabled(actor, instances, is_disabled=True)


def enable_instances(actor: "User", *, instances: QuerySet[Instance]) -> int:
    """Let commands be sent to disabled instances again; return how many changed.

    Raises: NotAllowed, changing none, if one of them may not be managed.
    """
    return _set_disabled(actor, instances, is_disabled=False)


def delete_instances(actor: "User", *, instances: QuerySet[Instance]) -> int:
    """Delete instances with their tags and host keys; runs keep what they recorded. Return how many.

    Raises: NotAllowed, deleting none, if one of them may not be managed; InUseAsJumpHost.
    """
    with transaction.atomic():
        _require_all(actor, Action.MANAGE_INSTANCES, instances)
        rows = dict(instances.order_by("pk").values_list("pk", "name"))
        if rows:
            jumps.refuse_if_in_use(actor, rows, in_parts(rows))
            for part in in_parts(rows):
                part.filter(jump__isnull=False).update(jump=None)
            for part in in_parts(rows):
                part.delete()
            record(actor, "delete_instances", _subject(list(rows.values())), instances=rows)
    return len(rows)


def request_check(
    actor: "User", *, instances: QuerySet[Instance], working_directory: str = "", run_as: str = ""
) -> int:
    """Ask the workers to check instances now; disabled ones are left out. Return how many were asked for.

    With a working directory or a user to run as, these are tried too, by a command that does nothing.
    Raises: NotAllowed, asking for none, if one of them may not be checked.
    """
    given = {"working_directory": working_directory, "run_as": run_as}
    options = {name: value for name, value in given.items() if value}
    with transaction.atomic():
        _require_all(actor, Action.CHECK_INSTANCE, instances)
        ids = list(instances.filter(is_disabled=False).values_list("pk", flat=True))
        for part in in_parts(ids):
            part.filter(check_requested_at=None).update(check_requested_at=timezone.now(), check_options=options)
            if options:
                # Of one that is being checked already, the worker sees in the end that more was asked for.
                part.update(check_options=options)
        if ids:
            record(actor, "check_instances", f"{len(ids)} instances", ids=ids, **options)
    return len(ids)


def check_address(address: Address, *, is_demo: bool = False) -> None:
    """Refuse an address the console may never connect to; names are looked at when they are dialled.

    Raises: LocalhostNotAllowed, AddressInvalid.
    """
    if address.is_local and not targets.local_is_allowed():
        raise LocalhostNotAllowed
    if not address.is_local and not is_demo and targets.is_closed(address):
        raise AddressInvalid(
            "This address is in a network that is closed to the console (MUSTER_DENIED_NETWORKS, or its own machine)."
        )


def check_name(name: str) -> None:
    """Refuse a name that could not be shown or typed.

    Raises: NameInvalid.
    """
    if not name or len(name) > NAME_LIMIT or not name.isprintable() or '"' in name:
        raise NameInvalid("A name has 1 to 80 visible characters, without quotes.")


def _require_place(actor: "User", group: Group | None, credential: Credential | None) -> None:
    rules.require(actor, Action.MANAGE_INSTANCES, group)
    # Using a credential on a machine of one's choice is a way to learn it.
    if credential is not None:
        rules.require(actor, Action.MANAGE_CREDENTIALS)


def _require_all(actor: "User", action: Action, instances: QuerySet[Instance]) -> None:
    if not rules.allowed_anywhere(actor, action):
        raise rules.NotAllowed(action)
    if instances.filter(rules.scope(actor, action)).count() != instances.count():
        raise rules.NotAllowed(action)


def _row(new: NewInstance, group: Group | None, credential: Credential | None) -> Instance:
    address = new.address
    return Instance(
        name=new.wanted_name,
        address=address.host,
        port=address.port,
        user_name=address.user,
        is_local=address.is_local,
        os=new.os,
        group=group,
        credential=credential,
        jump=new.jump,
    )


def _save(instance: Instance) -> None:
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError as error:
        raise NameTaken(f"The name “{instance.name}” is taken. Choose another one.") from error


def _free_name(name: str) -> None:
    _free_names([name])


def _free_names(names: list[str]) -> None:
    # An address typed into Send Command must not keep its name from an instance somebody registers.
    for typed in Instance.objects.filter(name__in=names, is_adhoc=True):
        Instance.objects.filter(pk=typed.pk).update(name=f"{typed.name[:60]} ({typed.pk})")
    taken = Instance.objects.filter(name__in=names).values_list("name", flat=True).first()
    if taken is not None:
        raise NameTaken(f"The name “{taken}” is taken. Choose another one.")


def _locked(pk: int) -> Instance:
    try:
        return Instance.objects.select_for_update(of=("self",)).select_related("group", "credential").get(pk=pk)
    except Instance.DoesNotExist as error:
        raise InstanceGone from error


def _place(instance: Instance) -> tuple[str, int, bool, int | None, str]:
    return instance.address, instance.port, instance.is_local, instance.jump_id, instance.user_name


def _forget_place(actor: "User", instance_id: int) -> None:
    host_keys.leave_place(actor, instance_id=instance_id)
    CredentialSuspension.objects.filter(instance=instance_id).delete()


def _replace_tags(instance_id: int, tags: Mapping[str, str]) -> None:
    Tag.objects.filter(instance=instance_id).delete()
    Tag.objects.bulk_create(tag_text.rows(instance_id, tags))


def _set_disabled(actor: "User", instances: QuerySet[Instance], *, is_disabled: bool) -> int:
    with transaction.atomic():
        _require_all(actor, Action.MANAGE_INSTANCES, instances)
        rows = dict(instances.filter(is_disabled=not is_disabled).order_by("pk").values_list("pk", "name"))
        if rows:
            for part in in_parts(rows):
                part.update(is_disabled=is_disabled)
            action = "disable_instances" if is_disabled else "enable_instances"
            record(actor, action, _subject(list(rows.values())), ids=list(rows))
    return len(rows)


def _subject(names: Iterable[str]) -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{len(listed)} instances"
