"""Owns comparing a run with an earlier one of the same command: which instances changed, and how."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from django.db.models import Q

from console.members.models import User
from console.reports.differences import Difference, difference
from console.results.grouping import outputs_as
from console.results.normalise import NO_RULES, Rules, normalise, own_words
from console.runs import history, output, services
from console.runs.models import Invocation, OutputKind, Run
from instances.access import rules
from instances.engine.text import decode

CANDIDATES = 50
# Of each stream of one instance.
COMPARED_BYTES = 256 * 1024
# The hash of a stream without a byte; what never ran has none at all.
NOTHING = hashlib.sha256().hexdigest()


class Outcome(StrEnum):
    """What became of an instance between two runs, in the order in which they are shown."""

    STATUS = "status"
    OUTPUT = "output"
    ONLY_NOW = "only_now"
    ONLY_BEFORE = "only_before"
    NOT_ENDED = "not_ended"
    SAME = "same"


CHANGED = frozenset({Outcome.STATUS, Outcome.OUTPUT, Outcome.ONLY_NOW, Outcome.ONLY_BEFORE})
LABELS = {
    Outcome.STATUS: "Status differs",
    Outcome.OUTPUT: "Output differs",
    Outcome.ONLY_NOW: "Only in this run",
    Outcome.ONLY_BEFORE: "Only in the earlier one",
    Outcome.NOT_ENDED: "Not ended",
    Outcome.SAME: "Same",
}


class Side(NamedTuple):
    """What is compared of one invocation."""

    pk: int
    ordinal: int
    instance_id: int | None
    name: str
    status: str
    exit_status: int | None
    exit_signal: str
    finished_at: datetime | None
    size: int
    dropped_bytes: int
    stdout_sha256: str
    stderr_sha256: str

    @property
    def has_ended(self) -> bool:
        """Whether it has an end status."""
        return self.finished_at is not None

    @property
    def ending(self) -> tuple[object, ...]:
        """How it ended."""
        return self.status, self.exit_status, self.exit_signal

    @property
    def printed(self) -> tuple[object, ...]:
        """What it wrote. Per stream: in which order both arrive differs from one time to the next."""
        return self.size, self.dropped_bytes, self.stdout_sha256, self.stderr_sha256


@dataclass(frozen=True, slots=True)
class Pair:
    """An instance in both runs, or in one of them."""

    before: Side | None
    now: Side | None
    # Not to the byte, but without what is ignored.
    is_same_enough: bool = False

    @property
    def name(self) -> str:
        """The name of the instance, that of today where it was renamed."""
        side = self.now or self.before
        return side.name if side else ""

    @property
    def outcome(self) -> Outcome:
        """What became of it. A status that differs says more than the output that then differs too."""
        if self.before is None:
            return Outcome.ONLY_NOW
        if self.now is None:
            return Outcome.ONLY_BEFORE
        if not (self.before.has_ended and self.now.has_ended):
            return Outcome.NOT_ENDED
        if self.before.ending != self.now.ending:
            return Outcome.STATUS
        is_same = self.is_same_enough or self.before.printed == self.now.printed
        return Outcome.SAME if is_same else Outcome.OUTPUT

    @property
    def label(self) -> str:
        """The words for that."""
        return LABELS[self.outcome]


@dataclass(frozen=True, slots=True)
class StreamDifference:
    """How one stream of an instance differs. ``notes`` say what was not compared."""

    name: str
    difference: Difference
    notes: Sequence[str]


# ------------------------------------------------------------------ which runs


def candidates(user: User, run: Run) -> list[Run]:
    """Return the latest earlier runs of the same command that a user may see, with the counts of what they may see.

    The same command: the same saved command in any version, or exactly the same text; and the same command type.
    Side effects: two or three queries, each by an index and for the latest rows only.
    """
    seen = services.visible_runs(user).filter(pk__lt=run.pk, command_type=run.command_type).order_by("-pk")
    found = {one.pk: one for condition in _same_command(run) for one in seen.filter(condition)[:CANDIDATES]}
    latest = [found[pk] for pk in sorted(found, reverse=True)[:CANDIDATES]]
    history.narrow(user, latest)
    return latest


def earlier(user: User, run: Run, run_id: int) -> Run | None:
    """Return an earlier run of the same command by its number; None when there is none that the user may see."""
    seen = services.visible_runs(user).filter(pk=run_id, pk__lt=run.pk, command_type=run.command_type)
    for condition in _same_command(run):
        if found := seen.filter(condition).first():
            history.narrow(user, [found])
            return found
    return None


def _same_command(run: Run) -> list[Q]:
    conditions = [Q(command_sha256=run.command_sha256)]
    if run.saved_version:
        # The numbers of the versions, not a join: the database then goes by the index of runs.
        versions = run.saved_version.saved.versions.values_list("pk", flat=True)
        conditions.append(Q(saved_version__in=list(versions)))
    return conditions


# ------------------------------------------------------------------ which instances


def pairs(user: User, before: Run, now: Run, ignored: Rules = NO_RULES) -> tuple[list[Pair], int]:
    """Return the instances of both runs that a user may see, what changed most first; and how many were not read.

    They are matched by the instance, and where one of them was deleted and added again, by name. Side effects: one
    query; hashes are compared, and outputs that differ are read only where something in them is ignored.
    """
    of_run = _sides(user, before, now)
    earlier_sides, sides = of_run[before.pk], of_run[now.pk]
    matched = _match(earlier_sides, sides, "instance_id")
    used = {side.ordinal for side in matched.values()}
    left = [side for side in sides if side.ordinal not in matched]
    matched |= _match([side for side in earlier_sides if side.ordinal not in used], left, "name")
    used = {side.ordinal for side in matched.values()}
    found = [Pair(matched.get(side.ordinal), side) for side in sides]
    found += [Pair(side, None) for side in earlier_sides if side.ordinal not in used]
    unread = 0
    if not ignored.is_empty:
        found, unread = _without(ignored, found, (before, now))
    order = {outcome: place for place, outcome in enumerate(Outcome)}
    return sorted(found, key=lambda pair: order[pair.outcome]), unread


def _without(ignored: Rules, found: Sequence[Pair], runs: Iterable[Run]) -> tuple[list[Pair], int]:
    """Return the pairs again, those whose outputs differ in nothing but what is ignored marked."""
    differing = [pair for pair in found if pair.outcome is Outcome.OUTPUT]
    pks = {side.pk for pair in differing for side in (pair.before, pair.now) if side}
    if not pks:
        return list(found), 0
    digests, unread = outputs_as(Invocation.objects.filter(run__in=runs), ignored, pks)
    return [
        replace(pair, is_same_enough=True)
        if pair.before and pair.now and pair.now.pk in pks and digests.get(pair.before.pk) == digests.get(pair.now.pk)
        else pair
        for pair in found
    ], unread


def counts(found: Iterable[Pair]) -> dict[Outcome, int]:
    """Return how many instances came to each outcome, in the order of outcomes."""
    numbers = Counter(pair.outcome for pair in found)
    return {outcome: numbers[outcome] for outcome in Outcome if numbers[outcome]}


def _sides(user: User, *runs: Run) -> dict[int, list[Side]]:
    """Return the invocations of each run that a user may see, in order, by the number of the run."""
    seen = Invocation.objects.filter(rules.scope(user, rules.Action.VIEW, field="instance__group"), run__in=runs)
    rows = seen.order_by("run_id", "ordinal").values_list(
        "run_id", "pk", "ordinal", "instance_id", "instance_name", "status", "exit_status", "exit_signal",
        "finished_at", "size", "dropped_bytes", "stdout_sha256", "stderr_sha256",
    )  # fmt: skip
    found: dict[int, list[Side]] = {run.pk: [] for run in runs}
    for run_id, *row in rows.iterator():
        found[run_id].append(Side._make(row))
    return found


def _match(before: Sequence[Side], now: Sequence[Side], key: str) -> dict[int, Side]:
    """Return the earlier side of each side that has one with the same key, by ordinal; each is used once."""
    waiting: defaultdict[object, list[Side]] = defaultdict(list)
    for side in reversed(before):
        waiting[getattr(side, key)].append(side)
    return {
        side.ordinal: waiting[value].pop()
        for side in now
        if (value := getattr(side, key)) is not None and waiting.get(value)
    }


# ------------------------------------------------------------------ one instance


def stream_differences(before: Run, now: Run, pair: Pair, ignored: Rules = NO_RULES) -> list[StreamDifference]:
    """Return how the streams of an instance differ; the pair is one that the user may see.

    Raises: output.OutputRemoved when one of them is no longer kept.
    Side effects: reads at most ``COMPARED_BYTES`` of each.
    """
    if pair.before is None or pair.now is None:
        return []
    rows = [run.invocations.get(ordinal=side.ordinal) for run, side in ((before, pair.before), (now, pair.now))]
    return [
        _difference_of(rows, kind, ignored)
        for kind, one, other in (
            (OutputKind.STDOUT, pair.before.stdout_sha256, pair.now.stdout_sha256),
            (OutputKind.STDERR, pair.before.stderr_sha256, pair.now.stderr_sha256),
        )
        if (one or NOTHING) != (other or NOTHING) or any(row.dropped_bytes for row in rows)
    ]


def _difference_of(rows: Sequence[Invocation], kind: OutputKind, ignored: Rules) -> StreamDifference:
    shown: list[list[str]] = []
    compared: list[list[bytes]] = []
    notes: list[str] = []
    for row in rows:
        data = bytearray()
        for piece in output.stored_stream(row, kind):
            data += piece
            if len(data) > COMPARED_BYTES:
                notes = [f"Only the first {COMPARED_BYTES // 1024} KiB of each are compared."]
                break
        whole = bytes(data[:COMPARED_BYTES])
        # Rules keep the number of lines, so that a line is shown as it is and compared as it is meant.
        shown.append([decode(line, row.code_page) for line in _lines(whole)])
        compared.append(_lines(normalise(whole, ignored, own_words(row.instance_name, row.address))))
    if any(row.dropped_bytes for row in rows):
        notes.append("Not all of it was kept: it went beyond the output limit.")
    if ignored.is_empty:
        found = difference(*shown)
    else:
        found = difference(*([line.decode("latin-1") for line in lines] for lines in compared), shown=shown)
    if found.is_cut:
        notes.append("Too much differs: the rest is not shown.")
    elif not found.added and not found.removed and not notes:
        notes.append(
            "No line differs: only the end of the last one does."
            if ignored.is_empty
            else "No line differs in anything but what is ignored."
        )
    return StreamDifference(kind.name.lower(), found, notes)


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n") if data else []
