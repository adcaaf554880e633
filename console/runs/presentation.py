"""Owns how a run is shown: its counts, one page of its invocations, and the one that is open."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db import models
from django.urls import reverse
from django.utils import timezone

from console.members.models import User
from console.runs import output, services
from console.runs.choice import in_words
from console.runs.families import sent_with
from console.runs.former import ROWS, WHICH
from console.runs.keep_fields import MadeFrom, made_from
from console.runs.models import Invocation, Run
from console.runs.rollout_view import Limits, RolloutView, limits_of, rollout_view
from console.runs.status import ACTIVE, Status
from instances.access import rules

PAGE_ROWS = 50
ALL = "all"
# Filters of the rows: each shows the statuses beside it.
FILTERS: dict[str, tuple[str, frozenset[Status]]] = {
    ALL: ("All", frozenset(Status)),
    "queued": ("Queued", frozenset({Status.QUEUED})),
    "active": ("Running", ACTIVE),
    "succeeded": ("Succeeded", frozenset({Status.SUCCEEDED})),
    "failed": ("Failed", frozenset({Status.FAILED})),
    "timed_out": ("Timed out", frozenset({Status.TIMED_OUT})),
    "stopped": ("Stopped", frozenset({Status.STOPPED})),
    "unreachable": ("Unreachable", frozenset({Status.UNREACHABLE})),
    "did_not_run": ("Did not run", frozenset({Status.CANCELLED, Status.SKIPPED})),
    "lost": ("Outcome unknown", frozenset({Status.LOST})),
}
SUMMARY_WORDS = {
    "queued": "queued",
    "active": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "timed_out": "timed out",
    "stopped": "stopped",
    "unreachable": "unreachable",
    "did_not_run": "did not run",
    "lost": "unknown",
}


@dataclass(frozen=True, slots=True)
class Count:
    """One filter with its number of invocations."""

    status: str
    label: str
    number: int
    is_current: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything the run's panel shows.

    Units: ``elapsed_s`` seconds, ``percent`` of invocations with an end; ``matching`` counts the filter's invocations.
    """

    run: Run
    counts: Sequence[Count]
    rows: Sequence[Invocation]
    page: int
    pages: int
    matching: int
    status_filter: str
    opened: Invocation | None
    output_text: str
    can_stop: bool
    can_send: bool
    limits: Limits
    can_recheck: bool
    finished: int
    total: int
    percent: int
    elapsed_s: float
    summary: str
    row_ids: tuple[int, ...] = field(default=())
    sent_with: tuple[Run, ...] = ()
    made_from: MadeFrom | None = None
    rollout: RolloutView | None = None

    @property
    def first(self) -> int:
        """The place of the first row shown among those of the filter, from 1."""
        return (self.page - 1) * PAGE_ROWS + 1

    @property
    def last(self) -> int:
        """The place of the last row shown."""
        return (self.page - 1) * PAGE_ROWS + len(self.rows)

    @property
    def chosen(self) -> str:
        """How its instances were chosen, in words; empty for who does not see them all: it may name others."""
        return in_words(self.run.choice) if self.run.choice and self.total == self.run.target_count else ""

    @property
    def ready(self) -> int:
        """Of a dry run, on how many instances everything was in place."""
        return next((count.number for count in self.counts if count.status == "succeeded"), 0)

    @property
    def again(self) -> tuple[tuple[str, str], ...]:
        """On which of its instances it may be run again: what they are called in an address, and in the menu."""
        return tuple((name, words) for name, (words, _) in WHICH.items() if name != ROWS)

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What the address of another page keeps of this one's."""
        return (("status", self.status_filter),)

    @property
    def first_url(self) -> str:
        """The address of the first page."""
        return self._page_url(1)

    @property
    def previous_url(self) -> str:
        """The address of the page before, empty on the first."""
        return self._page_url(self.page - 1) if self.page > 1 else ""

    @property
    def next_url(self) -> str:
        """The address of the page after, empty on the last."""
        return self._page_url(self.page + 1) if self.page < self.pages else ""

    @property
    def last_url(self) -> str:
        """The address of the last page."""
        return self._page_url(self.pages)

    def _page_url(self, page: int) -> str:
        return reverse("run", args=[self.run.pk]) + "?" + urlencode([*self.kept, ("page", page)])


def run_view(
    user: User, run: Run, *, status: str = ALL, page: int = 1, opened: int | None = None, with_output: bool = False
) -> RunView:
    """Return what a user sees of a run. Side effects: at most eight queries.

    An unknown filter means all; a page past the end means the last; ``opened`` is an ordinal, by default the first
    row of the page.
    """
    status = status if status in FILTERS else ALL
    mine = services.visible_invocations(user, run)
    if run.is_in_sessions:
        mine = mine.select_related("session")
    numbers = _numbers(user, run)
    of_filter = numbers[status]
    pages = pages_of(of_filter)
    page = min(max(1, page), pages)
    shown = mine if status == ALL else mine.filter(status__in=sorted(FILTERS[status][1]))
    rows = list(shown[(page - 1) * PAGE_ROWS : page * PAGE_ROWS])
    open_row = _opened(mine, rows, opened)
    total = numbers[ALL]
    finished = total - numbers["queued"] - numbers["active"]
    return RunView(
        run=run,
        counts=_counts(numbers, status),
        rows=rows,
        page=page,
        pages=pages,
        matching=of_filter,
        status_filter=status,
        opened=open_row,
        output_text=output.tail_text(open_row) if with_output and open_row else "",
        can_stop=not run.has_ended and rules.allowed_anywhere(user, rules.Action.STOP_RUN),
        can_recheck=rules.allowed_anywhere(user, rules.Action.STOP_RUN),
        limits=limits_of(run),
        can_send=rules.allowed_anywhere(user, rules.Action.SEND_COMMAND),
        finished=finished,
        total=total,
        percent=int(100 * finished / total) if total else 100,
        elapsed_s=((run.finished_at or timezone.now()) - run.created_at).total_seconds(),
        summary=summary(numbers),
        row_ids=tuple(row.ordinal for row in rows),
        sent_with=tuple(sent_with(user, run)),
        made_from=made_from(user, run),
        rollout=rollout_view(user, run, numbers),
    )


def pages_of(matching: int) -> int:
    """Return how many pages so many rows take: at least one."""
    return max(1, -(-matching // PAGE_ROWS))


def _opened(mine, rows: Sequence[Invocation], ordinal: int | None) -> Invocation | None:  # type: ignore[no-untyped-def]
    if ordinal is None:
        return rows[0] if rows else None
    return next((row for row in rows if row.ordinal == ordinal), None) or mine.filter(ordinal=ordinal).first()


def _numbers(user: User, run: Run) -> dict[str, int]:
    """Return invocations per filter. The run's own counts serve whoever may see everything."""
    stored: dict[str, int] = run.counts
    if rules.scope(user, rules.Action.VIEW, field="instance__group"):
        mine = services.visible_invocations(user, run).order_by()
        stored = dict(mine.values_list("status").annotate(models.Count("pk")))
    return {
        name: sum(number for status, number in stored.items() if status in statuses)
        for name, (_, statuses) in FILTERS.items()
    }


def _counts(numbers: dict[str, int], current: str) -> list[Count]:
    return [
        Count(name, label, numbers[name], name == current)
        for name, (label, _) in FILTERS.items()
        if numbers[name] or name in {ALL, current}
    ]


def summary(numbers: dict[str, int]) -> str:
    """Return "3 succeeded · 1 failed" from numbers per filter."""
    return " · ".join(f"{numbers[name]:,} {word}" for name, word in SUMMARY_WORDS.items() if numbers.get(name))


def summary_of(run: Run) -> str:
    """Return the summary of a run from its stored counts."""
    return summary(
        {
            name: sum(number for status, number in run.counts.items() if status in statuses)
            for name, (_, statuses) in FILTERS.items()
        }
    )
