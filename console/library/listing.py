"""Owns the Saved page: which saved commands it shows, with what became of each, and what else it offers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.paginator import Page, Paginator
from django.db.models import Count, F, IntegerField, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower
from django.http import QueryDict

from console.members.models import User
from console.runs.models import Run
from console.runs.services import visible_runs
from console.saved_commands import services
from console.saved_commands.content import WINDOWS_TYPES
from console.saved_commands.models import SavedCommand

PAGE_ROWS = 50
RUNS_SHOWN = 10
TAGS_SHOWN = 40
TYPES = (
    ("", "Any type"),
    ("shell", "Shell"),
    ("powershell", "PowerShell"),
    ("bat", "Bat"),
    ("both", "Shell and Windows"),
)
WHOSE = (("", "Everybody's"), ("mine", "Mine"), ("shared", "Shared"), ("private", "Private"))


class LibraryForm(forms.Form):
    """The filters above the list, all of them optional; what cannot be read is left out."""

    q = forms.CharField(required=False, max_length=200, label="Name, description, text or tag")
    tag = forms.CharField(required=False, max_length=40)
    type = forms.ChoiceField(required=False, choices=TYPES)
    whose = forms.ChoiceField(required=False, choices=WHOSE)
    archived = forms.BooleanField(required=False)


def query_of(params: QueryDict) -> str:
    """Return the filters of an address as a query string without the page, for the pager's links."""
    kept = params.copy()
    kept.pop("page", None)
    return kept.urlencode()


@dataclass(frozen=True, slots=True)
class Library:
    """One page of saved commands, each with ``run_count`` and ``last_used_at``; ``tags`` with how many have each.

    ``is_empty``: there is none at all that the user may see, whatever the filters say.
    """

    page: Page[SavedCommand]
    tags: Sequence[tuple[str, int]]
    is_empty: bool


def library(user: User, form: LibraryForm, page: str | None) -> Library:
    """Return a page of the library. Side effects: at most eight queries, however many there are.

    Runs that the user may not see are not counted.
    """
    form.is_valid()
    data = form.cleaned_data
    of_mine = services.seen(user).filter(archived_at__isnull=not data.get("archived"))
    # Tags are lists in JSON, which no database here searches the same way; their words fit into memory.
    tags_of: dict[int, list[str]] = dict(of_mine.values_list("pk", "tags"))
    found = of_mine.filter(_condition(user, data, tags_of))
    counts = Counter(tag for tags in tags_of.values() for tag in tags)
    shown = Paginator(_with_use(user, found).order_by(Lower("name"), "name"), PAGE_ROWS).get_page(page)
    return Library(shown, sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:TAGS_SHOWN], not tags_of)


def _condition(user: User, data: dict[str, Any], tags_of: dict[int, list[str]]) -> Q:
    condition = Q()
    if words := (data.get("q") or "").strip():
        tagged = [pk for pk, tags in tags_of.items() if any(words.lower() in tag.lower() for tag in tags)]
        named = ("name", "description", "latest__text", "latest__windows_text")
        condition &= Q(*((f"{name}__icontains", words) for name in named), _connector=Q.OR) | Q(pk__in=tagged)
    if tag := data.get("tag"):
        condition &= Q(pk__in=[pk for pk, tags in tags_of.items() if tag in tags])
    kind = data.get("type")
    if kind in {"shell", "both"}:
        condition &= ~Q(latest__text="")
    if kind == "both":
        condition &= ~Q(latest__windows_text="")
    if kind in WINDOWS_TYPES:
        condition &= Q(latest__windows_type=kind)
    whose = {"mine": Q(owner=user), "shared": Q(is_shared=True), "private": Q(is_shared=False)}
    return condition & whose.get(data.get("whose") or "", Q())


def _with_use(user: User, found: QuerySet[SavedCommand]) -> QuerySet[SavedCommand]:
    # Ordered by nothing: the default order would be part of the grouping.
    used = visible_runs(user).filter(saved_version__saved=OuterRef("pk")).order_by().values("saved_version__saved")
    return found.annotate(
        run_count=Coalesce(Subquery(used.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0),
        last_used_at=Subquery(used.annotate(at=Max("created_at")).values("at")),
    )


def runs_of(user: User, saved: SavedCommand) -> QuerySet[Run]:
    """Return the runs a user may see that were made from any version of a saved command, newest first."""
    found = visible_runs(user).filter(saved_version__saved=saved).order_by("-pk")
    return found.annotate(version_number=F("saved_version__number"))
