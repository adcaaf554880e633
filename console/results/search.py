"""Owns searching all outputs of a run: a part at a time, in order, for as long as somebody asks on.

Patterns are RE2's, whose time grows with the length of the text alone; both they and the output are nobody's to trust.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import re2
from django.db.models import QuerySet

from console.results.lines import Block, blocks
from console.results.normalise import without_escapes
from console.runs.models import Invocation, Output
from instances.engine.text import decode

# One request searches for so long, and shows so many lines of one instance and in all.
BUDGET_S = 1.0
LINES_OF_ONE = 20
LINES_OF_ALL = 200
COUNTED = 10_000
MAX_PATTERN = 500
_BATCH_BYTES, _BATCH_IDS = 16 * 1024 * 1024, 100
_BEFORE, _AFTER = 120, 240


class BadPattern(Exception):
    """This is no pattern that can be searched for; the message says why."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that was found, in three parts around the first match. ``number`` counts from 1, as the log view does."""

    number: int
    kind: int
    before: str
    match: str
    after: str


@dataclass(slots=True)
class Found:
    """What was found in one output: how many lines, and the first of them."""

    invocation: Invocation
    count: int = 0
    hits: list[Hit] = field(default_factory=list)

    @property
    def more(self) -> int:
        """How many lines are counted and not shown."""
        return self.count - len(self.hits)

    @property
    def is_capped(self) -> bool:
        """Whether there may be more than were counted."""
        return self.count >= COUNTED


@dataclass(frozen=True, slots=True)
class Part:
    """What one look found. ``following``: the ordinal to go on from, None at the end; numbers count instances."""

    found: Sequence[Found]
    following: int | None
    searched: int
    total: int
    removed: int

    @property
    def lines(self) -> int:
        """How many lines of output are shown."""
        return sum(len(one.hits) for one in self.found)


def compiled(text: str, *, is_regex: bool = False, is_case: bool = False) -> "re2._Regexp[bytes]":
    """Return the pattern that finds a text, or that a regular expression is (RE2's syntax). Raises: BadPattern."""
    if len(text) > MAX_PATTERN:
        raise BadPattern(f"At most {MAX_PATTERN} characters can be searched for.")
    options = re2.Options()
    options.case_sensitive = is_case
    options.never_nl = True
    options.log_errors = False
    try:
        source = text.encode()
        if is_regex:
            # By itself first: a mistake is told without what is put around it.
            re2.compile(source, options)
        return re2.compile(b"(?m:" + (source if is_regex else re2.escape(source)) + b")", options)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else error
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise BadPattern(f"This is no regular expression that RE2 knows: {reason}.") from error


def search(
    invocations: QuerySet[Invocation], pattern: "re2._Regexp[bytes]", *, start: int = 0, budget_s: float = BUDGET_S
) -> Part:
    """Search the outputs from an ordinal on, until the time is over or enough was found; at least one is searched.

    Side effects: reads the output; two queries and one for each batch.
    """
    rows = list(
        # The run is what they were asked for through: without its key each would be read once more.
        invocations.order_by("ordinal").only(
            "run", "ordinal", "instance_name", "status", "size", "dropped_bytes", "code_page", "output_removed_at"
        )
    )
    ends_at = time.monotonic() + budget_s
    found: list[Found] = []
    shown = 0
    following: int | None = None
    is_over = False
    left = [row for row in rows if row.ordinal >= start]
    for invocation, pieces in _outputs([row for row in left if row.size and not row.output_removed_at]):
        if is_over:
            following = invocation.ordinal
            break
        one = search_one(invocation, pieces, pattern)
        if one.count:
            found.append(one)
            shown += len(one.hits)
        is_over = time.monotonic() > ends_at or shown >= LINES_OF_ALL
    searched = sum(row.ordinal < following for row in rows) if following is not None else len(rows)
    return Part(found, following, searched, len(rows), sum(row.output_removed_at is not None for row in rows))


def search_one(invocation: Invocation, pieces: Iterable[tuple[int, bytes]], pattern: "re2._Regexp[bytes]") -> Found:
    """Search one output, given its rows as (kind, bytes)."""
    one = Found(invocation)
    for block in blocks(pieces):
        if one.is_capped:
            break
        _search_block(one, block, pattern)
    return one


def _search_block(one: Found, block: Block, pattern: "re2._Regexp[bytes]") -> None:
    text = _searchable(block, one.invocation.code_page)
    # A line that was cut: what is all before the cut was found there.
    cut = len(block.before)
    number, counted, position = block.first, 0, 0
    while one.count < COUNTED and (match := pattern.search(text, position)):
        if match.end() <= cut and cut:
            position = match.start() + 1
            continue
        number += text.count(b"\n", counted, match.start())
        counted = match.start()
        end = text.find(b"\n", match.end())
        end = len(text) if end < 0 else end
        one.count += 1
        if len(one.hits) < LINES_OF_ONE:
            begin = text.rfind(b"\n", 0, match.start()) + 1
            one.hits.append(_hit(number, block.kind, text[begin:end], match.start() - begin, match.end() - begin))
        position = end + 1
        if position > len(text):
            break


def _searchable(block: Block, code_page: str) -> bytes:
    text = block.before + block.data
    if code_page:
        text = decode(text, code_page).encode()
    return without_escapes(text) if b"\x1b" in text else text


def _hit(number: int, kind: int, line: bytes, start: int, end: int) -> Hit:
    parts = [part.decode("utf-8", "replace") for part in (line[:start], line[start:end], line[end:])]
    before = parts[0] if len(parts[0]) <= _BEFORE else "⋯" + parts[0][-_BEFORE:]
    match, after = (part if len(part) <= _AFTER else part[:_AFTER] + "⋯" for part in parts[1:])
    return Hit(number + 1, kind, before, match, after)


def _outputs(invocations: Sequence[Invocation]) -> Iterator[tuple[Invocation, Iterator[tuple[int, bytes]]]]:
    """Yield each invocation with its rows, read together where they are small."""
    for batch in _batches(invocations):
        by_pk = {invocation.pk: invocation for invocation in batch}
        rows = (
            Output.objects.filter(invocation_id__in=list(by_pk))
            .order_by("invocation_id", "offset")
            .values_list("invocation_id", "kind", "data")
            .iterator(chunk_size=8)
        )
        for pk, pieces in itertools.groupby(rows, key=lambda row: row[0]):
            yield by_pk[pk], ((kind, bytes(data)) for _, kind, data in pieces)


def _batches(invocations: Sequence[Invocation]) -> Iterator[list[Invocation]]:
    batch: list[Invocation] = []
    size = 0
    for invocation in invocations:
        if batch and (len(batch) == _BATCH_IDS or size + invocation.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(invocation)
        size += invocation.size
    if batch:
        yield batch


# ------------------------------------------------------------------ lines around one


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of an output around one; ``lines`` are (number from 1, kind, text)."""

    invocation: Invocation
    number: int
    lines: Sequence[tuple[int, int, str]]


def excerpt(invocation: Invocation, number: int, *, around: int = 100) -> Excerpt:
    """Return the lines around one, counted from 1. Side effects: reads the output up to there."""
    first, last = max(0, number - 1 - around), number - 1 + around
    rows = Output.objects.filter(invocation_id=invocation.pk).order_by("offset").values_list("kind", "data")
    lines: list[tuple[int, int, str]] = []
    for block in blocks((kind, bytes(data)) for kind, data in rows.iterator(chunk_size=8)):
        if block.first > last:
            break
        if block.first + block.count <= first:
            continue
        for at, line in enumerate(block.data.split(b"\n"), block.first):
            if first <= at <= last:
                lines.append((at + 1, block.kind, decode(line[:20_000], invocation.code_page)))
    return Excerpt(invocation, number, lines)
