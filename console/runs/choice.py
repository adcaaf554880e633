"""Owns how the instances of a run are chosen: what is written down now and looked up later, and what it comes to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from django.db.models import QuerySet

from console.members.models import User
from instances.access.rules import Action, scope
from instances.inventory import query as inventory_query
from instances.inventory.models import Instance


@dataclass(frozen=True, slots=True)
class Choice:
    """Which instances are meant: ``ids``, or with ``by_query`` all that match a query in a group, without exceptions.

    The fields are those of the Send Command form, as text; an empty ``group`` means everything the user may see.
    """

    ids: str = ""
    by_query: bool = False
    query: str = ""
    group: str = ""
    except_ids: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the choice in a form's data, or in what ``as_json`` wrote; unknown names in it are passed over."""
        texts = {name: str(data.get(name) or "") for name in ("ids", "query", "group", "except_ids")}
        return cls(by_query=bool(data.get("by_query")), **texts)

    def as_json(self) -> dict[str, Any]:
        """Return what it takes to make it again, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value}


def chosen(user: User, choice: Choice) -> list[Instance]:
    """Return the instances a choice comes to now, in order, of those the user may see."""
    if choice.by_query:
        return list(matching_instances(user, asdict(choice)).select_related("group"))
    return instances_by_ids(user, choice.ids)


def matching_instances(user: User, data: Mapping[str, Any]) -> QuerySet[Instance]:
    """Return the instances that match the form's query in its group, without its exceptions.

    The group is the one the list showed, named in its address or chosen in the switch, which may have moved since.
    """
    found = inventory_query.matching(user, data.get("query") or "")
    if group := data.get("group"):
        found = found.filter(group__in=parse_ids(group))
    return found.exclude(pk__in=parse_ids(data.get("except_ids") or ""))


def instances_by_ids(user: User, ids: str) -> list[Instance]:
    """Return the instances with these ids that the user may see, in the order given."""
    wanted = parse_ids(ids)
    found: dict[int, Instance] = {}
    for start in range(0, len(wanted), 5000):
        part = Instance.objects.filter(scope(user, Action.VIEW), pk__in=wanted[start : start + 5000])
        found |= {instance.pk: instance for instance in part.select_related("group")}
    return [found[pk] for pk in wanted if pk in found]


def parse_ids(text: str) -> list[int]:
    """Return the distinct numbers of a comma-separated list, in order; anything else in it is passed over."""
    return list(dict.fromkeys(int(part) for part in text.split(",") if part.strip().isdecimal()))
