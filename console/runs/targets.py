"""Owns what the Send Command dialog shows of a choice: how many instances, which, who is skipped, what differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.members.models import User
from console.runs import refusals
from console.runs.choice import Choice, look_up, matching_instances
from console.runs.choice_fields import ADDRESS, NAMES, SELECTION, choice_in, field_for, nothing_chosen, way_of
from console.runs.confirmation import Confirmation, confirmation_for
from console.runs.families import is_windows
from console.runs.models import CommandType
from console.runs.names import fold_names
from console.runs.number_sets import fold
from console.runs.pasted import NamesRefused
from console.runs.previous import Difference, difference_from_previous
from console.runs.services import RunError
from instances.access.rules import Action, scope
from instances.credentials.services import without_credential
from instances.inventory.models import Instance

# A page of them; the number says how many there are in all.
NAMES_SHOWN = 50
LACKING_SHOWN = 5
_FIELDS = ("pk", "name", "os", "is_disabled", "is_local", "user_name", "credential_id", "group_id")


@dataclass(frozen=True, slots=True)
class Targets:
    """A choice in numbers, with a page of its names and the first of those that would be skipped, each with why.

    ``lacking``: those without a credential, which are asked for; ``needs_user_name``: not all of them name a user.
    ``shown`` is the whole set as a form carries it. ``error`` says why the choice comes to nothing that can be sent;
    ``refused`` are names that could be left out, and ``left_out`` those that are.
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
    shown: str = ""
    sentence: str = ""
    folded: str = ""
    # Of those that hold ``find`` in their name.
    page: int = 1
    pages: int = 1
    find: str = ""
    error: str = ""
    error_field: str = ""
    refused: NamesRefused | None = None
    left_out: tuple[str, ...] = ()
    may_undo: bool = False
    confirmation: Confirmation | None = None
    difference: Difference | None = field(default=None)

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

    @property
    def left_out_text(self) -> str:
        """The names that are left out, one on a line, as a form carries them."""
        return "\n".join(self.left_out)


def targets_of(user: User, data: Mapping[str, Any], command_type: str) -> Targets:
    """Return what a form's choice comes to for a command of this type.

    A mixed selection gets a command per OS family, so its type skips nobody. Without a type it is the family's own.
    ``list_page`` and ``list_find`` in it say which of the names are shown.
    Side effects: six queries for a selection by filter, one per 5,000 and four for others.
    """
    if way_of(data) == ADDRESS:
        return Targets()
    try:
        choice = choice_in(data)
        rows, left_out = _rows(user, choice)
        if not rows and way_of(data) != SELECTION:
            raise nothing_chosen(data)
    except NamesRefused as refused:
        return Targets(error=str(refused), error_field="names", refused=refused)
    except RunError as error:
        return Targets(error=str(error), error_field=field_for(error, data))
    windows = sum(is_windows(row.os) for row in rows)
    is_any = command_type not in CommandType.values or 0 < windows < len(rows)
    skipped = refusals.would_skip(rows, None if is_any else command_type)
    lacking = without_credential(row for row in rows if not row.is_disabled)
    find = str(data.get("list_find") or "").strip()[:80]
    listed = [row.name for row in rows if find.lower() in row.name.lower()]
    pages = max(1, -(-len(listed) // NAMES_SHOWN))
    page = min(_page_number(data), pages)
    is_selection = way_of(data) == SELECTION
    return Targets(
        posix=len(rows) - windows,
        windows=windows,
        count=len(rows),
        names=tuple(listed[(page - 1) * NAMES_SHOWN : page * NAMES_SHOWN]),
        skipped_count=len(skipped),
        skipped=tuple(skipped[:NAMES_SHOWN]),
        lacking_count=len(lacking),
        lacking=tuple(row.name for row in lacking[:LACKING_SHOWN]),
        needs_user_name=any(not row.user_name for row in lacking),
        shown=fold(row.pk for row in rows),
        sentence="" if is_selection and not choice.by_query else choice.sentence(),
        folded=fold_names(row.name for row in rows) if way_of(data) == NAMES else "",
        page=page,
        pages=pages,
        find=find,
        left_out=left_out,
        may_undo=bool(choice.names),
        confirmation=confirmation_for([row for row in rows if not _is_left_out(row, data)]),
        difference=difference_from_previous(user, data.get("saved_version"), {row.pk: row.name for row in rows}),
    )


def _rows(user: User, choice: Choice) -> tuple[list[Any], tuple[str, ...]]:
    # Named tuples of what is shown: 10,000 whole instances would take the server ten times as long.
    if choice.by_query:
        return list(matching_instances(user, choice.as_json()).values_list(*_FIELDS, named=True)), ()
    wanted, left_out = look_up(user, choice)
    found: dict[int, Any] = {}
    for start in range(0, len(wanted), 5000):
        part = Instance.objects.filter(scope(user, Action.VIEW), pk__in=wanted[start : start + 5000])
        found |= {row.pk: row for row in part.values_list(*_FIELDS, named=True)}
    return [found[pk] for pk in wanted if pk in found], left_out


def _is_left_out(row: Any, data: Mapping[str, Any]) -> bool:
    return bool(data.get("leave_out_windows" if is_windows(row.os) else "leave_out_posix"))


def _page_number(data: Mapping[str, Any]) -> int:
    text = str(data.get("list_page") or "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1
