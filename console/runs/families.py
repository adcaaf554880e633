"""Owns sending to several OS families at once: a run for each, made together or not at all, that know of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Concat

from console.members.models import User
from console.runs import services
from console.runs.models import CommandType, Run
from console.runs.prompts import Prompt
from console.runs.refusals import TAKES
from console.runs.services import Options, Origin, RunError
from instances.inventory.models import Instance

# The second run's request key is the first one's with this: a double click makes neither twice, and
# each finds the other.
_WINDOWS = "+windows"
# Where the fields of the Windows section are named otherwise than the first one's.
_FIELDS = {
    "command": "windows_command",
    "command_type": "windows_type",
    "interpreter": "windows_interpreter",
    "working_directory": "windows_directory",
}


@dataclass(frozen=True, slots=True)
class Part:
    """What is sent to the instances of one family."""

    instances: Sequence[Instance]
    command: str
    options: Options


def is_windows(os: str) -> bool:
    """Say whether an operating system takes Bat and PowerShell rather than Shell."""
    return CommandType.SHELL not in TAKES[os]


def family_of(instances: Sequence[Instance], *, windows: bool) -> list[Instance]:
    """Return the instances of one family, in their order."""
    return [instance for instance in instances if is_windows(instance.os) is windows]


def for_windows(initial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the start values of a form with a Bat or PowerShell command in those of its Windows section."""
    moved = {
        "windows_type": initial["command_type"],
        "windows_command": initial.get("command", ""),
        "windows_interpreter": initial.get("interpreter", ""),
        "windows_directory": initial.get("working_directory", ""),
    }
    emptied = dict.fromkeys(("command", "interpreter", "working_directory"), "")
    return {**initial, **emptied, **moved, "command_type": CommandType.SHELL}


def for_windows_alone(initial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the start values of a form with a text for each family in those of a form for Windows alone."""
    moved = {
        "command_type": initial["windows_type"],
        "command": initial["windows_command"],
        "interpreter": initial.get("windows_interpreter", ""),
        "working_directory": initial.get("windows_directory", ""),
    }
    # Only Shell takes these.
    emptied = dict.fromkeys(("run_as", "environment", "arguments", "windows_command"), "")
    return {**initial, **emptied, **moved}


def send_to_families(
    actor: User,
    *,
    posix: Part | None,
    windows: Part | None,
    request_key: str,
    prompt: Prompt | None = None,
    remember: bool = False,
    origin: Origin | None = None,
    confirmed_count: int | None = None,
) -> list[Run]:
    """Make a run for each family that is not left out, in one transaction.

    Repeating a ``request_key`` returns the runs already made. Nothing is sent when either is refused.
    ``prompt`` and ``remember`` are as for ``services.send_command``, and ``confirmed_count`` too: of all together.
    Raises: RunError, with the field of the Windows section where it is about that; NotAllowed.
    """
    parts = [(part, is_second) for part, is_second in ((posix, False), (windows, True)) if part and part.instances]
    if not parts:
        raise RunError("ids", "Every selected instance is left out: send to at least one.")
    if not any(part.options.is_dry_run for part, _ in parts):
        services.require_confirmed([one for part, _ in parts for one in part.instances], confirmed_count)
    runs: list[Run] = []
    with transaction.atomic():
        for part, is_second in parts:
            key = request_key[: 64 - len(_WINDOWS)] + _WINDOWS if runs else request_key
            try:
                if not part.command.strip():
                    raise RunError("command", "Enter a command, or leave these instances out.")
                options = part.options if is_second else replace(part.options, command_type=CommandType.SHELL)
                run = services.send_command(
                    actor,
                    instances=part.instances,
                    command=part.command,
                    request_key=key,
                    options=options,
                    prompt=prompt,
                    remember=remember,
                    origin=origin,
                    confirmed_count=len(part.instances),
                )
            except RunError as error:
                raise RunError(
                    _FIELDS.get(error.field, error.field) if is_second else error.field, str(error)
                ) from None
            runs.append(run)
    return runs


def to_show(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Return runs with what a page about one asks besides, so that it need not ask for each by itself."""
    second = Run.objects.filter(
        actor_id=OuterRef("actor_id"), request_key=Concat(OuterRef("request_key"), Value(_WINDOWS))
    )
    return runs.select_related("saved_version__saved").annotate(is_alone=~Exists(second))


def sent_with(user: User, run: Run) -> QuerySet[Run]:
    """Return the runs a user may see that were sent together with this one."""
    if getattr(run, "is_alone", False) and not run.request_key.endswith(_WINDOWS):
        return Run.objects.none()
    first = run.request_key.removesuffix(_WINDOWS)
    together = services.visible_runs(user).filter(actor_id=run.actor_id, request_key__in=[first, first + _WINDOWS])
    return together.exclude(pk=run.pk).order_by("pk")
