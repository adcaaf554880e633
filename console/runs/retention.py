"""Owns what is removed in time: runs that are too old, and the oldest output when there is too much of it.

``plan`` only looks. ``carry_out`` removes in short transactions, so that nobody's commits are held up.
"""

import fcntl
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Length
from django.template.defaultfilters import filesizeformat, pluralize
from django.utils import timezone

from console import bus
from console.members.models import User
from console.runs import keeping, queue, word_index
from console.runs.models import STORED_OUTPUT, Invocation, Output, OutputKind, Run
from console.runs.status import ENDED_RUN, RunStatus
from console.runs.word_index import Words
from instances.audit.services import record

# What one transaction removes at most: 4 MiB of output take 10 to 35 ms, 20,000 short rows as long.
BATCH_BYTES = 4 * 1024 * 1024
BATCH_ROWS = 20_000
BATCH_INVOCATIONS = 500
_SIZE = Sum(F("stdout_bytes") + F("stderr_bytes"))
# Runs that an audit entry names; the numbers in it count all.
NAMED_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long runs are kept, and how much output in all; 0 is without limit."""

    days: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be removed: ``runs`` as a whole, and the output of ``output_of``; ids, oldest first.

    ``output_bytes`` is that of ``output_of``, ``run_bytes`` that of ``runs``. ``by_own_rules``: some of the runs are
    removed by the rule of their saved command.
    """

    runs: tuple[int, ...] = ()
    output_of: tuple[int, ...] = ()
    output_bytes: int = 0
    run_bytes: int = 0
    by_own_rules: bool = False

    @property
    def amount(self) -> "Removed":
        """What will have been removed once it is carried out."""
        return Removed(len(self.runs), len(self.output_of), self.output_bytes, by_own_rules=self.by_own_rules)


@dataclass(slots=True)
class Removed:
    """What has been removed so far. ``output_bytes`` is that of the runs which are kept without their output."""

    runs: int = 0
    outputs: int = 0
    output_bytes: int = 0
    rows: int = 0
    by_own_rules: bool = False


def plan(limits: Limits) -> Plan:
    """Return what the limits ask to remove now: runs whose time is over, then the output of those sent first.

    1. Never anything of a run that has not ended, or that has a lost invocation still to be looked at.
    2. A run of a saved command with a rule of its own is kept as long as that says.
    3. The output of a run goes as a whole, and no more runs than it takes to come below the limit. Runs that a rule
       keeps longer than the limit of days come last.
    Side effects: six queries, with rules of saved commands eight; none of them reads output.
    """
    _, (planned,) = forecast(limits, [timezone.now()])
    return planned


def forecast(limits: Limits, moments: Iterable[datetime]) -> tuple[int, list[Plan]]:
    """Return how many bytes of output are stored in all, and what will be removed by each of these moments.

    That is if nothing is added until then. Side effects: adds up what is stored once, from an index.
    """
    own_rules, spared, by_run = keeping.own_rules(), _spared(), _stored_by_run()
    total = sum(by_run.values()) + _stored_of_others()
    stock = _stock(limits, own_rules, spared, by_run)
    return total, [_plan(limits, *_over(limits, own_rules, spared, at), stock, total) for at in moments]


def _spared() -> set[int]:
    return set(Invocation.objects.exclude(recheck="").order_by().values_list("run_id", flat=True))


def _over(
    limits: Limits, own_rules: Mapping[int, int], spared: Collection[int], at: datetime
) -> tuple[tuple[int, ...], bool]:
    """Return the runs whose time is over at a moment, and whether rules of saved commands had a part in it."""
    usual = [pk for pk in keeping.over_by_setting(limits.days, at, own_rules) if pk not in spared]
    own = [pk for pk in keeping.over_by_own_rules(at, own_rules) if pk not in spared]
    return tuple(sorted(usual + own) if own else usual), bool(own)


def _stock(
    limits: Limits, own_rules: Mapping[int, int], spared: Collection[int], by_run: Mapping[int, int]
) -> dict[int, int]:
    """Return the bytes of output of each run that may be removed, in the order in which that is done."""
    last = keeping.kept_longer(limits.days, own_rules)
    kept = {*spared, *_going().values_list("pk", flat=True)}
    stored = ((pk, size) for pk, size in by_run.items() if pk not in kept)
    return dict(sorted(stored, key=lambda row: (row[0] in last, row[0])) if last else stored)


def _plan(limits: Limits, old: tuple[int, ...], by_own_rules: bool, stock: Mapping[int, int], total: int) -> Plan:
    run_bytes = sum(stock.get(pk, 0) for pk in old)
    excess = total - run_bytes - limits.output_bytes
    output_of: list[int] = []
    output_bytes = 0
    if limits.output_bytes and excess > 0:
        gone = set(old)
        for pk, size in stock.items():
            if output_bytes >= excess:
                break
            if pk not in gone:
                output_of.append(pk)
                output_bytes += size
    return Plan(old, tuple(output_of), output_bytes, run_bytes, by_own_rules)


def stored_bytes() -> int:
    """Return how many bytes of output are stored in all, gaps not counted."""
    ended = Invocation.objects.filter(STORED_OUTPUT).aggregate(total=_SIZE)["total"]
    return (ended or 0) + _stored_of_others()


def _stored_of_others() -> int:
    # By way of their runs, of which there are few: every other way reads the whole history.
    others = Invocation.objects.filter(finished_at=None, run__in=_going().values("pk"))
    return others.aggregate(total=_SIZE)["total"] or 0


def _going() -> QuerySet[Run]:
    return Run.objects.filter(status__in=sorted(set(RunStatus) - ENDED_RUN)).order_by()


def _stored_by_run() -> dict[int, int]:
    """Return the bytes of output that ended invocations have, by run, in the order of the runs."""
    sizes = Invocation.objects.filter(STORED_OUTPUT).values("run_id").annotate(total=_SIZE).order_by("run_id")
    return dict(sizes.values_list("run_id", "total").iterator())


# ------------------------------------------------------------------ removing


def carry_out(planned: Plan, *, actor: User | None, os_user: str = "") -> Iterator[Removed]:
    """Remove what was planned; every ``next`` is one short transaction, and gives what has been removed so far.

    Breaking off between two leaves nothing half: the rest is planned again another time. The audit entry is written
    with the first removal. ``actor`` is None when a worker does it by itself; ``os_user`` is who typed it.
    Side effects: viewers of what is removed are woken.
    """
    removed = Removed(by_own_rules=planned.by_own_rules)
    is_recorded = False
    for run_id, remove in _work(planned):
        more = True
        while more:
            with transaction.atomic():
                more = remove(run_id, removed)
                if removed.rows and not is_recorded:
                    is_recorded = True
                    _record(planned, actor, os_user)
                transaction.on_commit(lambda: bus.ring(bus.WEB))
            yield removed


Remove = Callable[[int, Removed], bool]


def _work(planned: Plan) -> Iterator[tuple[int, Remove]]:
    yield from ((run_id, _remove_run) for run_id in planned.runs)
    yield from ((run_id, _remove_output) for run_id in planned.output_of)


def _remove_run(run_id: int, removed: Removed) -> bool:
    """Remove a part of a run: output, then invocations from the last on, then the run itself; False when it is gone."""
    run = _removable(run_id)
    if run is None or keeping.is_kept_for_ever(run):
        return False
    if _remove_stored(run, removed) and _with_output(run):
        return True
    last = run.invocations.order_by("-ordinal").values_list("pk", flat=True)[:BATCH_INVOCATIONS]
    removed.rows += Invocation.objects.filter(pk__in=list(last)).delete()[0]
    if run.invocations.exists():
        return True
    word_index.remove(Words.OF_COMMANDS, [run.pk])
    removed.rows += run.delete()[0]
    removed.runs += 1
    return False


def _remove_output(run_id: int, removed: Removed) -> bool:
    """Remove a part of a run's output; False when none is left."""
    run = _removable(run_id)
    if run is None:
        return False
    removed.output_bytes += _remove_stored(run, removed)
    if _with_output(run):
        return True
    removed.outputs += 1
    return False


def _removable(run_id: int) -> Run | None:
    """Lock a run and return it; None when it is gone, or somebody asked to look at it since it was planned."""
    run = Run.objects.select_for_update().filter(pk=run_id, finished_at__isnull=False).first()
    return None if run is None or run.invocations.exclude(recheck="").exists() else run


def _with_output(run: Run) -> list[int]:
    rows = Invocation.objects.filter(STORED_OUTPUT, run=run).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[:BATCH_INVOCATIONS])


def _remove_stored(run: Run, removed: Removed) -> int:
    """Remove at most a batch of a run's output and return its bytes; 0 when there is no more.

    From the end of each log, so that what a reader finds meanwhile is still an exact prefix.
    """
    ids = _with_output(run)
    if not ids:
        return 0
    sizes, cut = _batch(ids)
    whole = [pk for pk in ids if cut is None or pk > cut[0]]
    removed.rows += Output.objects.filter(invocation_id__in=whole).delete()[0]
    word_index.remove(Words.OF_OUTPUTS, whole if cut is None else [*whole, cut[0]])
    marked: dict[str, object] = {
        "output_removed_at": Coalesce("output_removed_at", Value(timezone.now())),
        "revision": queue.next_revision(run),
    }
    Invocation.objects.filter(pk__in=whole).update(stdout_bytes=0, stderr_bytes=0, **marked)
    if cut is not None:
        pk, offset = cut
        removed.rows += Output.objects.filter(invocation_id=pk, offset__gte=offset).delete()[0]
        Invocation.objects.filter(pk=pk).update(
            stdout_bytes=F("stdout_bytes") - sizes.get((pk, OutputKind.STDOUT), 0),
            stderr_bytes=F("stderr_bytes") - sizes.get((pk, OutputKind.STDERR), 0),
            **marked,
        )
    return sum(sizes.values())


def _batch(ids: list[int]) -> tuple[dict[tuple[int, int], int], tuple[int, int] | None]:
    """Return the bytes of the next rows to remove, by invocation and kind, and where the batch ends.

    The end is (invocation, offset): the last row that belongs to it; None when everything does.
    """
    rows = Output.objects.filter(invocation_id__in=ids).order_by("-invocation_id", "-offset")
    sizes: dict[tuple[int, int], int] = {}
    batch_bytes = 0
    found = rows.values_list("invocation_id", "offset", "kind", Length("data"))[: BATCH_ROWS + 1]
    for number, (pk, offset, kind, length) in enumerate(found, start=1):
        if kind != OutputKind.GAP:
            sizes[pk, kind] = sizes.get((pk, kind), 0) + length
            batch_bytes += length
        if batch_bytes >= BATCH_BYTES or number == BATCH_ROWS:
            return sizes, (pk, offset)
    return sizes, None


def _record(planned: Plan, actor: User | None, os_user: str) -> None:
    record(
        actor,
        "retention.prune",
        "runs",
        runs=list(planned.runs[:NAMED_RUNS]),
        run_count=len(planned.runs),
        output_of=list(planned.output_of[:NAMED_RUNS]),
        output_count=len(planned.output_of),
        output_bytes=planned.output_bytes,
        **({"os_user": os_user} if os_user else {}),
    )


# ------------------------------------------------------------------ whose turn it is, and what is said


class Turn:
    """The right to prune: one process at a time, and the kernel takes it back however the process ends.

    Its file also remembers when a worker last did its daily round.
    """

    def __init__(self) -> None:
        """Raises: BlockingIOError while another process prunes."""
        self._file = (Path(settings.DATA_DIR) / "retention.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def is_due(self) -> bool:
        """Say whether the last daily round is a day ago, or was never, or is said to be in the future."""
        self._file.seek(0)
        try:
            last = datetime.fromisoformat(self._file.read().strip())
        except ValueError:
            return True
        return not timedelta(0) <= timezone.now() - last < timedelta(days=1)

    def note_done(self) -> None:
        """Remember that the daily round was done now."""
        self._file.truncate(0)
        self._file.write(timezone.now().isoformat())
        self._file.flush()


def next_round() -> datetime:
    """Return when a worker does the next daily round: now, when the last one is more than a day ago or unknown."""
    now = timezone.now()
    try:
        last = datetime.fromisoformat((Path(settings.DATA_DIR) / "retention.lock").read_text().strip())
    except (OSError, ValueError):
        return now
    return last + timedelta(days=1) if timedelta(0) <= now - last < timedelta(days=1) else now


def sentence(verb: str, amount: Removed, limits: Limits) -> str:
    """Return "Removed 3 runs older than 90 days, the output of 2 runs (1.2 GB)"; empty when it is about nothing."""
    parts = []
    if amount.runs:
        days = f"older than {limits.days} day{pluralize(limits.days)}"
        why = "whose time was over" if amount.by_own_rules else days
        parts.append(f"{amount.runs} run{pluralize(amount.runs)} {why}")
    if amount.outputs:
        size = size_words(amount.output_bytes)
        parts.append(f"the output of {amount.outputs} run{pluralize(amount.outputs)} ({size})")
    return f"{verb} {', '.join(parts)}" if parts else ""


def size_words(size: int) -> str:
    """Return "1.2 GB", as the pages say it."""
    return filesizeformat(size).replace("\N{NO-BREAK SPACE}", " ")
