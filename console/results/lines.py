"""Owns cutting a log into lines as the log view does, with the same numbers. Pure.

A line belongs to one stream and is counted when its end arrives; a gap counts as one. static/js/lines.js is the other
half.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from console.runs.models import OutputKind

# A line without an end is cut here, as in the log view.
LINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of one stream, without the last line feed. ``first`` is the number of the first one, from 0.

    ``before``: what stands on the same line before a cut, at most ``OVERLAP_BYTES``, so that nothing is lost at it.
    """

    kind: int
    first: int
    data: bytes
    before: bytes = b""

    @property
    def count(self) -> int:
        """How many lines it has."""
        return self.data.count(b"\n") + 1


OVERLAP_BYTES = 1024


@dataclass(slots=True)
class _Stream:
    waiting: bytes = b""
    before: bytes = b""


@dataclass(slots=True)
class Liner:
    """Takes the rows of one log in order and gives blocks of whole lines; ``finish`` gives what has no line end."""

    number: int = 0
    _streams: dict[int, _Stream] = field(default_factory=lambda: {kind: _Stream() for kind in (1, 2)})

    def take(self, kind: int, data: bytes) -> Iterator[Block]:
        """Yield the lines that a row completes."""
        if kind == OutputKind.GAP:
            yield from self.finish()
            self.number += 1
            return
        stream = self._streams[kind]
        head, line_feed, rest = data.rpartition(b"\n")
        if line_feed:
            yield self._block(kind, stream, stream.waiting + head)
            stream.waiting = rest
        else:
            stream.waiting += data
        if len(stream.waiting) > LINE_BYTES:
            yield from self._shorten(kind, stream)

    def finish(self) -> Iterator[Block]:
        """Yield what is unfinished as lines."""
        for kind, stream in self._streams.items():
            if stream.waiting:
                yield self._block(kind, stream, stream.waiting)
                stream.waiting = b""

    def _shorten(self, kind: int, stream: _Stream) -> Iterator[Block]:
        # A progress bar that is drawn over for an hour is one line of which the last state counts.
        start = stream.waiting.rfind(b"\r", 0, len(stream.waiting) - 1)
        if start >= 0:
            stream.waiting = stream.waiting[start + 1 :]
            return
        cut, stream.waiting = stream.waiting, b""
        yield self._block(kind, stream, cut)
        stream.before = cut[-OVERLAP_BYTES:]

    def _block(self, kind: int, stream: _Stream, data: bytes) -> Block:
        block = Block(kind, self.number, data, stream.before)
        stream.before = b""
        self.number += block.count
        return block


def blocks(rows: Iterable[tuple[int, bytes]]) -> Iterator[Block]:
    """Yield the lines of a whole log, given its rows as (kind, bytes)."""
    liner = Liner()
    for kind, data in rows:
        yield from liner.take(kind, data)
    yield from liner.finish()
