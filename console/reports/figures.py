"""Owns the numbers behind the charts: how runs of a saved command ended over time, and how long instances took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from django.urls import reverse
from django.utils import timezone

from console.members.models import User
from console.reports import charts
from console.reports.charts import Bin, Chart, Column
from console.runs import history, services
from console.runs.models import Run
from console.runs.status import Status
from console.saved_commands.models import SavedCommand
from console.templatetags.muster import took

# Of each chart: bars, or runs that a day's bars are added up from.
RUNS_SHOWN = 60
DAYS_SHOWN = 60
RUNS_ADDED_UP = 2000
PER_RUN, PER_DAY = "run", "day"
# Kinds of ends, lowest in a bar first, with the statuses of each.
KINDS: dict[str, tuple[str, frozenset[Status]]] = {
    "succeeded": ("Succeeded", frozenset({Status.SUCCEEDED})),
    "failed": ("Failed or timed out", frozenset({Status.FAILED, Status.TIMED_OUT})),
    "did_not_run": ("Did not run", frozenset({Status.UNREACHABLE, Status.SKIPPED, Status.CANCELLED})),
    "stopped": ("Stopped", frozenset({Status.STOPPED})),
    "lost": ("Outcome unknown", frozenset({Status.LOST})),
}
_KIND_OF = {status.value: kind for kind, (_, statuses) in KINDS.items() for status in statuses}


@dataclass(frozen=True, slots=True)
class Row:
    """One bar as a row of the table below the chart: ``numbers`` in the order of the kinds."""

    label: str
    href: str
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How runs ended over time: the chart, the same as a table, and what each kind is called.

    ``is_cut``: there are more runs than were looked at.
    """

    per: str
    chart: Chart
    kinds: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the instances of a run took. Units: seconds. ``rows``: the bins that are not empty, in words."""

    chart: Chart
    number: int
    median_s: float
    p95_s: float
    longest_s: float
    rows: Sequence[tuple[str, int]]


def outcomes(user: User, saved: SavedCommand, per: str = PER_RUN) -> Outcomes | None:
    """Return how the latest runs of a saved command ended, one bar per run or per day; None when there is none.

    Counts are of what the user may see. Side effects: by the index of the versions, a bounded number of runs.
    """
    versions = list(saved.versions.values_list("pk", flat=True))
    seen = services.visible_runs(user).filter(saved_version__in=versions).order_by("-pk")
    limit = RUNS_SHOWN if per == PER_RUN else RUNS_ADDED_UP
    if per == PER_DAY:
        seen = seen.filter(created_at__gte=timezone.now() - timedelta(days=DAYS_SHOWN))
    runs = list(seen.only("pk", "created_at", "counts", "target_count")[: limit + 1])
    is_cut, runs = len(runs) > limit, runs[:limit][::-1]
    if not runs:
        return None
    history.narrow(user, runs)
    columns = [_of_run(run) for run in runs] if per == PER_RUN else _of_days(runs)
    kinds = [(kind, label) for kind, (label, _) in KINDS.items()]
    hrefs = [reverse("run", args=[run.pk]) for run in runs] if per == PER_RUN else [""] * len(columns)
    rows = [
        Row(column.label, href, [column.parts.get(kind, 0) for kind, _ in kinds])
        for column, href in zip(columns[::-1], hrefs[::-1], strict=True)
    ]
    return Outcomes(per, charts.stacked(columns, list(KINDS)), kinds, rows, is_cut)


def _of_run(run: Run) -> Column:
    label = f"Run {run.pk}"
    parts = _parts([run.counts])
    return Column(label, parts, _title(f"{label}, {_minute(run.created_at)}", parts))


def _of_days(runs: Iterable[Run]) -> list[Column]:
    """Return a bar for each day from the first run to today; a day without a run has an empty one."""
    of_day = {
        day: _parts([run.counts for run in group])
        for day, group in groupby(runs, key=lambda run: run.created_at.date())
    }
    first, today = min(of_day), timezone.now().date()
    days = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    return [Column(_day(day), of_day.get(day, {}), _title(_day(day), of_day.get(day, {}))) for day in days]


def _parts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    parts: dict[str, int] = {}
    for of_run in counts:
        for status, number in of_run.items():
            if kind := _KIND_OF.get(status):
                parts[kind] = parts.get(kind, 0) + number
    return parts


def _title(name: str, parts: Mapping[str, int]) -> str:
    said = ", ".join(f"{parts[kind]:,} {label.lower()}" for kind, (label, _) in KINDS.items() if parts.get(kind))
    return f"{name}: {said or 'nothing has ended'}"


def durations(user: User, run: Run) -> Durations | None:
    """Return how long the instances took that have started and ended; None when there is none. One query."""
    rows = services.visible_invocations(user, run).filter(started_at__isnull=False, finished_at__isnull=False)
    times = rows.order_by().values_list("started_at", "finished_at")
    # A clock that was set back meanwhile is no negative duration.
    taken = sorted(
        max(0.0, (finished - started).total_seconds()) for started, finished in times if started and finished
    )
    if not taken:
        return None
    bins = charts.bins_of(taken)
    words = [_words(round(limit, 3)) for limit in [*(one.start for one in bins), bins[-1].end]]
    median, p95 = charts.quantile(taken, 0.5), charts.quantile(taken, 0.95)
    lines = [(f"half: {took(median)}", median), (f"95 %: {took(p95)}", p95)]
    return Durations(
        chart=charts.histogram(bins, lines, words=words),
        number=len(taken),
        median_s=median,
        p95_s=p95,
        longest_s=taken[-1],
        rows=_in_words(bins, words),
    )


def _words(seconds: float) -> str:
    return took(int(seconds) if seconds == int(seconds) else seconds)


def _in_words(bins: Sequence[Bin], words: Sequence[str]) -> list[tuple[str, int]]:
    return [(f"{words[place]} to {words[place + 1]}", one.number) for place, one in enumerate(bins) if one.number]


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def _day(day: date) -> str:
    return day.strftime("%m-%d")
