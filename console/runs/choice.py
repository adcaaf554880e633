"""Owns how the instances of a run are chosen: what is written down now and looked up later, and what it comes to."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from django.db.models import QuerySet

from console.members.models import User
from console.runs.former import ROWS, WHICH, instances_of_run
from console.runs.names import fold_names, read_names
from console.runs.number_sets import is_id
from console.runs.pasted import find_named
from console.runs.services import RunError
from instances.access.models import Group
from instances.access.rules import Action, scope
from instances.inventory import query as inventory_query
from instances.inventory.models import Instance

# In a sentence and a message.
WORDS_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """Which instances are meant. One of these, as text; the first that is given counts:

    ``by_query``: all that match ``query`` in ``group`` (ids with commas; empty: all the user may see) without
    ``except_ids``; without any of them only where ``everything`` says so. ``names``: as ``names.read_names`` takes
    them; ``left_out`` are those of them that may match nothing. ``run`` and ``which``: of a former run; ``ordinals``
    are its chosen rows, and ``left_out`` those deleted since. ``ids``: these.
    """

    ids: str = ""
    by_query: bool = False
    query: str = ""
    group: str = ""
    except_ids: str = ""
    everything: bool = False
    names: str = ""
    left_out: str = ""
    run: str = ""
    which: str = ""
    ordinals: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the choice in a form's data, or in what ``as_json`` wrote; unknown names in it are passed over."""
        given: dict[str, Any] = {field.name: data.get(field.name) for field in fields(cls)}
        for name, value in given.items():
            given[name] = bool(value) if name in {"by_query", "everything"} else str(value or "")
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        """Return what it takes to make it again, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value}

    def sentence(self) -> str:
        """Return it in words, such as "everything that matches env:prod in group Paris". Side effects: one query."""
        if self.by_query:
            return self._query_in_words()
        if self.names:
            return self._names_in_words()
        if self.run:
            words = "chosen rows" if self.which == ROWS else WHICH.get(self.which, ("instances",))[0]
            words = f"{words} {'of' if self.which == ROWS else 'in'} run {self.run}"
            return f"{words}, without {_shortened(self.left_out)}, deleted since" if self.left_out else words
        number = len(parse_ids(self.ids))
        return f"{number:,} chosen instance{'' if number == 1 else 's'}"

    def _query_in_words(self) -> str:
        words = f"everything that matches {_shortened(self.query)}" if self.query.strip() else "everything"
        if self.group:
            names = Group.objects.filter(pk__in=parse_ids(self.group)).values_list("name", flat=True)
            words += f" in group {', '.join(names) or 'that was deleted since'}"
        number = len(parse_ids(self.except_ids))
        return f"{words} except {number:,} chosen" if number else words

    def _names_in_words(self) -> str:
        names = _folded(self.names)
        return f"{names}, without {_shortened(self.left_out)}, not in the list" if self.left_out else names


def in_words(kept: Mapping[str, Any]) -> str:
    """Return what ``Run.choice`` keeps as a sentence. Side effects: at most one query."""
    if sessions := parse_ids(str(kept.get("sessions", ""))):
        return f"{len(sessions):,} chosen session{'' if len(sessions) == 1 else 's'}"
    return f"the address {kept['address']}" if kept.get("address") else Choice.of(kept).sentence()


def chosen(user: User, choice: Choice) -> list[Instance]:
    """Return the instances a choice comes to now, in order, of those the user may see.

    Raises: RunError, with the form field it is about, for what cannot be resolved: an empty or misread filter that
    would mean everything, names that match none or several instances, a run that is not there. Nothing may be sent.
    """
    if choice.by_query:
        return list(matching_instances(user, asdict(choice)).select_related("group"))
    return instances_by_ids(user, look_up(user, choice)[0])


def look_up(user: User, choice: Choice) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the ids a choice without a query comes to, some maybe gone or hidden, and the names it leaves out.

    Left out are pasted names that were agreed on, and instances of a run that were deleted since.
    Raises: as ``chosen``.
    """
    if choice.names:
        return find_named(user, choice.names, choice.left_out)
    if choice.run:
        former = instances_of_run(user, choice.run, choice.which, choice.ordinals)
        return former.ids, former.deleted
    return tuple(parse_ids(choice.ids)), ()


def matching_instances(user: User, data: Mapping[str, Any]) -> QuerySet[Instance]:
    """Return the instances that match the form's query in its group, without its exceptions.

    The group is the one the list showed, named in its address or chosen in the switch, which may have moved since.
    Raises: RunError for a filter of which a part is not understood, and for none where not everything is asked for.
    """
    text, group = data.get("query") or "", data.get("group")
    read = inventory_query.parse(text)
    if read.errors:
        raise RunError("query", " ".join(read.errors))
    if not read.terms and not group and not data.get("everything"):
        raise RunError("query", "The filter is empty, which would mean every instance. Write a filter.")
    found = inventory_query.matching(user, text)
    if group:
        found = found.filter(group__in=parse_ids(group))
    return found.exclude(pk__in=parse_ids(data.get("except_ids") or ""))


def instances_by_ids(user: User, ids: str | Iterable[int]) -> list[Instance]:
    """Return the instances with these ids that the user may see, in the order given."""
    wanted = parse_ids(ids) if isinstance(ids, str) else list(ids)
    found: dict[int, Instance] = {}
    for start in range(0, len(wanted), 5000):
        part = Instance.objects.filter(scope(user, Action.VIEW), pk__in=wanted[start : start + 5000])
        found |= {instance.pk: instance for instance in part.select_related("group")}
    return [found[pk] for pk in wanted if pk in found]


def parse_ids(text: str) -> list[int]:
    """Return the distinct ids of a comma-separated list, in order; anything else in it is passed over."""
    return list(dict.fromkeys(int(part) for part in text.split(",") if is_id(part.strip())))


def _folded(text: str) -> str:
    try:
        read = read_names(text)
    except ValueError:
        return _shortened(text)
    words = fold_names(read.wanted) or f"{len(read.wanted):,} names"
    if read.excluded:
        words += f" without {fold_names(read.excluded) or f'{len(read.excluded):,} names'}"
    return _shortened(words)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WORDS_LIMIT else text[: WORDS_LIMIT - 1] + "…"
