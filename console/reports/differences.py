"""Owns the difference between two texts, line by line, within limits: whatever they are, it takes a moment. Pure."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

# Between the lines with which both begin and end. difflib takes a quarter of a second for twice as many at worst.
DIFFERING_LINES = 1000
CONTEXT_LINES = 3
SHOWN_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``kind``: removed, added, same, or left_out for a number of lines that are the same.

    The numbers count from 1; None on the side that does not have the line.
    """

    kind: str
    before: int | None
    now: int | None
    text: str

    @property
    def sign(self) -> str:
        """The sign in front of it, as diff writes it."""
        return {"removed": "-", "added": "+"}.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs. ``is_cut``: so many lines differ that the rest is not shown."""

    lines: Sequence[Line]
    added: int
    removed: int
    is_cut: bool


def difference(
    before: Sequence[str], now: Sequence[str], *, shown: Sequence[Sequence[str]] | None = None
) -> Difference:
    """Return the lines that were removed and added, each with a few around it.

    ``shown``: both texts again, as they are shown where they are compared as something else.
    """
    first = _common(before, now)
    last = _common(before[first:][::-1], now[first:][::-1])
    ends = len(before) - last, len(now) - last
    is_cut = max(ends) - first > DIFFERING_LINES
    if is_cut:
        last, ends = 0, (min(ends[0], first + DIFFERING_LINES), min(ends[1], first + DIFFERING_LINES))
    middle = SequenceMatcher(None, before[first : ends[0]], now[first : ends[1]]).get_opcodes()
    parts = [("equal", 0, first, 0, first)] if first else []
    parts += [(tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in middle]
    parts += [("equal", ends[0], ends[0] + last, ends[1], ends[1] + last)] if last else []
    lines: list[Line] = []
    for place, (tag, a, b, c, d) in enumerate(parts):
        if tag == "equal":
            lines += _same(before, a, b, c, is_first=place == 0, is_last=place == len(parts) - 1)
        else:
            lines += [Line("removed", at + 1, None, _shown(before[at])) for at in range(a, b)]
            lines += [Line("added", None, at + 1, _shown(now[at])) for at in range(c, d)]
    if shown:
        lines = [_as_shown(line, *shown) for line in lines]
    count = {kind: sum(line.kind == kind for line in lines) for kind in ("added", "removed")}
    return Difference(lines, count["added"], count["removed"], is_cut)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def _same(before: Sequence[str], a: int, b: int, c: int, *, is_first: bool, is_last: bool) -> Iterator[Line]:
    """Yield what both have, without the middle of it where that is long."""
    head = 0 if is_first else CONTEXT_LINES
    tail = 0 if is_last else CONTEXT_LINES
    left_out = b - a - head - tail
    for at in range(a, b):
        if left_out > 1 and at == a + head:
            yield Line("left_out", None, None, f"{left_out:,} lines that are the same")
        if left_out <= 1 or at < a + head or at >= b - tail:
            yield Line("same", at + 1, at + 1 - a + c, _shown(before[at]))


def _as_shown(line: Line, before: Sequence[str], now: Sequence[str]) -> Line:
    if line.now is not None:
        return replace(line, text=_shown(now[line.now - 1]))
    return line if line.before is None else replace(line, text=_shown(before[line.before - 1]))


def _shown(text: str) -> str:
    more = len(text) - SHOWN_CHARACTERS
    return text if more <= 0 else f"{text[:SHOWN_CHARACTERS]} ⋯ {more:,} more characters"
