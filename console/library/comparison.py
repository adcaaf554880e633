"""Owns what differs between two versions of a saved command, line by line."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.saved_commands.content import OPTIONS, Content

CONTEXT_LINES = 3
# difflib takes seconds beyond, and nobody reads it.
MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a difference: ``kind`` is same, removed, added or hole; numbers are places in either text, or empty.

    ``end`` says what is not visible of its end: CR LF, or none at all.
    """

    kind: str
    old: int | str
    new: int | str
    text: str
    end: str = ""

    @property
    def sign(self) -> str:
        """The sign that tells the kinds apart without colour."""
        return {"removed": "-", "added": "+", "hole": "…"}.get(self.kind, " ")


@dataclass(frozen=True, slots=True)
class Part:
    """What differs in one text; ``is_too_long`` when it was not looked at line by line."""

    title: str
    lines: Sequence[Line] = ()
    is_too_long: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """An option that differs, as text; empty where it is not set."""

    name: str
    old: str
    new: str


def parts(old: Content, new: Content) -> list[Part]:
    """Return the texts that differ."""
    windows = "Windows" if old.windows_type == new.windows_type else f"Windows ({new.windows_type or old.windows_type})"
    texts = (("Shell", old.text, new.text), (windows, old.windows_text, new.windows_text))
    return [_part(title, before, after) for title, before, after in texts if before != after]


def settings(old: Content, new: Content) -> list[Setting]:
    """Return the options, the Windows type and the parameters that differ."""
    before, after = _flat(old), _flat(new)
    names = dict.fromkeys((*before, *after))
    return [
        Setting(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(content: Content) -> dict[str, str]:
    fields = content.as_fields()
    options: Mapping[str, Any] = fields["options"]
    named = {OPTIONS[name]: str(value) for name, value in options.items()}
    if fields["windows_type"]:
        named["Windows type"] = fields["windows_type"]
    for parameter in fields["parameters"]:
        said = ", ".join(f"{key}: {value}" for key, value in parameter.items() if key != "name")
        named[f"Parameter {parameter.get('name', '')}"] = said
    return named


def _part(title: str, old: str, new: str) -> Part:
    before, after = _lines(old), _lines(new)
    if len(before) + len(after) > MAX_LINES:
        return Part(title, is_too_long=True)
    return Part(title, list(_compared(before, after)))


def _lines(text: str) -> list[str]:
    """Split at line feeds alone: other line ends are content."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _compared(before: list[str], after: list[str]) -> Iterator[Line]:
    last = 0
    for group in difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT_LINES):
        if group[0][1] > last:
            yield _hole(group[0][1] - last)
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                for at in range(old_to - old_from):
                    yield _line("same", old_from + at + 1, new_from + at + 1, before[old_from + at])
                continue
            for at in range(old_from, old_to):
                yield _line("removed", at + 1, "", before[at])
            for at in range(new_from, new_to):
                yield _line("added", "", at + 1, after[at])
        last = group[-1][2]
    if len(before) > last:
        yield _hole(len(before) - last)


def _hole(count: int) -> Line:
    return Line("hole", "", "", f"{count} line{'' if count == 1 else 's'} as before")


def _line(kind: str, old: int | str, new: int | str, text: str) -> Line:
    end = "CR LF" if text.endswith("\r\n") else "" if text.endswith("\n") else "no line end"
    return Line(kind, old, new, text.rstrip("\r\n"), end)
