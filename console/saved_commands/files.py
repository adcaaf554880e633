"""Owns saved commands as plain script files: the header at the top of each, and what stands in a folder of them.

A command is one file, or two with the same stem where it has a text for Windows as well. The first one (Shell, if there
is one) holds the whole header, the other one points at it. What follows the header is the text, byte for byte; a first
line that begins with ``#!`` stays the first line of the file.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from console.saved_commands.content import (
    SHELL,
    Content,
    Details,
    SavedCommandError,
    check_content,
    check_details,
    parse_tags,
)

SUFFIXES = {".sh": SHELL, ".ps1": "powershell", ".bat": "bat", ".cmd": "bat"}
_SUFFIX_OF = {SHELL: ".sh", "powershell": ".ps1", "bat": ".bat"}
_COMMENT = {SHELL: "# ", "powershell": "# ", "bat": ":: "}
_MARK, _END = "muster: ", "muster: end"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Script:
    """A file read: its header by key (in ``header``) and the text under it. ``has_header`` tells a bare script."""

    command_type: str
    header: Mapping[str, str]
    text: str
    has_header: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A saved command as its files say it: ``error`` instead, where they cannot be read."""

    files: Sequence[str]
    details: Details = field(default_factory=lambda: Details(""))
    content: Content = field(default_factory=Content)
    error: str = ""


# ------------------------------------------------------------------ writing


def write_folder(commands: Iterable[tuple[Details, Content]]) -> dict[str, bytes]:
    """Return file names and what is in them, in the order of the commands' names."""
    files: dict[str, bytes] = {}
    taken: set[str] = set()
    for details, content in sorted(commands, key=lambda one: one[0].name):
        stem = _free_stem(details.name, taken)
        taken.add(stem)
        files |= {name: text.encode() for name, text in _write(stem, details, content)}
    return files


def _write(stem: str, details: Details, content: Content) -> Iterator[tuple[str, str]]:
    header = _header(details, content)
    if content.text:
        yield stem + ".sh", _with_header(SHELL, header, content.text)
        header = [f"twin: {stem}.sh"]
    if content.windows_text:
        kind = content.windows_type
        yield stem + _SUFFIX_OF[kind], _with_header(kind, header, content.windows_text)


def _header(details: Details, content: Content) -> list[str]:
    fields = content.as_fields()
    lines = [f"name: {_value(details.name)}"]
    if details.description:
        lines.append(f"description: {_value(details.description)}")
    if details.tags:
        lines.append(f"tags: {' '.join(details.tags)}")
    if not details.is_shared:
        lines.append("shared: no")
    lines += [f"option {name}: {_value(value)}" for name, value in fields["options"].items()]
    if fields["parameters"]:
        lines.append(f"parameters: {_json(fields['parameters'])}")
    return lines


def _with_header(kind: str, lines: Sequence[str], text: str) -> str:
    block = "".join(f"{_COMMENT[kind]}{_MARK}{line}\n" for line in lines) + f"{_COMMENT[kind]}{_END}\n"
    first, sign, rest = text.partition("\n")
    if kind != "bat" and first.startswith("#!") and sign:
        return first + sign + block + rest
    return block + text


def _value(value: object) -> str:
    """Return a value as a line holds it: plain where that reads back as the same, else JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value == value.strip() and not _is_json(value):
        return value
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def _free_stem(name: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "command"
    number, wanted = 1, stem
    while wanted in taken:
        number += 1
        wanted = f"{stem}-{number}"
    return wanted


# ------------------------------------------------------------------ reading


def read_folder(files: Mapping[str, bytes]) -> list[Command]:
    """Return the commands of files by name, each with its twin, sorted; files of other kinds are passed over."""
    stems: dict[str, list[str]] = {}
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            stems.setdefault(str(path.with_suffix("")), []).append(name)
    commands = [_read(names, files) for names in stems.values()]
    counts: dict[str, int] = {}
    for command in commands:
        counts[command.details.name] = counts.get(command.details.name, 0) + 1
    return [
        Command(one.files, one.details, error=f"Several files say they are {one.details.name}.")
        if not one.error and counts[one.details.name] > 1
        else one
        for one in commands
    ]


def _read(names: Sequence[str], files: Mapping[str, bytes]) -> Command:
    try:
        scripts = [read_script(name, files[name]) for name in names]
        return _joined(names, scripts)
    except SavedCommandError as error:
        return Command(names, error=str(error))


def _joined(names: Sequence[str], scripts: Sequence[Script]) -> Command:
    shells = [one for one in scripts if one.command_type == SHELL]
    windows = [one for one in scripts if one.command_type != SHELL]
    if len(shells) > 1 or len(windows) > 1:
        raise SavedCommandError("A command has one file for Shell and one for Windows.")
    main, *others = [*shells, *windows]
    for other in others:
        if set(other.header) - {"twin"}:
            raise SavedCommandError(f"The header belongs into {names[scripts.index(main)]} alone.")
    if "twin" in main.header:
        raise SavedCommandError(f"The file it is a twin of is missing: {main.header['twin'][:100]}.")
    details, options, parameters = _facts(main, PurePosixPath(names[0]).stem)
    content = Content(
        text=shells[0].text if shells else "",
        windows_type=windows[0].command_type if windows else "",
        windows_text=windows[0].text if windows else "",
        options=options,
        parameters=parameters,
    )
    check_details(details)
    check_content(content)
    return Command(names, details, content)


def _facts(main: Script, stem: str) -> tuple[Details, dict[str, Any], list[Any]]:
    header = dict(main.header)
    name = _text(header.pop("name", stem))
    description, tags = _text(header.pop("description", "")), parse_tags(header.pop("tags", ""))
    shared = header.pop("shared", "yes")
    if shared not in {"yes", "no"}:
        raise SavedCommandError("shared is yes or no.")
    parameters = _loaded(header.pop("parameters", "[]"))
    options = {
        key.removeprefix("option "): _loaded(value) for key, value in header.items() if key.startswith("option ")
    }
    for key in header:
        if not key.startswith("option "):
            raise SavedCommandError(f"The header has a line that means nothing here: {key[:60]}.")
    if not isinstance(parameters, list):
        raise SavedCommandError("parameters is a JSON list on one line.")
    return Details(name, description, tags, shared == "yes"), options, parameters


def read_script(name: str, data: bytes) -> Script:
    """Return a script file's header and text. Raises: SavedCommandError."""
    kind = SUFFIXES[PurePosixPath(name).suffix.lower()]
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise SavedCommandError("This is not UTF-8 text.") from None
    comment = _COMMENT[kind].strip()
    # An editor may have put a mark in front; under a header it would be part of the text.
    bare = whole.removeprefix(_BOM)
    first, rest = "", bare
    if kind != "bat" and bare.startswith("#!"):
        first, sign, rest = bare.partition("\n")
        first += sign
    lines = rest.split("\n")
    if _said(lines[0], comment) is None:
        return Script(kind, {}, bare, has_header=False)
    header: dict[str, str] = {}
    for at, line in enumerate(lines):
        said = _said(line, comment)
        if said == "end":
            return Script(kind, header, first + "\n".join(lines[at + 1 :]))
        if said is None:
            raise SavedCommandError(f"The header has no end: a line {comment} {_END} is missing.")
        key, sign, value = said.partition(":")
        if not sign or key.strip() in header:
            raise SavedCommandError(f"Line {at + 1 + bool(first)} of the header is not understood: {said[:60]}.")
        header[key.strip()] = value.strip()
    raise SavedCommandError(f"The header has no end: a line {comment} {_END} is missing.")


def _said(line: str, comment: str) -> str | None:
    """Return what a header line says, None for any other line."""
    line = line.removesuffix("\r")
    if not line.startswith(comment):
        return None
    inner = line[len(comment) :].strip(" \t")
    return inner[len(_MARK) :].strip() if inner.startswith(_MARK) else None


def _loaded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
    except RecursionError:
        raise SavedCommandError("The header holds JSON that is too deep.") from None


def _text(value: str) -> str:
    loaded = _loaded(value) if value.startswith('"') else value
    return loaded if isinstance(loaded, str) else value
