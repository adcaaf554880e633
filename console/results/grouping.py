"""Owns groups: the invocations of a run that came to the same, largest first, while the run goes and after it.

Without rules the stored hash says what is the same, and no output is read. With rules, outputs are read in bulk, each
distinct one once, and what they come to is remembered for the next look.
"""

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from console.results.normalise import NO_RULES, Rules, own_words, without_own, without_shared
from console.runs.models import Invocation, Output, OutputKind
from console.runs.status import END, Status

# Larger ones, and what is beyond this for one look, are compared as they are, and the page says so.
NORMALISED_BYTES = 1024 * 1024
LOOK_BYTES = 128 * 1024 * 1024
REMEMBERED = 100_000
_READ_IDS = 200
_COLUMNS = (
    "pk",
    "ordinal",
    "instance_id",
    "instance_name",
    "address",
    "status",
    "reason",
    "exit_status",
    "exit_signal",
    "sha256",
    "stdout_sha256",
    "stderr_sha256",
    "size",
    "dropped_bytes",
    "output_removed_at",
)
# What became of them says more than what they printed until then.
_BY_OUTCOME = END - {Status.SUCCEEDED, Status.FAILED}
_remembered: dict[bytes, bytes] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """One invocation in a group."""

    ordinal: int
    name: str
    instance_id: int | None


@dataclass(slots=True)
class Group:
    """Invocations that came to the same. ``status`` is that of its first one; ``key`` is the same at every look.

    ``is_output``: they are one group because of what they printed, so that groups can be compared.
    """

    key: str
    status: str
    reason: str
    exit: str
    is_output: bool
    is_empty: bool
    is_removed: bool
    size: int
    first_pk: int
    members: list[Member] = field(default_factory=list)

    @property
    def first(self) -> Member:
        """The member that stands for all of them: the one with the lowest ordinal."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Grouping:
    """All groups of a run, largest first. ``unread``: how many outputs are compared as they are, whatever the rules."""

    groups: Sequence[Group]
    total: int
    unread: int


@dataclass(frozen=True, slots=True)
class _Row:
    pk: int
    ordinal: int
    instance_id: int | None
    instance_name: str
    address: str
    status: str
    reason: str
    exit_status: int | None
    exit_signal: str
    sha256: str
    stdout_sha256: str
    stderr_sha256: str
    size: int
    dropped_bytes: int
    output_removed_at: object

    @property
    def exit(self) -> str:
        return self.exit_signal or ("" if self.exit_status is None else str(self.exit_status))

    @property
    def same(self) -> bytes:
        """What outputs have in common that are the same: each stream, for the two can arrive in any order."""
        streams = f"{self.stdout_sha256} {self.stderr_sha256}" if self.stdout_sha256 else self.sha256
        return hashlib.sha256((streams or f"invocation {self.pk}").encode()).digest()

    @property
    def is_by_output(self) -> bool:
        return self.status in END and self.status not in _BY_OUTCOME and (self.size > 0 or not self.reason)


def grouped(invocations: QuerySet[Invocation], rules: Rules = NO_RULES, *, by_exit: bool = True) -> Grouping:
    """Return the groups of these invocations. ``by_exit``: those with another exit status are another group.

    Side effects: one query, and with rules those that read the outputs not yet known (at most ``LOOK_BYTES``).
    """
    rows = [_Row(*row) for row in invocations.order_by("ordinal").values_list(*_COLUMNS)]
    digests, unread = _digests([row for row in rows if row.is_by_output and row.size], rules)
    groups: dict[tuple[str, ...], Group] = {}
    for row in rows:
        key = _key(row, digests.get(row.pk, b""), by_exit)
        group = groups.get(key) or groups.setdefault(key, _group(row, key))
        group.members.append(Member(row.ordinal, row.instance_name, row.instance_id))
    ordered = sorted(groups.values(), key=lambda group: (-len(group.members), group.first.ordinal))
    return Grouping(ordered, len(rows), unread)


def outputs_as(invocations: QuerySet[Invocation], rules: Rules, pks: Collection[int]) -> tuple[dict[int, bytes], int]:
    """Return a digest of what the output of each comes to, for those with these keys; and how many were not read.

    Side effects: as ``grouped``.
    """
    rows = (_Row(*row) for row in invocations.values_list(*_COLUMNS))
    return _digests([row for row in rows if row.pk in pks and row.size], rules)


def _key(row: _Row, digest: bytes, by_exit: bool) -> tuple[str, ...]:
    if not row.is_by_output:
        # Those that still run are one group, whichever part of it they are in.
        outcome = row.status if row.status in END or row.status == Status.QUEUED else "active"
        return ("outcome", outcome, row.reason)
    return ("output", digest.hex(), row.exit if by_exit else "")


def _group(row: _Row, key: tuple[str, ...]) -> Group:
    return Group(
        key=hashlib.sha256("\0".join(key).encode()).hexdigest()[:12],
        status=row.status,
        reason=row.reason,
        exit=row.exit if row.is_by_output else "",
        is_output=row.is_by_output,
        is_empty=row.size == 0,
        is_removed=row.output_removed_at is not None,
        size=row.size,
        first_pk=row.pk,
    )


# ------------------------------------------------------------------ what outputs come to


def _digests(rows: Sequence[_Row], rules: Rules) -> tuple[dict[int, bytes], int]:
    """Return a digest for each row that has output, and how many of them are of outputs as they are."""
    if rules.is_empty:
        return {row.pk: row.same for row in rows}, 0
    known = {row.pk: _identity(row, rules) for row in rows}
    # Each distinct one is read once, through the first invocation that has it.
    wanted: dict[bytes, list[_Row]] = {}
    left = LOOK_BYTES
    for row in rows:
        # Of what was removed only the hash is left.
        if known[row.pk] in _remembered or row.output_removed_at is not None:
            continue
        if row.same not in wanted:
            if row.size > min(NORMALISED_BYTES, left):
                continue
            left -= row.size
        wanted.setdefault(row.same, []).append(row)
    _remember(wanted, known, rules)
    digests = {pk: _remembered.get(identity) for pk, identity in known.items()}
    unread = sum(digest is None for digest in digests.values())
    as_they_are = {row.pk: row.same for row in rows}
    return {pk: digest or as_they_are[pk] for pk, digest in digests.items()}, unread


def _identity(row: _Row, rules: Rules) -> bytes:
    """Return what decides a digest: the output, the rules, and the own name where a rule looks for it."""
    own = own_words(row.instance_name, row.address) if rules.own_name else ()
    parts = (row.same, ",".join(rules.names).encode(), *own)
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()


def _remember(wanted: dict[bytes, list[_Row]], known: dict[int, bytes], rules: Rules) -> None:
    """Note what each wanted output comes to for each of those that have it."""
    if len(_remembered) + sum(map(len, wanted.values())) > REMEMBERED:
        _remembered.clear()
    by_first = {sharing[0].pk: sharing for sharing in wanted.values()}
    for pk, streams in _outputs(list(by_first)):
        if not _is_whole(by_first[pk][0], streams):
            continue
        shared = [without_shared(stream, rules) for stream in streams]
        # Most outputs do not name their instance: those come to the same for all.
        digests: dict[tuple[bytes, ...], bytes] = {}
        for row in by_first[pk]:
            own = own_words(row.instance_name, row.address) if rules.own_name else ()
            said = tuple(word for word in own if any(word in stream for stream in shared))
            digest = digests.get(said) or digests.setdefault(said, _digest(shared, rules, said))
            _remembered[known[row.pk]] = digest


def _is_whole(row: _Row, streams: Iterable[bytes]) -> bool:
    """Say whether all of an output was read: since its row was, retention may have taken the end."""
    gap = len(_gap(row.dropped_bytes)) if row.dropped_bytes else 0
    return sum(map(len, streams)) == row.size - row.dropped_bytes + gap


def _gap(dropped_bytes: int) -> bytes:
    return b"[%d bytes were not kept]\n" % dropped_bytes


def _digest(streams: Iterable[bytes], rules: Rules, own: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"\0".join(without_own(stream, rules, own) for stream in streams)).digest()


def _outputs(pks: Sequence[int]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield (invocation, its two streams) for each; in the first one a gap is "[N bytes were not kept]"."""
    for start in range(0, len(pks), _READ_IDS):
        rows = (
            Output.objects.filter(invocation_id__in=pks[start : start + _READ_IDS])
            .order_by("invocation_id", "offset")
            .values_list("invocation_id", "kind", "data")
        )
        yield from _joined(rows.iterator(chunk_size=100))


def _joined(rows: Iterable[tuple[int, int, bytes | memoryview]]) -> Iterator[tuple[int, Sequence[bytes]]]:
    for pk, pieces in itertools.groupby(rows, key=lambda row: row[0]):
        streams: dict[int, list[bytes]] = {OutputKind.STDOUT: [], OutputKind.STDERR: []}
        for _, kind, data in pieces:
            if kind == OutputKind.GAP:
                streams[OutputKind.STDOUT].append(_gap(int(data)))
            else:
                streams[kind].append(bytes(data))
        yield pk, [b"".join(parts) for parts in streams.values()]
