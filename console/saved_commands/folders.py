"""Owns the library as files: what a folder or zip file of scripts would change, and doing that."""

import hashlib
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from console.saved_commands import services
from console.saved_commands.content import Content, Details, SavedCommandError
from console.saved_commands.files import SUFFIXES, Command, read_folder, write_folder
from console.saved_commands.models import SavedCommand

if TYPE_CHECKING:
    from console.members.models import User

STARTER = Path(__file__).parent / "starter"
MAX_ENTRIES, MAX_TOTAL_BYTES, MAX_ZIP_BYTES = 2000, 32 * 1024 * 1024, 2 * 1024 * 1024
# A header is a few lines; what it may add to a script of the greatest size.
_HEADER_BYTES = 256 * 1024
# A zip file of the same commands is the same file.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class Outcome(StrEnum):
    """What becomes of a command of a folder."""

    NEW = "new"
    VERSION = "new version"
    DESCRIBED = "description or tags"
    UNCHANGED = "unchanged"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Planned:
    """A command of a folder, and what becomes of it; ``saved`` is the one that is there."""

    command: Command
    outcome: Outcome
    error: str = ""
    saved: SavedCommand | None = None

    @property
    def name(self) -> str:
        """What it is called, or its files where they cannot be read."""
        return self.command.details.name or ", ".join(self.command.files)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder means for the library now. ``version`` differs when anything about that does."""

    commands: Sequence[Planned]
    version: str

    def count(self, *outcomes: Outcome) -> int:
        """Return how many come to one of these."""
        return sum(one.outcome in outcomes for one in self.commands)

    @property
    def to_do(self) -> int:
        """How many change the library."""
        return self.count(Outcome.NEW, Outcome.VERSION, Outcome.DESCRIBED)

    @property
    def told(self) -> str:
        """The counts in words."""
        counts = [(self.count(outcome), outcome) for outcome in Outcome]
        said = [f"{n} {one.value}{'s' if one is Outcome.ERROR and n > 1 else ''}" for n, one in counts if n]
        return ", ".join(said) or "nothing"


# ------------------------------------------------------------------ out


def exported(user: "User") -> dict[str, bytes]:
    """Return the files of everything the user may see that is not archived."""
    found = services.visible(user)
    return write_folder(
        (Details(one.name, one.description, one.tags, one.is_shared), Content.of(services.version_of(one)))
        for one in found
    )


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip file; the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


# ------------------------------------------------------------------ in


def unzipped(data: bytes) -> dict[str, bytes]:
    """Return the scripts of a zip file by path. Nothing is written; what is read of each is bounded.

    Raises: SavedCommandError for what is no zip file, too large, or holds a path that leads out of it.
    """
    if len(data) > MAX_ZIP_BYTES:
        raise SavedCommandError(f"The zip file is too large: at most {MAX_ZIP_BYTES:,} bytes are taken.", "file")
    files: dict[str, bytes] = {}
    left = MAX_TOTAL_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise SavedCommandError(f"The zip file has more than {MAX_ENTRIES:,} entries.", "file")
            for entry in entries:
                _refuse_path(entry)
                if entry.is_dir() or PurePosixPath(entry.filename).suffix.lower() not in SUFFIXES:
                    continue
                # What the entry says of its size is not believed.
                with archive.open(entry) as opened:
                    read = opened.read(min(left, _most_bytes()) + 1)
                left -= len(read)
                if left < 0:
                    raise SavedCommandError(f"The scripts come to more than {MAX_TOTAL_BYTES:,} bytes.", "file")
                if len(read) > _most_bytes():
                    raise SavedCommandError(f"{entry.filename[:100]} is too large for a script.", "file")
                files[entry.filename] = read
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        # RuntimeError is what an encrypted entry raises.
        raise SavedCommandError(f"The zip file cannot be read: {error}", "file") from None
    return files


def _refuse_path(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename or is_link:
        raise SavedCommandError(f"The zip file holds a path that leads out of it: {entry.filename[:100]}", "file")


def _most_bytes() -> int:
    return int(settings.MUSTER_SCRIPT_LIMIT_BYTES) + _HEADER_BYTES


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return the scripts of a folder, not of those in it, by name. Raises: OSError; SavedCommandError."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if len(paths) > MAX_ENTRIES:
        raise SavedCommandError(f"The folder has more than {MAX_ENTRIES:,} scripts.")
    files = {}
    for path in paths:
        with path.open("rb") as opened:
            files[path.name] = opened.read(_most_bytes() + 1)
    return files


def plan(user: "User", files: Mapping[str, bytes], *, check: Callable[[Content], str] = lambda content: "") -> Plan:
    """Say what these files mean for the library; nothing is saved. Side effects: two queries.

    ``check`` says what is wrong with what would be a new version, or nothing.
    """
    commands = read_folder(files)
    there = {one.name: one for one in SavedCommand.objects.select_related("latest")}
    names = list(services.seen(user).values_list("name", flat=True))
    planned = []
    for command in commands:
        one = _checked(_planned(user, command, there.get(command.details.name), names), check)
        if one.outcome == Outcome.NEW:
            names.append(one.name)
        planned.append(one)
    digest = hashlib.sha256()
    for one in planned:
        token = services.edit_token(one.saved) if one.saved else ""
        digest.update(repr((one.name, one.outcome, one.error, token)).encode())
    for name in sorted(files):
        digest.update(hashlib.sha256(files[name]).digest())
    return Plan(planned, digest.hexdigest())


def _planned(user: "User", command: Command, saved: SavedCommand | None, names: Sequence[str]) -> Planned:
    if command.error:
        return Planned(command, Outcome.ERROR, command.error)
    if saved is None:
        if other := services.same_but_for_capitals(names, command.details.name):
            return Planned(command, Outcome.ERROR, services.only_capitals_differ(other))
        return Planned(command, Outcome.NEW)
    if saved.archived_at or not (saved.is_shared or saved.owner_id == user.pk):
        taken = "The name is taken, by an archived saved command or a private one."
        return Planned(command, Outcome.ERROR, taken)
    if not command.content.is_same(Content.of(services.version_of(saved))):
        return Planned(command, Outcome.VERSION, saved=saved)
    is_same = (saved.description, saved.tags) == (command.details.description, list(command.details.tags))
    return Planned(command, Outcome.UNCHANGED if is_same else Outcome.DESCRIBED, saved=saved)


def _checked(planned: Planned, check: Callable[[Content], str]) -> Planned:
    why = check(planned.command.content) if planned.outcome in {Outcome.NEW, Outcome.VERSION} else ""
    return replace(planned, outcome=Outcome.ERROR, error=why) if why else planned


def apply(user: "User", planned: Plan, *, source: str) -> None:
    """Do what a plan says, all of it or nothing; files with an error are left out.

    Who sees a command that is there already stays as it is. ``source`` is the note of new versions.
    Raises: SavedCommandError, among them ChangedMeanwhile; NotAllowed.
    """
    with transaction.atomic():
        for one in planned.commands:
            details, content = one.command.details, one.command.content
            if one.outcome == Outcome.NEW:
                services.keep(user, details=details, content=content, note=source)
            elif one.outcome in {Outcome.VERSION, Outcome.DESCRIBED} and one.saved is not None:
                wanted = Details(details.name, details.description, details.tags, one.saved.is_shared)
                base = services.edit_token(one.saved)
                services.change(user, saved=one.saved, details=wanted, content=content, base=base, note=source)


def add_starter(user: "User") -> int:
    """Add the commands that Muster comes with, those whose names are free; return how many. Raises: NotAllowed."""
    found = plan(user, folder_files(STARTER))
    fresh = Plan([one for one in found.commands if one.outcome == Outcome.NEW], found.version)
    apply(user, fresh, source="From the starter library")
    return len(fresh.commands)
