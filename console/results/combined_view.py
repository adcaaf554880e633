"""Owns what the combined view shows around its lines: the filter, and where earlier and later lines are."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse

from console.members.models import User
from console.results.combined import Cursor, Line, Page, page
from console.runs import services
from console.runs.models import Invocation, OutputKind, Run
from console.runs.presentation import ALL, FILTERS


@dataclass(frozen=True, slots=True)
class CombinedView:
    """A page of lines, and the addresses around it; ``grows``: later lines are asked for until the run has ended."""

    page: Page
    status: str
    statuses: Sequence[tuple[str, str]]
    is_bare: bool
    earlier_url: str
    later_url: str
    text_url: str
    grows: bool
    removed: int
    has_earlier_part: bool
    has_later_part: bool


def of_status(user: User, run: Run, status: str) -> QuerySet[Invocation]:
    """Return the invocations of a run that a user may see and that a filter shows; an unknown one shows all."""
    mine = services.visible_invocations(user, run)
    return mine.filter(status__in=sorted(FILTERS[status][1])) if status in FILTERS and status != ALL else mine


def combined_view(user: User, run: Run, params: QueryDict) -> CombinedView:
    """Return the lines that an address asks for: ``after`` or ``before`` a cursor, else the last.

    ``seen`` is the revision that the page with the cursor was shown at.
    """
    status = params.get("status", ALL)
    mine = of_status(user, run, status)
    after, before = (Cursor.parse(params.get(name, "")) for name in ("after", "before"))
    seen = params.get("seen", "")
    # An instance comes into one state alone with all of its output, of which the last line would say little.
    is_known = status not in FILTERS or status == ALL
    ended_since = int(seen) if is_known and seen.isdecimal() and len(seen) < 18 else None
    shown = page(mine, after=after, before=before, ended_since=ended_since)
    kept = [("status", status)] if status in FILTERS and status != ALL else []
    kept += [("bare", "1")] if params.get("bare") else []
    address = reverse("run-combined", args=[run.pk])
    earlier = [*kept, ("before", str(shown.first))] if shown.first and shown.has_earlier else None
    # Nothing yet: from the beginning.
    later = [*kept, ("after", str(shown.last) if shown.last else "0-0-0"), ("seen", str(shown.revision))]
    grows = not run.has_ended or shown.has_later
    return CombinedView(
        page=shown,
        status=status,
        statuses=[(name, label) for name, (label, _) in FILTERS.items()],
        is_bare=bool(params.get("bare")),
        earlier_url=f"{address}?{urlencode(earlier)}" if earlier else "",
        later_url=f"{address}?{urlencode(later)}" if grows else "",
        text_url=f"{reverse('run-combined-text', args=[run.pk])}?{urlencode(kept)}",
        grows=grows,
        removed=mine.exclude(output_removed_at=None).count(),
        has_earlier_part=after is None,
        has_later_part=before is None,
    )


def line_of_text(line: Line, *, is_named: bool) -> bytes:
    """Return a line as a download has it."""
    text = f"[{line.text}]" if line.kind == OutputKind.GAP else line.text
    return f"{line.name}: {text}\n".encode() if is_named else f"{text}\n".encode()
