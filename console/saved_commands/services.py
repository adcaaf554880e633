"""Owns keeping commands to send again: who sees and changes which, and a version for every change of what is sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from console.saved_commands.content import (
    OPTIONS,
    SHELL,
    Content,
    Details,
    SavedCommandError,
    check_content,
    check_details,
)
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from instances.access.rules import Action, NotAllowed, allowed_anywhere, require_anywhere
from instances.audit.services import record

if TYPE_CHECKING:
    from console.members.models import User

MAX_NOTE = 200
# Fields of the Send Command form, and what they are called where they are about Windows.
_WINDOWS_FIELDS = (("interpreter", "windows_interpreter"), ("working_directory", "windows_directory"))


class ChangedMeanwhile(SavedCommandError):
    """Somebody else changed the saved command since the form was drawn; ``saved`` is how it is now."""

    def __init__(self, saved: SavedCommand) -> None:
        now = version_of(saved)
        super().__init__(
            f"{now.author_name or 'Somebody'} changed it meanwhile: it is at version {now.number} now. "
            "Nothing was saved."
        )
        self.saved = saved


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change: the version that is sent now, and whether it is a new one."""

    version: SavedCommandVersion
    is_new_version: bool


# ------------------------------------------------------------------ who sees what


def seen(user: "User") -> QuerySet[SavedCommand]:
    """Return the saved commands a user may see: shared ones and his own. Private ones are their owner's alone."""
    return SavedCommand.objects.filter(Q(is_shared=True) | Q(owner=user)).select_related("latest", "owner")


def visible(user: "User") -> QuerySet[SavedCommand]:
    """Return those that are offered to send: without the archived ones."""
    return seen(user).filter(archived_at=None)


def versions_visible_to(user: "User") -> QuerySet[SavedCommandVersion]:
    """Return every version of those."""
    return SavedCommandVersion.objects.filter(saved__in=visible(user)).select_related("saved")


def may_change(user: "User", saved: SavedCommand) -> bool:
    """Say whether a user may change a saved command: any shared one with the action, a private one if it is his."""
    is_open = saved.is_shared or saved.owner_id == user.pk
    return is_open and allowed_anywhere(user, Action.MANAGE_SAVED_COMMANDS)


def version_of(saved: SavedCommand) -> SavedCommandVersion:
    """Return the version that is sent. Raises: SavedCommandError for a row that lost it."""
    if saved.latest is None:
        raise SavedCommandError(f"{saved.name} has no version.")
    return saved.latest


# ------------------------------------------------------------------ keep and change


def keep(actor: "User", *, details: Details, content: Content, note: str = "") -> SavedCommand:
    """Keep a command under a new name; the actor owns it.

    Raises: SavedCommandError when the name is taken or something cannot be kept; NotAllowed.
    """
    require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
    check_details(details)
    check_content(content)
    _check_capitals(seen(actor), details.name)
    try:
        with transaction.atomic():
            kept = SavedCommand.objects.create(
                name=details.name,
                description=details.description,
                tags=list(details.tags),
                is_shared=details.is_shared,
                owner=actor,
            )
            _add_version(actor, kept, content, note)
            record(actor, "saved_command.keep", _subject(kept), is_shared=kept.is_shared)
    except IntegrityError:
        raise _taken(actor, details.name) from None
    return kept


def change(
    actor: "User", *, saved: SavedCommand, details: Details, content: Content, base: str, note: str = ""
) -> Change:
    """Change a saved command; what is sent gets a new version if it differs.

    1. ``base`` is the ``edit_token`` of what the actor looked at.
    2. A private one stays its owner's; only the owner makes a shared one private.
    Raises: ChangedMeanwhile; SavedCommandError; NotAllowed.
    """
    check_details(details)
    check_content(content)
    try:
        with transaction.atomic():
            saved = _locked(actor, saved)
            if edit_token(saved) != base:
                raise ChangedMeanwhile(saved)
            if saved.is_shared and not details.is_shared and saved.owner_id != actor.pk:
                raise SavedCommandError("Only its owner can make it private.", "is_shared")
            if details.name != saved.name or (details.is_shared and not saved.is_shared):
                _check_capitals(seen(actor).exclude(pk=saved.pk), details.name)
            changed = _set_details(saved, details)
            is_new = not content.is_same(Content.of(version_of(saved)))
            if changed:
                record(actor, "saved_command.describe", _subject(saved), changed=changed)
            if is_new:
                version = _add_version(actor, saved, content, note)
                record(actor, "saved_command.change", _subject(saved), version=version.number)
    except IntegrityError:
        raise _taken(actor, details.name) from None
    return Change(version_of(saved), is_new)


def add_version(actor: "User", *, base: SavedCommandVersion, content: Content, note: str = "") -> Change:
    """Keep what was made of a version as the next one of its saved command.

    Raises: ChangedMeanwhile when it is not the latest any more; SavedCommandError; NotAllowed.
    """
    check_content(content)
    with transaction.atomic():
        saved = _locked(actor, base.saved)
        if saved.archived_at:
            raise SavedCommandError(f"{saved.name} is archived.")
        if saved.latest_id != base.pk:
            raise ChangedMeanwhile(saved)
        is_new = not content.is_same(Content.of(version_of(saved)))
        if is_new:
            version = _add_version(actor, saved, content, note)
            record(actor, "saved_command.change", _subject(saved), version=version.number)
    return Change(version_of(saved), is_new)


def restore(actor: "User", *, saved: SavedCommand, number: int) -> Change:
    """Make what an older version says the newest one. Nothing happens if that is so already.

    Raises: SavedCommandError when there is no such version, or it could not be sent; NotAllowed.
    """
    with transaction.atomic():
        saved = _locked(actor, saved)
        version = saved.versions.filter(number=number).first()
        if version is None:
            raise SavedCommandError(f"There is no version {number}.")
        content = Content.of(version)
        check_content(content)
        is_new = not content.is_same(Content.of(version_of(saved)))
        if is_new:
            made = _add_version(actor, saved, content, f"As version {number}")
            record(actor, "saved_command.restore", _subject(saved), version=made.number, restored=number)
    return Change(version_of(saved), is_new)


def set_archived(actor: "User", *, saved: SavedCommand, archived: bool) -> None:
    """Put a saved command into the archive, or take it out; twice is once. Raises: NotAllowed."""
    with transaction.atomic():
        saved = _locked(actor, saved)
        if bool(saved.archived_at) == archived:
            return
        saved.archived_at = timezone.now() if archived else None
        saved.save(update_fields=["archived_at", "updated_at"])
        record(actor, "saved_command.archive" if archived else "saved_command.unarchive", _subject(saved))


def delete(actor: "User", *, saved: SavedCommand) -> None:
    """Remove a saved command that nothing was sent from.

    Raises: SavedCommandError when runs point at it: they say where they come from; NotAllowed.
    """
    with transaction.atomic():
        saved = _locked(actor, saved)
        if saved.versions.filter(runs__isnull=False).exists():
            raise SavedCommandError(f"Runs were made from {saved.name}, and say so: archive it instead.")
        record(actor, "saved_command.delete", _subject(saved))
        saved.delete()


def edit_token(saved: SavedCommand) -> str:
    """Return what changes whenever a saved command does; a form carries it."""
    return f"{version_of(saved).number}@{saved.updated_at.isoformat()}"


def same_but_for_capitals(names: Iterable[str], name: str) -> str:
    """Return the first of the names that differs from this one in capitals alone, or nothing.

    Folded here, because databases fold the letters of other alphabets differently or not at all.
    """
    folded = name.casefold()
    return next((one for one in names if one != name and one.casefold() == folded), "")


def only_capitals_differ(other: str) -> str:
    """Return why a name is refused for the sake of one that is there."""
    return f"There is {other} already, and a search does not tell names apart by their capitals."


def as_initial(version: SavedCommandVersion) -> dict[str, Any]:
    """Return the start values of the Send Command form that send a version.

    What is for Windows stands in the fields of the Windows section where there is a text for each side; a form for
    Windows alone has one set of fields.
    """
    options = {name: value for name, value in version.options.items() if name in OPTIONS}
    windows = {"windows_type": version.windows_type, "windows_command": version.windows_text}
    if not version.text:
        for name, windows_name in _WINDOWS_FIELDS:
            options[name] = options.pop(windows_name, "")
    return {
        **options,
        **(windows if version.text and version.windows_text else {}),
        "command": version.first_text,
        "command_type": version.command_type,
        "saved_version": version.pk,
    }


def content_of(command_type: str, text: str, options: Mapping[str, Any]) -> Content:
    """Return what one command sends: the reverse of ``as_initial``."""
    if command_type == SHELL:
        return Content(text=text, options={**options, "windows_interpreter": "", "windows_directory": ""})
    moved = {windows_name: options.get(name, "") for name, windows_name in _WINDOWS_FIELDS}
    emptied = {name: "" for name, _ in _WINDOWS_FIELDS}
    return Content(windows_type=command_type, windows_text=text, options={**options, **emptied, **moved})


# ------------------------------------------------------------------ what they share


def _locked(actor: "User", saved: SavedCommand) -> SavedCommand:
    saved = SavedCommand.objects.select_for_update(of=("self",)).select_related("latest").get(pk=saved.pk)
    if not may_change(actor, saved):
        raise NotAllowed(Action.MANAGE_SAVED_COMMANDS)
    return saved


def _add_version(actor: "User", saved: SavedCommand, content: Content, note: str) -> SavedCommandVersion:
    saved.latest = SavedCommandVersion.objects.create(
        saved=saved,
        number=(saved.latest.number if saved.latest else 0) + 1,
        note=note[:MAX_NOTE],
        author_name=actor.get_username(),
        **content.as_fields(),
    )
    saved.save(update_fields=["latest", "updated_at"])
    return saved.latest


def _set_details(saved: SavedCommand, details: Details) -> list[str]:
    """Write what differs; return the names of it."""
    wanted = {
        "name": details.name,
        "description": details.description,
        "tags": list(details.tags),
        "is_shared": details.is_shared,
    }
    changed = [name for name, value in wanted.items() if getattr(saved, name) != value]
    if changed:
        for name in changed:
            setattr(saved, name, wanted[name])
        saved.save(update_fields=[*changed, "updated_at"])
    return changed


def _subject(saved: SavedCommand) -> str:
    # The audit is read by more people than a private command.
    return f"saved command {saved.name}" if saved.is_shared else f"private saved command {saved.pk}"


def _check_capitals(others: QuerySet[SavedCommand], name: str) -> None:
    if other := same_but_for_capitals(others.values_list("name", flat=True), name):
        raise SavedCommandError(only_capitals_differ(other))


def _taken(user: "User", name: str) -> SavedCommandError:
    if visible(user).filter(name=name).exists():
        return SavedCommandError(f"There is a saved command named {name} already.")
    return SavedCommandError(f"The name {name} is taken, by an archived saved command or a private one.")
