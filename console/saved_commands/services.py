"""Owns keeping commands to send again."""

from typing import TYPE_CHECKING, Any, Protocol

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from console.saved_commands.models import SavedCommand, SavedCommandVersion
from instances.access.rules import Action, require_anywhere
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User

SHELL = "shell"


class SavedCommandError(Exception):
    """The command cannot be kept like this."""


class Sent(Protocol):
    """What is needed of a run."""

    command: str
    command_type: str


def visible(user: "User") -> QuerySet[SavedCommand]:
    """Return the saved commands a user may see and send: shared ones and his own, without those archived."""
    mine = Q(is_shared=True) | Q(owner=user)
    return SavedCommand.objects.filter(mine, archived_at=None).select_related("latest", "owner")


def versions_visible_to(user: "User") -> QuerySet[SavedCommandVersion]:
    """Return every version of those."""
    return SavedCommandVersion.objects.filter(saved__in=visible(user)).select_related("saved")


def keep(actor: "User", *, name: str, text: str, command_type: str) -> SavedCommand:
    """Keep a command under a new name.

    Raises: SavedCommandError when the name is taken; NotAllowed.
    """
    require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
    try:
        with transaction.atomic():
            kept = SavedCommand.objects.create(name=name.strip(), owner=actor)
            _add_version(actor, kept, text, command_type)
            record(actor, "saved_command.keep", f"saved command {kept.name}")
    except IntegrityError as error:
        raise SavedCommandError(f"There is a saved command named {name.strip()} already.") from error
    return kept


def _add_version(actor: "User", kept: SavedCommand, text: str, command_type: str) -> None:
    is_shell = command_type == SHELL
    kept.latest = SavedCommandVersion.objects.create(
        saved=kept,
        number=(kept.latest.number if kept.latest else 0) + 1,
        text=text if is_shell else "",
        windows_type="" if is_shell else command_type,
        windows_text="" if is_shell else text,
        author_name=actor.get_username(),
    )
    kept.save(update_fields=["latest", "updated_at"])


def as_initial(version: SavedCommandVersion) -> dict[str, Any]:
    """Return the start values of the Send Command form that send a version."""
    windows = {"windows_type": version.windows_type, "windows_command": version.windows_text}
    return {
        **version.options,
        **(windows if version.text and version.windows_text else {}),
        "command": version.first_text,
        "command_type": version.command_type,
        "saved_version": version.pk,
    }


def check_name(name: str) -> None:
    """Raise SavedCommandError when a command cannot be kept under this name; asked before anything is sent."""
    if name.strip() and SavedCommand.objects.filter(name=name.strip()).exists():
        raise SavedCommandError(f"There is a saved command named {name.strip()} already.")


def keep_after_send(actor: "User", *, run: Sent, name: str) -> SavedCommand | None:
    """Keep what was just sent, if a name was given.

    The command has been sent by then: a name taken in the same moment is passed over rather than told as an error.
    """
    if not name.strip():
        return None
    try:
        return keep(actor, name=name, text=run.command, command_type=run.command_type)
    except SavedCommandError:
        return None


def delete(actor: "User", *, saved: SavedCommand) -> None:
    """Remove a saved command; runs made from it keep their text. Raises: NotAllowed."""
    require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
    with transaction.atomic():
        record(actor, "saved_command.delete", f"saved command {saved.name}")
        saved.delete()
