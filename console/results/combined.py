"""Owns the combined view: the lines of all instances of a run, in the order in which they arrived.

The database merges: rows come ordered by arrival, a page at a time from a cursor, so that nothing is held. A line
stands where its end arrived, and is whole: what came before of it is fetched.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Length

from console.results.lines import LINE_BYTES
from console.runs.models import Invocation, Output, OutputKind
from console.runs.status import END
from instances.engine.text import decode

PAGE_ROWS = 500
PAGE_BYTES = 128 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ_KEYS = 50


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place between rows: after the row with this time, invocation and offset. As text "1763744944000000-17-4096"."""

    at: datetime
    invocation_id: int
    offset: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.invocation_id}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """Return the cursor that a text is, or None."""
        parts = text.split("-")
        if len(parts) != 3 or not all(part.isdecimal() and len(part) < 18 for part in parts):
            return None
        return cls(_EPOCH + timedelta(microseconds=int(parts[0])), int(parts[1]), int(parts[2]))


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``kind`` may be a gap; the text is what a person reads."""

    ordinal: int
    name: str
    kind: int
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines in order. ``first`` and ``last`` are the cursors of its ends, None where there is nothing at all.

    ``revision``: what was known of the invocations, for the next look (``ended_since``).
    """

    lines: Sequence[Line]
    first: Cursor | None
    last: Cursor | None
    has_earlier: bool
    has_later: bool
    revision: int = 0


def page(
    invocations: QuerySet[Invocation],
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
    ended_since: int | None = None,
) -> Page:
    """Return a page of lines: those after a cursor, those before one, or without any the last.

    ``ended_since``: the revision of the look before. What has ended since then gets no line end any more, so that what
    stood without one before ``after`` comes first.
    Side effects: the database looks through the run's rows once; the output that is shown is read.
    """
    keys, more = _keys(invocations, after, before)
    known = _by_pk(invocations)
    lines = list(_lines(_rows(keys), known))
    if after and ended_since is not None:
        lines = [*_rests(invocations, known, after, ended_since), *lines]
    first, last = (keys[0], keys[-1]) if keys else (before, after)
    has_earlier = after is not None or (more and bool(keys))
    has_later = more if after and keys else before is not None
    return Page(lines, first, last, has_earlier, has_later, max((row.revision for row in known.values()), default=0))


def whole(invocations: QuerySet[Invocation]) -> Iterator[Line]:
    """Yield all lines of a run in order, for a download. Side effects: reads them as they are asked for."""
    rows = _of(invocations).order_by("at", "invocation_id", "offset").values_list(*_KEY)
    keys = (Cursor(*row) for row in rows.iterator(chunk_size=1000))
    yield from _lines(_rows(keys), _by_pk(invocations))


_KEY = ("at", "invocation_id", "offset")


def _of(invocations: QuerySet[Invocation]) -> QuerySet[Output]:
    return Output.objects.filter(invocation_id__in=invocations.filter(output_removed_at=None).order_by().values("pk"))


def _by_pk(invocations: QuerySet[Invocation]) -> dict[int, Invocation]:
    # The run is what they were asked for through: without its key each would be read once more.
    columns = ("run", "ordinal", "instance_name", "code_page", "size", "status", "revision")
    return {row.pk: row for row in invocations.only(*columns)}


def _keys(invocations: QuerySet[Invocation], after: Cursor | None, before: Cursor | None) -> tuple[list[Cursor], bool]:
    """Return the rows of a page, oldest first, and whether there are more in the direction that was asked for."""
    if after:
        # Of what has ended the last row says whether there are later ones. Not the time of its end: that is noted
        # before the row is stored, and rows of others can come in between.
        last = Output.objects.filter(invocation=OuterRef("pk")).order_by("-offset").values("at")[:1]
        invocations = invocations.alias(last_at=Subquery(last)).filter(Q(finished_at=None) | Q(last_at__gte=after.at))
    rows = _of(invocations)
    if after:
        rows = rows.filter(_beyond("gt", after))
    elif before:
        rows = rows.filter(_beyond("lt", before))
    rows = rows.order_by(*(_KEY if after else (f"-{column}" for column in _KEY)))
    kept: list[Cursor] = []
    size = 0
    # The data itself is fetched later: the database should not carry it through its sorting.
    for *key, length in rows.values_list(*_KEY, Length("data"))[: PAGE_ROWS + 1]:
        if kept and (size + length > PAGE_BYTES or len(kept) == PAGE_ROWS):
            return (kept if after else kept[::-1]), True
        kept.append(Cursor(*key))
        size += length
    return (kept if after else kept[::-1]), False


def _beyond(way: str, cursor: Cursor) -> Q:
    """Return what is after ("gt") or before ("lt") a cursor; its own row is neither."""
    same_time = Q(at=cursor.at)
    return (
        Q(**{f"at__{way}": cursor.at})
        | same_time & Q(**{f"invocation_id__{way}": cursor.invocation_id})
        | same_time & Q(**{"invocation_id": cursor.invocation_id, f"offset__{way}": cursor.offset})
    )


@dataclass(frozen=True, slots=True)
class _Row:
    pk: int
    offset: int
    kind: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + (int(self.data) if self.kind == OutputKind.GAP else len(self.data))


def _rows(keys: Iterable[Cursor]) -> Iterator[_Row]:
    """Yield the rows that cursors stand on, in their order."""
    keys = iter(keys)
    while batch := list(itertools.islice(keys, _READ_KEYS)):
        wanted = Q()
        for key in batch:
            wanted |= Q(invocation_id=key.invocation_id, offset=key.offset)
        columns = ("invocation_id", "offset", "kind", "data")
        rows = Output.objects.filter(wanted).values_list(*columns)
        stored = (_Row(pk, at, kind, bytes(data)) for pk, at, kind, data in rows)
        found = {(row.pk, row.offset): row for row in stored}
        # Retention may have been quicker.
        places = ((key.invocation_id, key.offset) for key in batch)
        yield from (found[place] for place in places if place in found)


def _lines(rows: Iterable[_Row], invocations: dict[int, Invocation]) -> Iterator[Line]:
    waiting: dict[tuple[int, int], bytes] = {}
    for row in rows:
        invocation = invocations.get(row.pk)
        if invocation is None:
            # It came into the filter, or left it, between the two looks.
            continue
        if row.kind == OutputKind.GAP:
            text = f"{int(row.data):,} bytes were not kept"
            yield Line(invocation.ordinal, invocation.instance_name, OutputKind.GAP, text)
        else:
            stream = (row.pk, row.kind)
            begun = waiting[stream] if stream in waiting else _begun(row.pk, row.kind, row.offset)
            *whole_lines, waiting[stream] = (begun + row.data).split(b"\n")
            if len(waiting[stream]) > LINE_BYTES:
                whole_lines.append(waiting[stream])
                waiting[stream] = b""
            yield from (_line(invocation, row.kind, line) for line in whole_lines)
        if row.end >= invocation.size and invocation.status in END:
            # Its last row: what has no line end will get none.
            for kind in (OutputKind.STDOUT, OutputKind.STDERR):
                stream = (row.pk, kind)
                rest = waiting[stream] if stream in waiting else _begun(row.pk, kind, row.offset)
                waiting[stream] = b""
                if rest:
                    yield _line(invocation, kind, rest)


def _rests(
    invocations: QuerySet[Invocation], known: dict[int, Invocation], after: Cursor, ended_since: int
) -> Iterator[Line]:
    """Yield what stands without a line end before a cursor, of those that have ended since a revision."""
    ended = {pk for pk, row in known.items() if row.revision > ended_since and row.status in END and row.size}
    if not ended:
        return
    # What has rows after the cursor comes to its end with them.
    rows = _of(invocations).filter(_beyond("gt", after), invocation_id__in=ended)
    for pk in sorted(ended - set(rows.values_list("invocation_id", flat=True))):
        for kind in (OutputKind.STDOUT, OutputKind.STDERR):
            if rest := _begun(pk, kind, known[pk].size):
                yield _line(known[pk], kind, rest)


def _begun(pk: int, kind: int, offset: int) -> bytes:
    """Return what stands on the line that a row goes on with, from the rows before it."""
    if not offset:
        return b""
    rows = Output.objects.filter(invocation_id=pk, kind=kind, offset__lt=offset).order_by("-offset")
    begun = b""
    for data in rows.values_list("data", flat=True).iterator(chunk_size=2):
        _, line_feed, rest = bytes(data).rpartition(b"\n")
        begun = rest + begun
        if line_feed or len(begun) > LINE_BYTES:
            break
    return begun


def _line(invocation: Invocation, kind: int, data: bytes) -> Line:
    return Line(invocation.ordinal, invocation.instance_name, kind, decode(data, invocation.code_page))
