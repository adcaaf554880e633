"""Owns the variables and arguments of a run: how they are written in a form, and which can be sent.

In a form each is a line: ``NAME=value``, or an argument as it is. A value that a line cannot hold is a block::

    KEY<<END
    first line
    second line
    END
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from instances.engine.environment import NAME_RULE, TOTAL_LIMIT_BYTES, VALUE_LIMIT_BYTES, is_variable_name

MOST = 200
# What is shorter would be found by chance all over an output.
LEAST_MASKED_BYTES = 4

Variables = tuple[tuple[str, str], ...]
_BLOCK = re.compile(r"(\w*)<<(\w+)")


def parse_variables(text: str) -> Variables:
    """Return names and values of a form's text; empty lines between them are passed over.

    Raises: ValueError saying which line cannot be read, without its value.
    """
    return tuple(_variables(text))


def write_variables(variables: Iterable[Sequence[str]]) -> str:
    """Return the text that ``parse_variables`` reads these from."""
    return "".join(_block(name, value) if "\n" in value else f"{name}={value}\n" for name, value in variables)


def parse_arguments(text: str) -> tuple[str, ...]:
    """Return the arguments of a form's text, one per line; empty lines are passed over.

    Raises: ValueError for a block without its end.
    """
    return tuple(line if block is None else block for _, line, block in _entries(text) if line or block is not None)


def write_arguments(arguments: Iterable[str]) -> str:
    """Return the text that ``parse_arguments`` reads these from."""
    return "".join(
        _block("", word) if not word or "\n" in word or _BLOCK.fullmatch(word) else word + "\n" for word in arguments
    )


class VariablesRefused(ValueError):
    """Variables or arguments cannot be sent. ``field`` names the form field the message belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check(variables: Variables, secrets: Variables, arguments: Sequence[str]) -> None:
    """Refuse what cannot be sent. Raises: VariablesRefused."""
    seen: set[str] = set()
    for field, pairs in (("environment", variables), ("secret_environment", secrets)):
        for name, value in pairs:
            if message := _why_not_one(name, value, seen):
                raise VariablesRefused(field, message)
            if field == "secret_environment" and not value:
                raise VariablesRefused(field, f"Enter a value for {name}.")
            seen.add(name)
    for number, word in enumerate(arguments, 1):
        if message := _why_not_value(word):
            raise VariablesRefused("arguments", f"Argument {number} {message}")
    values = [*(value for _, value in (*variables, *secrets)), *arguments]
    if len(values) > MOST:
        raise VariablesRefused("arguments", f"At most {MOST} variables and arguments are taken.")
    if sum(len(value.encode()) for value in values) > TOTAL_LIMIT_BYTES:
        raise VariablesRefused(
            "arguments", f"Variables and arguments together hold at most {TOTAL_LIMIT_BYTES:,} bytes."
        )


def _why_not_one(name: str, value: str, seen: set[str]) -> str:
    if not is_variable_name(name):
        return f"{NAME_RULE} This one cannot be used: {name[:130]!r}"
    if name in seen:
        return f"{name} is given twice."
    message = _why_not_value(value)
    return f"The value of {name} {message}" if message else ""


def _why_not_value(value: str) -> str:
    if "\0" in value:
        return "holds a NUL character."
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode text."
    return f"is longer than {VALUE_LIMIT_BYTES:,} bytes." if size > VALUE_LIMIT_BYTES else ""


def _variables(text: str) -> Iterator[tuple[str, str]]:
    for number, line, block in _entries(text):
        name, sign, value = line.partition("<<" if block is not None else "=")
        if not sign and line.strip():
            # Not the line itself: it may be a secret.
            raise ValueError(f"Line {number} is not NAME=value.")
        if sign:
            yield name.strip(), value if block is None else block


def _entries(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Yield the number of each entry's first line, that line, and the text of a block."""
    lines = iter(enumerate(text.replace("\r\n", "\n").split("\n"), 1))
    for number, line in lines:
        opened = _BLOCK.fullmatch(line)
        if opened is None:
            yield number, line, None
            continue
        held = []
        for _, inner in lines:
            if inner == opened[2]:
                break
            held.append(inner)
        else:
            raise ValueError(f"Line {number} opens a block that has no end: a line {opened[2]} is missing.")
        yield number, line, "\n".join(held)


def _block(name: str, value: str) -> str:
    end = "END"
    while end in value.split("\n"):
        end += "_"
    # No line between them is the empty value.
    return f"{name}<<{end}\n{value}\n{end}\n"
