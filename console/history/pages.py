"""Owns going through the history: pages by run number, and how many runs there are at least."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import QueryDict

from console.history.services import query_of
from console.runs.models import Run

PAGE_ROWS = 50
# Counting ends here: the exact number of very many costs seconds and tells nobody anything.
COUNT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs, newest first. ``query`` holds the filters; each ``*_query`` with it leads to another page."""

    runs: Sequence[Run]
    query: str
    has_newer: bool
    has_older: bool
    total: int

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def is_counted(self) -> bool:
        """Whether ``total`` is all, not just where counting ended."""
        return self.total <= COUNT_LIMIT

    @property
    def count(self) -> str:
        """How many runs fit, in digits: "1,000+" where counting ended."""
        return f"{self.total:,}" if self.is_counted else f"{COUNT_LIMIT:,}+"

    @property
    def newest_query(self) -> str:
        """Leads to the first page."""
        # Never empty: an address without anything is that of the filter one has made the default.
        return self.query or "all=1"

    @property
    def newer_query(self) -> str:
        """Leads to the page before."""
        return self._at(f"after={self.runs[0].pk}") if self.runs else ""

    @property
    def older_query(self) -> str:
        """Leads to the page after."""
        return self._at(f"before={self.runs[-1].pk}") if self.runs else ""

    @property
    def oldest_query(self) -> str:
        """Leads to the last page."""
        return self._at("after=0")

    def _at(self, place: str) -> str:
        return f"{self.query}&{place}" if self.query else place


def page_of(found: QuerySet[Run], params: QueryDict) -> RunPage:
    """Return the page of runs ``before`` or ``after`` the run whose number the address gives; else the newest.

    By number, not by page number: a page far back costs no more than the first, and runs sent meanwhile shift nothing.
    Side effects: two queries, three for other pages than the newest.
    """
    before, after = number(params.get("before")), number(params.get("after"))
    # Numbers first: an index has them, while whole runs of which most are not shown would be read in full.
    numbers = found.values_list("pk", flat=True)
    counted = list(numbers[: COUNT_LIMIT + 1])
    if before is not None:
        page = list(numbers.filter(pk__lt=before)[: PAGE_ROWS + 1])
        has_newer, has_older = True, len(page) > PAGE_ROWS
    elif after is not None:
        page = list(numbers.filter(pk__gt=after).order_by("pk")[: PAGE_ROWS + 1])
        # After nothing is the oldest page.
        has_newer, has_older = len(page) > PAGE_ROWS, after > 0
    else:
        page = counted
        has_newer, has_older = False, len(page) > PAGE_ROWS
    rows = list(Run.objects.filter(pk__in=page[:PAGE_ROWS]).order_by("-pk"))
    return RunPage(rows, query_of(params), has_newer, has_older, len(counted))


def number(text: str | None) -> int | None:
    """Return a place in the history from an address; None for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
