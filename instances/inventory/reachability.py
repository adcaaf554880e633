"""Keeps what is known of whether instances can be reached; workers write here, without an audit entry each."""

import dataclasses
import datetime
from collections.abc import Collection, Iterable
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from instances.engine.errors import EngineError
from instances.engine.steps import Step
from instances.engine.types import Facts
from instances.inventory.models import Instance, Reach, in_parts

# A check ends within 25 s; one whose worker died is taken again after this.
CLAIM_FOR = datetime.timedelta(seconds=60)


def claim_checks(limit: int) -> list[Instance]:
    """Take up to ``limit`` checks people asked for, the oldest first, for one minute; finish_check ends each.

    The claim is kept by moving ``check_requested_at`` one minute ahead: the row still reads as "Checking…", and no
    other worker takes it until then.
    """
    now = timezone.now()
    due = Instance.objects.filter(check_requested_at__lte=now).order_by("check_requested_at", "pk")
    # Asked several times a second: an empty answer must not cost the one write lock.
    if not due.exists():
        return []
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Instance.objects.filter(pk__in=ids).update(check_requested_at=now + CLAIM_FOR)
    rows = Instance.objects.select_related("group", "credential").in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def ask_again(instance_id: int) -> None:
    """Let a check that goes on be done once more instead of ending it."""
    Instance.objects.filter(pk=instance_id).update(check_requested_at=timezone.now())


def finish_check(
    instance_id: int, *, facts: Facts | None = None, error: EngineError | None = None, steps: Iterable[Step] = ()
) -> None:
    """End a check with what it found: facts, or the error that prevented them, and what came of each step.

    Without facts the banner and the facts seen before are kept.
    """
    reach = Reach.REACHABLE if error is None else Reach.UNREACHABLE
    values = _reach_values(reach, error.reason if error else "", error.cause if error else "")
    values["check_steps"] = [dataclasses.asdict(step) for step in steps]
    if facts is not None:
        learnt = {key: _clean(value, 200) for key, value in dataclasses.asdict(facts).items()}
        values["banner"] = _clean(learnt.pop("banner"), 255)
        values["facts"] = {key: value for key, value in learnt.items() if value}
    Instance.objects.filter(pk=instance_id).update(check_requested_at=None, **values)


def note_reach(instance_ids: Collection[int], *, reach: str, reason: str = "", message: str = "") -> None:
    """Write for many instances at once what a run saw of them.

    ``reach_since`` moves only for those whose state changes.
    """
    for part in in_parts(instance_ids):
        part.update(**_reach_values(reach, reason, message))


def _reach_values(reach: str, reason: str, message: str) -> dict[str, Any]:
    """Return the columns of an update that notes a state."""
    now = timezone.now()
    is_fine = reach == Reach.REACHABLE
    return {
        "reach": reach,
        "reach_reason": "" if is_fine else reason[:40],
        "reach_message": "" if is_fine else _clean(message, 500),
        # The right-hand sides see the row as it was, so this compares with the former state.
        "reach_since": Case(When(reach=reach, then=Coalesce(F("reach_since"), Value(now))), default=Value(now)),
        "checked_at": now,
    }


def _clean(text: str, limit: int) -> str:
    # Banners come from the instance: control characters and bidi overrides could forge what a page shows.
    return "".join(char if char.isprintable() else " " for char in text).strip()[:limit]
