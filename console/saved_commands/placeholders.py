"""Owns ``{{name}}`` in the text of a saved command: finding it, and putting a variable in its place, never a value.

A backslash before it (``\\{{name}}``) makes it text. Anything else between braces, such as ``{{.Names}}``, is none.
"""

import re
from collections.abc import Callable, Collection

from console.saved_commands.places import Misplaced, Place, Slots, variable_of
from console.saved_commands.shell_places import find_places
from console.saved_commands.windows_places import find_bat_places, find_powershell_places

SHELL, BAT, POWERSHELL = "shell", "bat", "powershell"
MOST = 1000
ATTRIBUTES = ("name", "address", "port", "os", "group")
_PLACEHOLDER = re.compile(r"(\\?)\{\{[ \t]*(instance\.[A-Za-z0-9_./-]+|[A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*\}\}")
_TAG = re.compile(r"instance\.tags\.[a-z_][a-z0-9_./-]{0,39}")

_FINDERS: dict[str, Callable[[Slots], None]] = {
    SHELL: find_places,
    BAT: find_bat_places,
    POWERSHELL: find_powershell_places,
}
_SHELL_FORMS = {
    Place.BARE: '"${%s}"',
    Place.DOUBLE: "${%s}",
    Place.SINGLE: "'\"${%s}\"'",
    Place.DOCUMENT: "${%s}",
    # Of its own, or 5-{{x}} would come to 5--3.
    Place.ARITHMETIC: "(${%s})",
}
_FORMS = {
    SHELL: _SHELL_FORMS,
    BAT: {Place.BARE: "%%%s%%"},
    POWERSHELL: {Place.BARE: "${env:%s}", Place.DOUBLE: "${env:%s}"},
}


class PlaceholderError(ValueError):
    """The placeholders of a text cannot be sent. The message says which, and why."""


def names_in(text: str) -> list[str]:
    """Return the names of the placeholders in a text, each once, in order."""
    return list(dict.fromkeys(found[2] for found in _PLACEHOLDER.finditer(text) if not found[1]))


def as_text(text: str) -> str:
    """Return a saved command's text that sends this one as it is, whatever stands between braces."""
    return _PLACEHOLDER.sub(lambda found: "\\" + found[0], text)


def is_attribute(name: str) -> bool:
    """Say whether a name is one of an instance's own: ``instance.name``, ``instance.tags.env``."""
    return bool(_TAG.fullmatch(name)) or name in {f"instance.{attribute}" for attribute in ATTRIBUTES}


def check_names(text: str, declared: Collection[str]) -> None:
    """Refuse names that mean nothing here, or two that would be one variable. Raises: PlaceholderError."""
    variables: dict[str, str] = {}
    names = names_in(text)
    _check_declared([name for name in names if not name.startswith("instance.") and name not in declared])
    for name in names:
        if name.startswith("instance.") and not is_attribute(name):
            known = ", ".join(f"instance.{attribute}" for attribute in ATTRIBUTES)
            raise PlaceholderError(f"{{{{{name}}}}} is nothing that an instance has: {known}, instance.tags.KEY.")
        other = variables.setdefault(variable_of(name), name)
        if other != name:
            raise PlaceholderError(f"{{{{{other}}}}} and {{{{{name}}}}} would be one variable: use one of them.")


def _check_declared(missing: list[str]) -> None:
    """Refuse names that are not declared: all at once, so that they are declared at once."""
    if missing:
        told = ", ".join(f"{{{{{name}}}}}" for name in missing)
        are = "is not declared as a parameter" if len(missing) == 1 else "are not declared as parameters"
        raise PlaceholderError(f"{told} {are}. To send it as it is, write \\{{{{{missing[0]}}}}}.")


def written(text: str, command_type: str, numbers: Collection[str] = (), *, is_shell: bool = True) -> str:
    """Return the text as it is sent: with variables for its placeholders.

    ``numbers`` are the names whose values are numbers. ``is_shell`` says that a Shell text is for a POSIX shell.
    Raises: PlaceholderError for a placeholder where no variable can be written.
    """
    slots = _slots(text, numbers)
    if not slots.ends:
        return slots.text
    if len(slots.ends) > MOST:
        raise PlaceholderError(f"At most {MOST:,} placeholders are taken in a text.")
    if command_type == SHELL and not is_shell:
        name = next(iter(slots.names.values()))
        raise PlaceholderError(
            f"{{{{{name}}}}} can only stand in a script for a POSIX shell. In another language read the variable: "
            f'{variable_of(name)}, in Python os.environ["{variable_of(name)}"].'
        )
    try:
        _FINDERS[command_type](slots)
    except Misplaced as error:
        raise PlaceholderError(str(error)) from None
    forms, done = _FORMS[command_type], 0
    parts: list[str] = []
    for start, end in slots.ends.items():
        parts.append(slots.text[done:start])
        form = forms.get(slots.places[start])
        parts.append(form % variable_of(slots.names[start]) if form else slots.text[start:end])
        done = end
    return "".join(parts) + slots.text[done:]


def _slots(text: str, numbers: Collection[str]) -> Slots:
    """Return the text without the backslashes of what is no placeholder, and where in it the placeholders are."""
    slots = Slots("", {}, {})
    parts: list[str] = []
    length = done = 0
    held = set()
    for found in _PLACEHOLDER.finditer(text):
        before = text[done : found.start()]
        parts += before, found[0][len(found[1]) :]
        start = length + len(before)
        length = start + len(parts[-1])
        done = found.end()
        if not found[1]:
            slots.ends[start], slots.names[start] = length, found[2]
            if found[2] in numbers:
                held.add(start)
    slots.text, slots.numbers = "".join(parts) + text[done:], frozenset(held)
    return slots
