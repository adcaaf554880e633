"""Owns what the Send Command dialog shows of a selection: how many instances, their names, who would be skipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.members.models import User
from console.runs import services
from console.runs.choice import matching_instances, parse_ids
from console.runs.families import is_windows
from console.runs.models import CommandType
from instances.access.rules import Action, scope
from instances.credentials.services import without_credential
from instances.inventory.models import Instance

# Of 10,000 names nobody reads more; the number says the rest.
NAMES_SHOWN = 50
LACKING_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Targets:
    """A selection in numbers, with the first names and the first of those that would be skipped, each with why.

    ``lacking``: those without a credential, which are asked for; ``needs_user_name``: not all of them name a user.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    # Of these, Linux and macOS on one side, Windows on the other.
    posix: int = 0
    windows: int = 0
    skipped_count: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    lacking_count: int = 0
    lacking: tuple[str, ...] = ()
    needs_user_name: bool = False

    @property
    def is_mixed(self) -> bool:
        """Whether they need a command per OS family."""
        return bool(self.posix and self.windows)

    @property
    def command_type(self) -> str:
        """The command type to begin with."""
        return CommandType.POWERSHELL if self.windows and not self.posix else CommandType.SHELL

    @property
    def more(self) -> int:
        """How many names are not shown."""
        return self.count - len(self.names)

    @property
    def skipped_more(self) -> int:
        """How many of the skipped ones are not shown."""
        return self.skipped_count - len(self.skipped)


def targets_of(user: User, data: Mapping[str, Any], command_type: str) -> Targets:
    """Return what a form's ``ids``, or its ``query`` with ``by_query``, come to for a command of this type.

    A mixed selection gets a command per OS family, so its type skips nobody. Without a type it is the family's own.
    Side effects: four queries for a selection by filter, one per 5,000 and two for ids.
    """
    rows = _rows(user, data)
    windows = sum(is_windows(row.os) for row in rows)
    is_any = command_type not in CommandType.values or 0 < windows < len(rows)
    skipped = services.would_skip(rows, None if is_any else command_type)
    lacking = without_credential(row for row in rows if not row.is_disabled)
    return Targets(
        posix=len(rows) - windows,
        windows=windows,
        count=len(rows),
        names=tuple(row.name for row in rows[:NAMES_SHOWN]),
        skipped_count=len(skipped),
        skipped=tuple(skipped[:NAMES_SHOWN]),
        lacking_count=len(lacking),
        lacking=tuple(row.name for row in lacking[:LACKING_SHOWN]),
        needs_user_name=any(not row.user_name for row in lacking),
    )


def _rows(user: User, data: Mapping[str, Any]) -> list[Any]:
    # Named tuples of what is shown: 10,000 whole instances would take the server ten times as long.
    fields = ("name", "os", "is_disabled", "is_local", "user_name", "credential_id", "group_id")
    if data.get("by_query"):
        return list(matching_instances(user, data).values_list(*fields, named=True))
    wanted = parse_ids(data.get("ids") or "")
    found: dict[int, Any] = {}
    for start in range(0, len(wanted), 5000):
        part = Instance.objects.filter(scope(user, Action.VIEW), pk__in=wanted[start : start + 5000])
        found |= {row.pk: row for row in part.values_list("pk", *fields, named=True)}
    return [found[pk] for pk in wanted if pk in found]
