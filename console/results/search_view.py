"""Owns what the search in all outputs of a run shows: the form, a part of the hits, and where to go on."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from console.members.models import User
from console.results.search import BadPattern, Found, Hit, compiled, search
from console.runs import services
from console.runs.models import Run
from console.runs.presentation import ALL, FILTERS
from console.runs.viewing import BEHIND_BYTES

# After so many lines it goes on only when told to.
LINES_BY_ITSELF = 1000


@dataclass(frozen=True, slots=True)
class HitRow:
    """One line that was found. ``line`` is 0 where the log view does not show it: then ``url`` leads to an excerpt."""

    hit: Hit
    url: str
    line: int


@dataclass(frozen=True, slots=True)
class FoundRow:
    """What was found in one output."""

    found: Found
    rows: Sequence[HitRow]


@dataclass(frozen=True, slots=True)
class SearchView:
    """The form's fields, and one part of what was found; ``on_url`` is empty at the end."""

    q: str
    is_regex: bool
    is_case: bool
    status: str
    statuses: Sequence[tuple[str, str]]
    error: str = ""
    rows: Sequence[FoundRow] = ()
    searched: int = 0
    total: int = 0
    removed: int = 0
    on_url: str = ""
    goes_on: bool = False
    lines: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether there is something to search for."""
        return bool(self.q) and not self.error


def search_view(user: User, run: Run, params: QueryDict) -> tuple[SearchView, int]:
    """Return what a search shows, and the status of the answer: 422 for a pattern that is none.

    Side effects: searches for about a second (``search.search``).
    """
    q, status = params.get("q", ""), params.get("status", ALL)
    status = status if status in FILTERS else ALL
    asked = SearchView(
        q=q,
        is_regex=bool(params.get("regex")),
        is_case=bool(params.get("case")),
        status=status,
        statuses=[(name, label) for name, (label, _) in FILTERS.items()],
    )
    if not q:
        return asked, 200
    mine = services.visible_invocations(user, run)
    if status != ALL:
        mine = mine.filter(status__in=sorted(FILTERS[status][1]))
    try:
        pattern = compiled(q, is_regex=asked.is_regex, is_case=asked.is_case)
    except BadPattern as error:
        return _with(asked, error=str(error)), 422
    part = search(mine, pattern, start=_number(params.get("from", "")))
    lines = _number(params.get("lines", "")) + part.lines
    query = _query(asked)
    address = reverse("run-search", args=[run.pk])
    on = [*query, ("from", str(part.following)), ("lines", str(lines))]
    return _with(
        asked,
        rows=[_row(run, one, query) for one in part.found],
        searched=part.searched,
        total=part.total,
        removed=part.removed,
        on_url=f"{address}?{urlencode(on)}" if part.following is not None else "",
        goes_on=lines < LINES_BY_ITSELF,
        lines=lines,
    ), 200


def _with(view: SearchView, **changes: object) -> SearchView:
    return dataclasses.replace(view, **changes)  # type: ignore[arg-type]


def _query(asked: SearchView) -> list[tuple[str, str]]:
    fields = [("q", asked.q), ("regex", "1" if asked.is_regex else ""), ("case", "1" if asked.is_case else "")]
    fields.append(("status", asked.status if asked.status != ALL else ""))
    return [(name, value) for name, value in fields if value]


def _row(run: Run, found: Found, query: list[tuple[str, str]]) -> FoundRow:
    ordinal = found.invocation.ordinal
    # Of a larger one the log view holds the end alone, and its lines have other numbers there.
    is_shown = found.invocation.size <= BEHIND_BYTES
    address = f"{reverse('run-search', args=[run.pk])}?{urlencode([*query, ('i', ordinal)])}"
    rows = [
        HitRow(hit, f"{address}#L{hit.number}", hit.number)
        if is_shown
        else HitRow(hit, f"{reverse('run-lines', args=[run.pk, ordinal, hit.number])}?{urlencode(query)}", 0)
        for hit in found.hits
    ]
    return FoundRow(found, rows)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 9 else 0
