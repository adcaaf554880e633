"""Owns the patterns that values of parameters must match: regular expressions that always take linear time.

Python's ``re`` tries one way after the other, and ``(a+)+$`` makes it try for ever: whoever declares a parameter could
stop the console with that. Here all ways are followed at once, letter by letter. Known are letters, ``.``, ``\\d``,
``\\w``, ``\\s`` and their opposites, ``[…]``, ``(…)``, ``|``, and ``? * + {m,n}``. The whole value must match, so ``^``
and ``$`` are not needed, and only taken at the ends.
Source: Thompson, Regular Expression Search Algorithm, 1968.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

LONGEST = 200
LONGEST_VALUE = 1000
_MOST_STATES = 1000
_MOST_NESTED = 20
_ATOM = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[dDwWsS]|\\[^A-Za-z0-9]|\\[tnr]|[^\\()\[\]{}|*+?^$]")
# Python reads these as sets of sets one day.
_SETS = re.compile(r"\[|--|&&|~~|\|\|")
_REPEAT = re.compile(r"([?*+])|\{([0-9]{1,4})(,([0-9]{0,4}))?\}")


class PatternError(ValueError):
    """The pattern cannot be used. The message says why."""


@dataclass
class _State:
    """Goes on to ``following`` with a letter that ``letters`` matches; without letters at once."""

    letters: re.Pattern[str] | None = None
    following: list[int] = field(default_factory=list)


class Pattern:
    """A pattern ready to match. Raises: PatternError."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise PatternError(f"A pattern has at most {LONGEST} characters.")
        self._text = text.removeprefix("^")
        if self._text.endswith("$") and not self._text.endswith("\\$"):
            self._text = self._text[:-1]
        self._at = self._depth = 0
        self._states = [_State()]
        self._last = self._choice(0)
        if self._at < len(self._text):
            raise PatternError(f"“{self._text[self._at]}” means nothing here; write \\ before it for the sign itself.")

    def matches(self, value: str) -> bool:
        """Say whether the whole value matches; one longer than LONGEST_VALUE does not."""
        if len(value) > LONGEST_VALUE:
            return False
        here = self._reached({0})
        for letter in value:
            states = [self._states[i] for i in here]
            here = self._reached({n for s in states if s.letters and s.letters.fullmatch(letter) for n in s.following})
            if not here:
                return False
        return self._last in here

    def _reached(self, states: Iterable[int]) -> set[int]:
        found, waiting = set(states), list(states)
        while waiting:
            state = self._states[waiting.pop()]
            if state.letters is None:
                new = [i for i in state.following if i not in found]
                found.update(new)
                waiting += new
        return found

    # Each of these reads a part of the text and returns the state behind it.

    def _choice(self, start: int) -> int:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise PatternError("Too many brackets are nested in this pattern.")
        ends = [self._row(start)]
        while self._text.startswith("|", self._at):
            self._at += 1
            ends.append(self._row(start))
        self._depth -= 1
        return self._joined(ends)

    def _row(self, start: int) -> int:
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            start = self._repeated(start)
        return start

    def _repeated(self, start: int) -> int:
        opened = self._at
        end = self._single(self._joined([start]))
        repeat = _REPEAT.match(self._text, self._at)
        if repeat is None:
            return end
        self._at = repeat.end()
        least, most = _bounds(repeat)
        if _REPEAT.match(self._text, self._at):
            raise PatternError("A repetition cannot be repeated: put brackets around it.")
        behind, after = self._at, [start] if least == 0 else []
        end = start
        for count in range(1, (most or max(least, 1)) + 1):
            entry = self._joined([end])
            self._at = opened
            end = self._single(entry)
            if most is None and count >= max(least, 1):
                self._states[end].following.append(entry)
            if count >= least:
                after.append(end)
        self._at = behind
        return self._joined(after)

    def _single(self, start: int) -> int:
        if self._text.startswith("(", self._at):
            self._at += 3 if self._text.startswith("(?:", self._at) else 1
            end = self._choice(self._joined([start]))
            if not self._text.startswith(")", self._at):
                raise PatternError("A bracket ( is not closed in this pattern.")
            self._at += 1
            return self._joined([end])
        atom = _ATOM.match(self._text, self._at)
        if atom is None:
            raise PatternError(f"“{self._text[self._at]}” means nothing here; write \\ before it for the sign itself.")
        self._at = atom.end()
        if atom[0].startswith("[") and (found := _SETS.search(atom[0].replace("\\[", ""), 1)):
            raise PatternError(f"Write \\ before {found[0]} in {atom[0]}.")
        try:
            letters = re.compile(atom[0], re.DOTALL | re.ASCII)
        except re.error as error:
            raise PatternError(f"{atom[0]} cannot be read: {error.msg}.") from None
        end = self._new()
        entry = self._new(letters)
        self._states[start].following.append(entry)
        self._states[entry].following.append(end)
        return end

    def _joined(self, ends: list[int]) -> int:
        """Return a new state that each of these goes on to."""
        new = self._new()
        for end in ends:
            self._states[end].following.append(new)
        return new

    def _new(self, letters: re.Pattern[str] | None = None) -> int:
        if len(self._states) >= _MOST_STATES:
            raise PatternError("This pattern is too large: it repeats too much.")
        self._states.append(_State(letters))
        return len(self._states) - 1


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    if repeat[1]:
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[repeat[1]]
    least = int(repeat[2])
    most = least if repeat[3] is None else int(repeat[4]) if repeat[4] else None
    if most is not None and most < max(least, 1):
        raise PatternError(f"{repeat[0]} repeats nothing.")
    return least, most
