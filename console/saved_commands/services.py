"""Owns keeping commands to send again."""

from typing import TYPE_CHECKING, Protocol

from django.db import IntegrityError, transaction

from console.saved_commands.models import SavedCommand
from instances.access.rules import Action, require_anywhere
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User


class SavedCommandError(Exception):
    """The command cannot be kept like this."""


class Sent(Protocol):
    """What is needed of a run."""

    command: str
    command_type: str


def keep(actor: "User", *, name: str, text: str, command_type: str) -> SavedCommand:
    """Keep a command under a new name.

    Raises: SavedCommandError when the name is taken; NotAllowed.
    """
    require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
    try:
        with transaction.atomic():
            kept = SavedCommand.objects.create(name=name.strip(), text=text, command_type=command_type, owner=actor)
            record(actor, "saved_command.keep", f"saved command {kept.name}")
    except IntegrityError as error:
        raise SavedCommandError(f"There is a saved command named {name.strip()} already.") from error
    return kept


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
