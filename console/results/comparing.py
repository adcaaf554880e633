"""Owns the difference between two outputs, line by line, within limits: whatever they are, it takes a moment."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from console.results.normalise import Rules, normalise, own_words
from console.runs import output
from console.runs.models import Invocation, OutputKind
from instances.engine.text import decode

COMPARED_BYTES = 1024 * 1024
# After the lines that both begin and end with. More, and what is popular in both makes difflib slow.
DIFFERING_LINES = 1000
CONTEXT_LINES = 3
SHOWN_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a comparison. ``sign``: "-" only on the left, "+" only on the right, " " on both, "@" lines left out.

    Numbers count from 1, and are None on the side that does not have the line.
    """

    sign: str
    left: int | None
    right: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is different. ``limits`` are sentences that say what was not compared, in full."""

    lines: Sequence[Line]
    added: int
    removed: int
    limits: Sequence[str]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs, as far as was compared."""
        return not (self.added or self.removed)


@dataclass(frozen=True, slots=True)
class Side:
    """One output to compare: its lines as they are shown, and as they are compared."""

    shown: Sequence[str]
    compared: Sequence[bytes]
    is_cut: bool = False


def side_of(invocation: Invocation, rules: Rules) -> Side:
    """Read the first ``COMPARED_BYTES`` of an output, stdout before stderr."""
    streams: dict[int, bytearray] = {OutputKind.STDOUT: bytearray(), OutputKind.STDERR: bytearray()}
    position = 0
    for piece in output.read(invocation.pk, limit_bytes=COMPARED_BYTES):
        if piece.kind is OutputKind.GAP:
            streams[OutputKind.STDOUT] += b"[%d bytes were not kept]\n" % piece.length
        else:
            streams[piece.kind] += piece.data
        position = piece.end
    data = b"".join(bytes(stream) for stream in streams.values())
    own = own_words(invocation.instance_name, invocation.address)
    # Rules keep the number of lines, so that a line is shown as it is and compared as it is meant.
    shown = [decode(line, invocation.code_page) for line in data.split(b"\n")]
    compared = normalise(data, rules, own).split(b"\n")
    if data.endswith(b"\n"):
        shown, compared = shown[:-1], compared[:-1]
    return Side(shown, compared, is_cut=position < invocation.size)


def compare(left: Side, right: Side, *, context: int = CONTEXT_LINES) -> Comparison:
    """Return the lines that differ, each with ``context`` lines around it."""
    limits = []
    if left.is_cut or right.is_cut:
        limits.append(f"Only the first {COMPARED_BYTES // 1024:,} KiB of each output are compared.")
    first = _common(left.compared, right.compared)
    last = _common(left.compared[first:][::-1], right.compared[first:][::-1])
    ends = [len(side.compared) - last for side in (left, right)]
    if max(ends) - first > DIFFERING_LINES:
        limits.append(f"Only {DIFFERING_LINES:,} lines from the first difference on are compared.")
        last = 0
        ends = [min(end, first + DIFFERING_LINES) for end in ends]
    matcher = SequenceMatcher(None, left.compared[first : ends[0]], right.compared[first : ends[1]])
    changes = [(tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in matcher.get_opcodes()]
    before = [("equal", 0, first, 0, first)] if first else []
    after = [("equal", ends[0], ends[0] + last, ends[1], ends[1] + last)] if last else []
    lines = list(
        itertools.chain.from_iterable(_lines(left, right, *part) for part in _short(before + changes + after, context))
    )
    count = {sign: sum(line.sign == sign for line in lines) for sign in "+-"}
    return Comparison(lines, count["+"], count["-"], limits)


def _common(left: Sequence[bytes], right: Sequence[bytes]) -> int:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    return sum(1 for _ in pairs)


_Part = tuple[str, int, int, int, int]


def _short(changes: list[_Part], context: int) -> list[_Part]:
    """Leave out what is far from any difference: the parts named "skip"."""
    parts: list[_Part] = []
    for place, (tag, a, b, c, d) in enumerate(changes):
        if tag != "equal":
            parts.append((tag, a, b, c, d))
            continue
        head = context if place else 0
        tail = context if place < len(changes) - 1 else 0
        if b - a <= head + tail + 1:
            parts.append((tag, a, b, c, d))
            continue
        parts.append(("equal", a, a + head, c, c + head))
        parts.append(("skip", a + head, b - tail, c + head, d - tail))
        parts.append(("equal", b - tail, b, d - tail, d))
    return parts


def _lines(left: Side, right: Side, tag: str, a: int, b: int, c: int, d: int) -> list[Line]:
    if tag == "skip":
        return [Line("@", None, None, f"{b - a:,} lines that are the same")]
    if tag == "equal":
        return [Line(" ", at + 1, at + 1 - a + c, _text(left, at)) for at in range(a, b)]
    gone = [Line("-", at + 1, None, _text(left, at)) for at in range(a, b)]
    return gone + [Line("+", None, at + 1, _text(right, at)) for at in range(c, d)]


def _text(side: Side, at: int) -> str:
    text = side.shown[at]
    more = len(text) - SHOWN_CHARACTERS
    return text if more <= 0 else f"{text[:SHOWN_CHARACTERS]} ⋯ {more:,} more characters"
