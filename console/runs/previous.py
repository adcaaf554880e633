"""Owns what differs between the instances chosen now and those of the last run of the same saved command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.members.models import User
from console.runs import services
from console.runs.models import Run
from console.runs.number_sets import is_id
from console.saved_commands.services import versions_visible_to

NAMES_TOLD = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """The run compared with, how many instances are new and how many are not among them now, and the first of each."""

    run: Run
    added_count: int
    added: tuple[str, ...]
    removed_count: int
    removed: tuple[str, ...]


def difference_from_previous(user: User, version: Any, now: Mapping[int, str]) -> Difference | None:
    """Return what differs from the last run of any version of a saved command, or None.

    ``version`` is the id of one of its versions, as a form gives it; ``now`` are names by id. Only runs and instances
    the user may see are compared. Side effects: three queries.
    """
    if not now or not is_id(str(version or "")):
        return None
    found = versions_visible_to(user).filter(pk=version).first()
    if found is None:
        return None
    runs = services.visible_runs(user).filter(saved_version__saved=found.saved_id, is_dry_run=False)
    run = runs.order_by("-pk").first()
    if run is None:
        return None
    rows = services.visible_invocations(user, run).values_list("instance_id", "instance_name")
    before = {pk: name for pk, name in rows if pk is not None}
    added = sorted(name for pk, name in now.items() if pk not in before)
    removed = sorted(name for pk, name in before.items() if pk not in now)
    if not added and not removed:
        return None
    return Difference(run, len(added), tuple(added[:NAMES_TOLD]), len(removed), tuple(removed[:NAMES_TOLD]))
