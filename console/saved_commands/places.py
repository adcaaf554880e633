"""Owns what a placeholder can stand in: the places in a command, and what is said where there is none for it."""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

PREFIX = "PARAM_"
INSTANCE_PREFIX = "MUSTER_INSTANCE_"


def variable_of(name: str) -> str:
    """Return the name of the environment variable that carries the value of a placeholder's name."""
    if not name.startswith("instance."):
        return PREFIX + name
    kind, _, key = name.removeprefix("instance.").partition(".")
    return INSTANCE_PREFIX + (f"TAG_{re.sub(r'[^a-z0-9_]', '_', key)}" if key else kind.upper())


class Place(Enum):
    """Where in a command a placeholder stands, which decides how its variable is written there."""

    BARE = "bare"
    DOUBLE = "in double quotes"
    SINGLE = "in single quotes"
    DOCUMENT = "in a here-document"
    ARITHMETIC = "in arithmetic"
    COMMENT = "in a comment"


class Misplaced(ValueError):
    """A placeholder stands where no variable can be written for it. The message names the line."""


@dataclass
class Slots:
    """The placeholders of a text, by where they start, and what was found out about them.

    ``numbers`` are the starts of those whose values are numbers, which may stand where a shell evaluates a value.
    """

    text: str
    ends: dict[int, int]
    names: dict[int, str]
    numbers: frozenset[int] = frozenset()
    places: dict[int, Place] = field(default_factory=dict)

    def refuse(self, start: int, why: str) -> NoReturn:
        """Raise Misplaced for the placeholder that starts here."""
        raise Misplaced(f"Line {self.line(start)}: {{{{{self.names[start]}}}}} {why}")

    def line(self, at: int) -> int:
        """Return the number of the line of a place in the text."""
        return self.text.count("\n", 0, at) + 1
