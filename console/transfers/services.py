"""Everything people do about files: send one to instances, fetch one from each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import bus
from console.transfers import store
from console.transfers.models import Delivery, Direction, State, Transfer
from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record
from instances.engine.errors import FileRefused
from instances.engine.files import Overwrite, path_of
from instances.inventory.models import OS, Instance

if TYPE_CHECKING:
    from console.members.models import User

_BATCH = 2000
LEFT_OUT = {
    "not_permitted": "You may not send commands to it.",
    "instance_disabled": "It is disabled.",
    "instance_local": "It is the console's own machine, which is reached without SSH.",
    "windows": "Files are not sent to Windows in this version.",
}


@dataclass(frozen=True)
class Upload:
    """A file as it comes in, piece by piece."""

    name: str
    pieces: Iterable[bytes]


def send_file(
    actor: "User",
    *,
    instances: Sequence[Instance],
    upload: Upload,
    path: str,
    overwrite: str,
    mode: int | None,
    owner: str,
    limit_bytes: int,
) -> Transfer:
    """Have a file sent to instances; workers do it.

    Side effects: stores the file in the data folder until all have it. Raises: NotAllowed, ValidationError by field.
    """
    allowed = _checked(actor, instances, path)
    try:
        stored, size = store.keep(upload.pieces, limit_bytes=limit_bytes)
    except OverflowError:
        raise ValidationError({"file": f"The file is longer than {limit_bytes:,} bytes (MUSTER_FILE_LIMIT)."}) from None
    wanted = Transfer(
        direction=Direction.SEND,
        path=path,
        overwrite=Overwrite(overwrite).value,
        mode=mode,
        owner=owner,
        file_name=upload.name[:255],
        size=size,
        stored=stored,
    )
    try:
        return _ask_for(actor, wanted, instances, allowed)
    except BaseException:
        store.remove([stored])
        raise


def fetch_file(actor: "User", *, instances: Sequence[Instance], path: str) -> Transfer:
    """Have a file fetched from each instance. Raises: NotAllowed, ValidationError by field."""
    allowed = _checked(actor, instances, path)
    return _ask_for(actor, Transfer(direction=Direction.FETCH, path=path), instances, allowed)


def visible_deliveries(user: "User") -> QuerySet[Delivery]:
    """Return the deliveries on instances the user may send commands to: whoever may do that could read the files."""
    return Delivery.objects.filter(rules.scope(user, Action.SEND_COMMAND, field="instance__group"))


def refusal(actor: "User", instance: Instance) -> str:
    """Return why nothing is delivered to an instance, a key of ``LEFT_OUT``; empty when it is."""
    if not rules.allowed(actor, Action.SEND_COMMAND, instance.group):
        return "not_permitted"
    return _state_refusal(instance)


def _state_refusal(instance: Instance) -> str:
    if instance.is_disabled:
        return "instance_disabled"
    if instance.is_local:
        return "instance_local"
    return "windows" if instance.os == OS.WINDOWS else ""


def _checked(actor: "User", instances: Sequence[Instance], path: str) -> set[int | None]:
    """Return the groups in which the actor may send, after a look at what was entered."""
    rules.require_anywhere(actor, Action.SEND_COMMAND)
    try:
        path_of(path)
    except FileRefused as refused:
        raise ValidationError({"path": str(refused)}) from None
    if not instances:
        raise ValidationError("Select instances first.")
    groups = {instance.group_id: instance.group for instance in instances}
    return {pk for pk, group in groups.items() if rules.allowed(actor, Action.SEND_COMMAND, group)}


def _ask_for(actor: "User", wanted: Transfer, instances: Sequence[Instance], allowed: set[int | None]) -> Transfer:
    wanted.actor, wanted.actor_name = actor, actor.get_username()
    now = timezone.now()
    rows = []
    for one in instances:
        reason = "not_permitted" if one.group_id not in allowed else _state_refusal(one)
        row = Delivery(transfer=wanted, instance=one, instance_name=one.name, size=wanted.size, due_at=now)
        if reason:
            row.state, row.reason, row.message, row.finished_at = State.SKIPPED, reason, LEFT_OUT[reason], now
        rows.append(row)
    names = [row.instance_name for row in rows if row.state == State.QUEUED]
    if not names:
        raise ValidationError("There is no selected instance to which this can be done.")
    with transaction.atomic():
        wanted.save()
        Delivery.objects.bulk_create(rows, batch_size=_BATCH)
        record(
            actor,
            f"{wanted.direction}_file",
            wanted.path,
            id=wanted.pk,
            file=wanted.file_name,
            size=wanted.size,
            overwrite=wanted.overwrite,
            mode=wanted.mode,
            owner=wanted.owner,
            instances=names[:1000],
            count=len(names),
        )
        transaction.on_commit(lambda: bus.ring(bus.WORKER))
    return wanted
