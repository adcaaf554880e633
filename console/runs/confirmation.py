"""Owns which sends a person has to confirm by typing the number of instances, and why."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db.models import Q

from console.sessions.models import Session
from instances.access.models import Group
from instances.inventory.models import Tag

REASONS_TOLD = 5
# Between groups of three digits, as the pages write them.
_SEPARATOR = re.compile(r"(?<=[0-9])[,\s](?=[0-9]{3}(?![0-9]))")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is to be confirmed: ``count`` is what has to be typed; ``reasons`` are the groups and tags that ask."""

    count: int
    reasons: tuple[str, ...] = ()
    noun: str = "instance"

    @property
    def sentence(self) -> str:
        """Why it is asked, as a sentence."""
        goes_to = f"This goes to {self.count:,} {self.noun}{'' if self.count == 1 else 's'}"
        if not self.reasons:
            return f"{goes_to}."
        more = f" and {len(self.reasons) - REASONS_TOLD} more" if len(self.reasons) > REASONS_TOLD else ""
        return f"{goes_to}, some of {', '.join(self.reasons[:REASONS_TOLD])}{more}, where it is asked first."


def plain_number(typed: str) -> str:
    """Return a number that somebody typed as it is shown, 5,000, without what is between its digits."""
    return _SEPARATOR.sub("", typed)


def confirmation_for(targets: Sequence[Any]) -> Confirmation | None:
    """Return what must be confirmed before a command goes to these instances, or in these sessions, or None.

    More than MUSTER_CONFIRM_ABOVE, a group that asks first, or a tag of MUSTER_CONFIRM_TAGS ask for it.
    Instances have ``pk`` and ``group_id``. Side effects: a query for the groups, and for tags one per 5,000.
    """
    sessions = [target for target in targets if isinstance(target, Session)]
    instances = [one.instance for one in sessions if one.instance is not None] if sessions else targets
    asking = dict(Group.objects.filter(asks_first=True).values_list("pk", "name"))
    groups = sorted({asking[row.group_id] for row in instances if row.group_id in asking})
    reasons = (*(f"group {name}" for name in groups), *_tags_of([row.pk for row in instances]))
    if len(targets) > settings.ENV.confirm_above or reasons:
        return Confirmation(len(targets), reasons, "session" if sessions else "instance")
    return None


def _tags_of(ids: list[int]) -> list[str]:
    if not settings.ENV.confirm_tags:
        return []
    asked = reduce(or_, map(_condition, settings.ENV.confirm_tags))
    found: set[tuple[str, str]] = set()
    for start in range(0, len(ids), 5000):
        tags = Tag.objects.filter(asked, instance__in=ids[start : start + 5000]).order_by()
        found.update(tags.values_list("key", "value").distinct())
    return [f"{key}={value}" for key, value in sorted(found)]


def _condition(tag: str) -> Q:
    key, sign, value = tag.partition("=")
    condition = Q(key=key.strip().lower())
    return condition & Q(value__iexact=value.strip()) if sign else condition
