"""Owns what the page shows that compares two runs: its filters, one page of instances, and the one that is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator

from console.members.models import User
from console.reports import comparison
from console.reports.comparison import CHANGED, LABELS, Outcome, Pair
from console.results.normalise import NO_RULES, Rules
from console.runs import output
from console.runs.models import Run

PAGE_ROWS = 50
ALL, ONLY_CHANGED = "all", "changed"
# What is ignored where that was ticked.
IGNORED = Rules(times=True, own_name=True)


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter with its number of instances."""

    value: str
    label: str
    number: int
    is_current: bool


def compared(user: User, run: Run, query: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what the page shows, for its template; None when the query names a run that cannot be compared.

    Side effects: ten queries at most; reads the output of the instance that is open, within limits, and with ``ignore``
    those that differ.
    """
    candidates = comparison.candidates(user, run)
    before = _before(user, run, query.get("with", ""), candidates)
    if before is None:
        return None if query.get("with") else {"run": run, "before": None}
    if before.pk not in {one.pk for one in candidates}:
        candidates.append(before)
    ignored = IGNORED if query.get("ignore") else NO_RULES
    found, unread = comparison.pairs(user, before, run, ignored)
    filters = _filters(found, query.get("show", ""))
    show = next(one.value for one in filters if one.is_current)
    page = Paginator([pair for pair in found if _fits(pair, show)], PAGE_ROWS).get_page(query.get("page"))
    shown: dict[str, Any] = {
        "run": run,
        "before": before,
        "candidates": candidates,
        "filters": filters,
        "show": show,
        "page": page,
        "is_ignoring": not ignored.is_empty,
        "unread": unread,
        "query": urlencode({"with": before.pk, "show": show} | ({} if ignored.is_empty else {"ignore": "1"})),
    }
    ordinal = query.get("i", "")
    opened = next((pair for pair in found if pair.now and ordinal == str(pair.now.ordinal)), None)
    return shown | (_opened(before, run, opened, ignored) if opened else {})


def _before(user: User, run: Run, asked: str, candidates: list[Run]) -> Run | None:
    if not asked:
        return candidates[0] if candidates else None
    if not asked.isdecimal() or len(asked) > 18:
        return None
    known = next((one for one in candidates if one.pk == int(asked)), None)
    return known or comparison.earlier(user, run, int(asked))


def _filters(found: list[Pair], asked: str) -> list[Filter]:
    numbers = comparison.counts(found)
    changed = sum(number for outcome, number in numbers.items() if outcome in CHANGED)
    every = [(ONLY_CHANGED, "Changed", changed), (ALL, "All", len(found))]
    every += [(outcome.value, LABELS[outcome], number) for outcome, number in numbers.items()]
    current = asked if asked in {ALL, ONLY_CHANGED, *Outcome} else ONLY_CHANGED
    if current not in {value for value, _, _ in every}:
        every.append((current, LABELS[Outcome(current)], 0))
    return [Filter(value, label, number, value == current) for value, label, number in every]


def _fits(pair: Pair, show: str) -> bool:
    return show == ALL or (pair.outcome in CHANGED if show == ONLY_CHANGED else pair.outcome == show)


def _opened(before: Run, run: Run, pair: Pair, ignored: Rules) -> dict[str, Any]:
    try:
        found = comparison.stream_differences(before, run, pair, ignored)
    except output.OutputRemoved:
        return {"opened": pair, "is_removed": True}
    return {"opened": pair, "differences": found}
