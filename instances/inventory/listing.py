"""Prepares the list of instances for the page: filter, sort, facets, pages of 100."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from django.db.models import Case, Count, F, QuerySet, Value, When
from django.http import QueryDict

from instances.access import rules
from instances.access.models import Group
from instances.inventory.models import OS, Instance, Tag
from instances.inventory.query import STATES, Query, listed, numbers, parse

if TYPE_CHECKING:
    from console.members.models import User

PAGE_SIZE = 100
TAG_KEYS_SHOWN = 6
VALUES_SHOWN = 12
COLUMNS = {"name": "Name", "state": "State", "address": "Address", "os": "OS"}
_ORDER = {
    "name": ("name",),
    "state": ("is_disabled", "reach", "name"),
    "address": ("address", "port", "name"),
    "os": ("os", "name"),
}
_STATE = Case(When(is_disabled=True, then=Value("disabled")), default=F("reach"))


@dataclass(frozen=True)
class Place:
    """What the list's URLs carry besides the page; ``group`` is None unless the URL names one."""

    text: str = ""
    sort: str = "name"
    group: str | None = None

    def url(self, *, text: str | None = None, sort: str = "", page: int = 1) -> str:
        """Return the list's URL with another filter, sort or page; what is usual is left out."""
        sort = sort or self.sort
        given = {"q": self.text if text is None else text, "sort": sort if sort != "name" else ""}
        kept = {key: value for key, value in given.items() if value}
        if self.group is not None:
            kept["group"] = self.group
        if page > 1:
            kept["page"] = str(page)
        return "/?" + urlencode(kept) if kept else "/"

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What a form that asks for another page has to send besides it."""
        return tuple(parse_qsl(self.url().partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True)
class Choice:
    """One value of a facet; ``url`` adds it to the filter, or takes it away when it is chosen."""

    label: str
    count: int
    is_chosen: bool
    url: str


@dataclass(frozen=True)
class Facet:
    """What the matching instances have of one key, the most frequent values first."""

    key: str
    label: str
    choices: tuple[Choice, ...]

    @property
    def chosen_count(self) -> int:
        """How many of the values are part of the filter."""
        return sum(choice.is_chosen for choice in self.choices)


@dataclass(frozen=True)
class Column:
    """A column people can sort by; ``url`` sorts by it, or turns the direction."""

    key: str
    label: str
    aria_sort: str
    url: str


@dataclass(frozen=True)
class Listing:
    """A page of the list. ``total`` counts every matching instance, ``first`` and ``last`` are places, from 1."""

    text: str
    query: Query
    group: Group | None
    place: "Place"
    page: int
    pages: int
    total: int
    instances: tuple[Instance, ...]
    facets: tuple[Facet, ...]
    has_any: bool

    @property
    def first(self) -> int:
        """The place of the first row shown, 0 when there is none."""
        return (self.page - 1) * PAGE_SIZE + 1 if self.instances else 0

    @property
    def last(self) -> int:
        """The place of the last row shown."""
        return (self.page - 1) * PAGE_SIZE + len(self.instances)

    @property
    def is_checking(self) -> bool:
        """Whether a check of a row shown has yet to end."""
        return any(instance.check_requested_at for instance in self.instances)

    @property
    def selection_query(self) -> str:
        """What stands for "all that match" in a selection; ``query.selected`` reads it."""
        return urlencode({"q": self.text, "group": self.group.pk if self.group else ""})

    @property
    def columns(self) -> tuple[Column, ...]:
        """The sortable columns in order."""
        return tuple(self._column(key, label) for key, label in COLUMNS.items())

    @property
    def sort(self) -> str:
        """The column sorted by, with a dash in front when it descends."""
        return self.place.sort

    @property
    def url(self) -> str:
        """The URL of exactly this page."""
        return self.place.url(page=self.page)

    @property
    def clear_url(self) -> str:
        """The URL of the same list without a filter."""
        return self.place.url(text="")

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What a form that asks for another page has to send besides it."""
        return self.place.kept

    @property
    def first_url(self) -> str:
        """The URL of the first page."""
        return self.place.url()

    @property
    def previous_url(self) -> str:
        """The URL of the page before, empty on the first."""
        return self.place.url(page=self.page - 1) if self.page > 1 else ""

    @property
    def next_url(self) -> str:
        """The URL of the page after, empty on the last."""
        return self.place.url(page=self.page + 1) if self.page < self.pages else ""

    @property
    def last_url(self) -> str:
        """The URL of the last page."""
        return self.place.url(page=self.pages)

    def _column(self, key: str, label: str) -> Column:
        direction = {key: "ascending", f"-{key}": "descending"}.get(self.sort, "none")
        return Column(key, label, direction, self.place.url(sort=f"-{key}" if direction == "ascending" else key))


def listing(user: "User", params: QueryDict) -> Listing:
    """Return the page of the list that the parameters q, sort, page and group ask for.

    ``group`` shows one group (an empty one: all) whatever the user's kept switch says. Anything that makes no sense
    falls back to the first page by name. Side effects: at most 15 queries, whatever the size of the inventory.
    """
    text = params.get("q", "").strip()
    query = parse(text)
    group = _group(user, params)
    everything = listed(user, group)
    found = everything.filter(query.condition())
    states = _by_os_and_state(found)
    total = sum(count for _, _, count in states)
    sort = params.get("sort", "name")
    place = Place(text, sort if sort.removeprefix("-") in _ORDER else "name", params.get("group"))
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(numbers([params.get("page") or "1"]), default=1), pages) or 1
    return Listing(
        text=text,
        query=query,
        group=group,
        place=place,
        page=page,
        pages=pages,
        total=total,
        instances=_rows(found, place.sort, page) if total else (),
        facets=_Facets(everything, query, place).all(found, states),
        has_any=total > 0 or everything.exists(),
    )


def _group(user: "User", params: QueryDict) -> Group | None:
    if "group" in params:
        return rules.visible_groups(user).filter(pk__in=numbers([params.get("group") or ""])).first()
    if user.selected_group_id is None:
        return None
    return rules.visible_groups(user).filter(pk=user.selected_group_id).first()


def _rows(found: QuerySet[Instance], sort: str, page: int) -> tuple[Instance, ...]:
    order = _ORDER[sort.removeprefix("-")]
    order = tuple(f"-{field}" for field in order) if sort.startswith("-") else order
    start = (page - 1) * PAGE_SIZE
    # By id: sorting 10,000 rows is cheap only while they are narrow.
    ids = list(found.order_by(*order).values_list("pk", flat=True)[start : start + PAGE_SIZE])
    rows = Instance.objects.select_related("group").prefetch_related("tags").defer("facts").in_bulk(ids)
    return tuple(rows[pk] for pk in ids if pk in rows)


def _by_os_and_state(found: QuerySet[Instance]) -> list[tuple[str, str, int]]:
    rows = found.order_by().annotate(shown_state=_STATE).values_list("os", "shown_state").annotate(count=Count("pk"))
    return [(os, state, count) for os, state, count in rows]


class _Facets:
    """Counts per key. The values of a key in use are counted without it, so that another one can be added."""

    def __init__(self, everything: QuerySet[Instance], query: Query, place: Place) -> None:
        self._everything, self._query, self._place = everything, query, place

    def all(self, found: QuerySet[Instance], states: list[tuple[str, str, int]]) -> tuple[Facet, ...]:
        facets = [
            self._facet("state", "State", _sums((state, count) for _, state, count in self._states("state", states))),
            self._facet("os", "OS", _sums((os, count) for os, _, count in self._states("os", states))),
            *self._tag_facets(found, is_short=sum(count for _, _, count in states) <= PAGE_SIZE),
        ]
        return tuple(facet for facet in facets if facet.choices)

    def _in_use(self, key: str) -> bool:
        return any(term.key == key and not term.is_negated for term in self._query.terms)

    def _others(self, key: str) -> QuerySet[Instance]:
        return self._everything.filter(self._query.without_key(key).condition())

    def _states(self, key: str, states: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
        return _by_os_and_state(self._others(key)) if self._in_use(key) else states

    def _tag_facets(self, found: QuerySet[Instance], *, is_short: bool) -> list[Facet]:
        counts: dict[str, dict[str, int]] = {}
        for key, value, count in _tag_counts(found, is_short=is_short):
            counts.setdefault(key, {})[value] = count
        often = sorted(counts, key=lambda key: (-sum(counts[key].values()), key))[:TAG_KEYS_SHOWN]
        in_use = [term.key for term in self._query.terms if self._in_use(term.key) and term.key not in _FIXED]
        # Two keys in use are counted again; more would cost a query each.
        for key in list(dict.fromkeys(in_use))[:2]:
            counts[key] = {value: count for _, value, count in _tag_counts(self._others(key), key)}
            often = [key, *(other for other in often if other != key)]
        return [self._facet(key, key, counts[key]) for key in sorted(often[:TAG_KEYS_SHOWN])]

    def _facet(self, key: str, label: str, counts: dict[str, int]) -> Facet:
        order = sorted(counts, key=lambda value: (not self._query.has(key, value), -counts[value], value))
        choices = tuple(self._choice(key, value, counts[value]) for value in order[:VALUES_SHOWN])
        return Facet(key, label, choices)

    def _choice(self, key: str, value: str, count: int) -> Choice:
        is_chosen = self._query.has(key, value)
        other = self._query.without_choice(key, value) if is_chosen else self._query.with_choice(key, value)
        label = OS(value).label if key == "os" else value
        return Choice(label, count, is_chosen, self._place.url(text=str(other)))


_FIXED = frozenset({"", "name", "address", "os", "state", "group", "tag"})


def _tag_counts(found: QuerySet[Instance], key: str = "", *, is_short: bool = False) -> Iterable[tuple[str, str, int]]:
    tags = Tag.objects.filter(instance__in=found.order_by().values("pk"))
    if key:
        tags = tags.filter(key=key)
    counted = tags.order_by().values_list("key", "value").annotate(count=Count("pk"))
    # A tag that differs on every instance would bring thousands of values nobody picks from a list.
    return counted if key or is_short else counted.filter(count__gt=1)


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in pairs:
        sums[key] = sums.get(key, 0) + count
    return {key: count for key, count in sums.items() if key in STATES or key in OS.values}
