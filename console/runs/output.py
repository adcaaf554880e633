"""Owns reading the output log: pieces after an offset, tails, and the bytes of a download."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from console.runs.journal import ROW_BYTES
from console.runs.models import Invocation, Output, OutputKind
from instances.engine.text import decode

READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an invocation's output. ``length`` counts offsets: for a gap the bytes not kept."""

    offset: int
    kind: OutputKind
    data: bytes
    length: int

    @property
    def end(self) -> int:
        """The offset after this piece."""
        return self.offset + self.length


def read(invocation_id: int, *, after: int = 0, limit_bytes: int = READ_BYTES) -> list[Piece]:
    """Return an invocation's output from an offset on, oldest first.

    Shape: pieces are contiguous; the first starts exactly at ``after`` (a stored row is cut if need be).
    Units: ``limit_bytes`` counts data; at least one piece is returned if there is any.
    """
    pieces: list[Piece] = []
    size = 0
    for piece in _rows_from(invocation_id, after):
        pieces.append(piece if piece.offset >= after else _cut(piece, after))
        size += len(pieces[-1].data)
        if size >= limit_bytes:
            break
    return pieces


def _rows_from(invocation_id: int, after: int) -> Iterator[Piece]:
    before = None
    if after:
        earlier = Output.objects.filter(invocation_id=invocation_id, offset__lt=after).order_by("-offset")
        before = earlier.values_list("offset", "kind", "data").first()
    if before is not None and (piece := _piece(*before)).end > after:
        yield piece
    rows = Output.objects.filter(invocation_id=invocation_id, offset__gte=after).order_by("offset")
    for row in rows.values_list("offset", "kind", "data").iterator(chunk_size=8):
        yield _piece(*row)


def _piece(offset: int, kind: int, data: bytes | memoryview) -> Piece:
    data = bytes(data)
    return Piece(offset, OutputKind(kind), data, int(data) if kind == OutputKind.GAP else len(data))


def _cut(piece: Piece, at: int) -> Piece:
    skip = at - piece.offset
    if piece.kind is OutputKind.GAP:
        return Piece(at, piece.kind, str(piece.length - skip).encode(), piece.length - skip)
    return Piece(at, piece.kind, piece.data[skip:], piece.length - skip)


def tail_start(size: int, *, keep_bytes: int = READ_BYTES) -> int:
    """Return the offset from which the last ``keep_bytes`` of a log of ``size`` begin."""
    return max(0, size - keep_bytes)


def tail_text(invocation: Invocation, *, keep_bytes: int = 64 * 1024) -> str:
    """Return the end of an invocation's output as text, for a page without JavaScript."""
    if invocation.output_removed_at:
        return f"[{invocation.size} bytes were removed by retention]\n"
    pieces = read(invocation.pk, after=tail_start(invocation.size, keep_bytes=keep_bytes), limit_bytes=keep_bytes)
    return "".join(
        f"\n[{piece.length} bytes were not kept]\n"
        if piece.kind is OutputKind.GAP
        else decode(piece.data, invocation.code_page)
        for piece in pieces
    )


def stored_size(invocation: Invocation) -> int:
    """Return how many bytes of output are kept: what a download gives."""
    return invocation.stdout_bytes + invocation.stderr_bytes


class OutputRemoved(Exception):
    """Retention removed this output; nothing of it can be sent any more."""


def stored_bytes(invocation: Invocation, start: int, stop: int) -> Iterator[bytes]:
    """Return the kept bytes ``start`` to ``stop`` (gaps take no room here) as an iterator, a row at a time.

    All of it is from one moment: what is removed while it is sent is sent all the same, because a body that comes to
    an end early would leave the browser waiting.
    Raises: OutputRemoved, at once.
    """
    position = 0 if invocation.dropped_bytes else start
    # A row holds at most ROW_BYTES: the one that ``position`` falls into begins after this.
    rows = Output.objects.filter(invocation_id=invocation.pk, offset__gt=position - ROW_BYTES).order_by("offset")
    # The statement is open from its first row on, and what it sees stays as it is until its last.
    stored = iter(rows.exclude(kind=OutputKind.GAP).values_list("offset", "data").iterator(chunk_size=4))
    first = next(stored, None)
    if not Invocation.objects.filter(pk=invocation.pk, output_removed_at=None).exists():
        raise OutputRemoved
    if first is None:
        return iter(())
    position = 0 if invocation.dropped_bytes else first[0]
    return _between(itertools.chain([first], stored), position, start, stop)


def stored_stream(invocation: Invocation, kind: OutputKind) -> Iterator[bytes]:
    """Return the kept bytes of one of its streams, a row at a time, all from one moment as ``stored_bytes`` has it.

    Raises: OutputRemoved, at once.
    """
    rows = Output.objects.filter(invocation_id=invocation.pk, kind=kind).order_by("offset")
    stored = iter(rows.values_list("data", flat=True).iterator(chunk_size=4))
    first = next(stored, None)
    if not Invocation.objects.filter(pk=invocation.pk, output_removed_at=None).exists():
        raise OutputRemoved
    return map(bytes, () if first is None else itertools.chain([first], stored))


def _between(rows: Iterable[tuple[int, bytes | memoryview]], position: int, start: int, stop: int) -> Iterator[bytes]:
    for _, data in rows:
        wanted = data[max(0, start - position) : max(0, stop - position)]
        position += len(data)
        if wanted:
            yield bytes(wanted)
        if position >= stop:
            return
