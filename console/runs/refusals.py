"""Owns which instances of a choice a command is not sent to, and why."""

from collections.abc import Callable, Iterable
from typing import Protocol

from console.members.models import User
from console.runs.in_sessions import session_refusal
from console.runs.models import CommandType
from console.sessions.models import Session
from instances.access import rules
from instances.access.rules import Action
from instances.inventory.models import OS, Instance

# Which command types an instance of an operating system takes.
TAKES: dict[str, frozenset[str]] = {
    OS.LINUX: frozenset({CommandType.SHELL}),
    OS.MACOS: frozenset({CommandType.SHELL}),
    OS.WINDOWS: frozenset({CommandType.BAT, CommandType.POWERSHELL}),
}


def refusal_by(actor: User, command_type: str) -> Callable[[Instance | Session], tuple[str, str] | None]:
    """Return a function that says why an instance or a session is skipped; permissions are asked once per group."""
    may: dict[int | None, bool] = {}

    def refusal(target: Instance | Session) -> tuple[str, str] | None:
        if isinstance(target, Session):
            return session_refusal(actor, target, command_type)
        instance = target
        if instance.group_id not in may:
            may[instance.group_id] = rules.allowed(actor, Action.SEND_COMMAND, instance.group)
        if not may[instance.group_id]:
            return "not_permitted", "You may not send commands to this instance. The command did not run."
        if instance.is_disabled:
            return "instance_disabled", "The instance is disabled. The command did not run."
        return os_mismatch(command_type, instance)

    return refusal


def os_mismatch(command_type: str, instance: Instance) -> tuple[str, str] | None:
    """Return the reason and message if a command of this type must not reach the instance: it is of another family."""
    if command_type in TAKES[instance.os]:
        return None
    label = CommandType(command_type).label
    return "os_mismatch", f"{label} does not run on {instance.get_os_display()}. The command did not run."


class Skippable(Protocol):
    """What decides whether an instance is skipped, besides permissions."""

    name: str
    os: str
    is_disabled: bool


def would_skip(instances: Iterable[Skippable], command_type: str | None) -> list[tuple[str, str]]:
    """Return (name, why) of the instances that a command of this type would skip; for the dialog.

    None: each family gets a command of its own.
    """
    why_of = {
        os: f"{CommandType(command_type).label} does not run on {os.label}"
        for os in OS
        if command_type is not None and command_type not in TAKES[os]
    }
    return [
        (instance.name, "disabled" if instance.is_disabled else why_of[OS(instance.os)])
        for instance in instances
        if instance.is_disabled or instance.os in why_of
    ]
