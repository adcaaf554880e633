"""Owns how long a run is kept: as the setting says, or as the rule of the saved command it was sent from does."""

import functools
import operator
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from console.runs.models import Run
from console.saved_commands.keeping import FOR_EVER, is_longer
from console.saved_commands.models import SavedCommand


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a run is kept.

    ``until`` is None while it has not ended, and for ever; ``days`` 0 is for ever; ``is_own``: its saved command has a
    rule of its own.
    """

    days: int
    until: datetime | None
    is_own: bool


def keeping_of(run: Run, days: int) -> Keeping:
    """Return how long a run is kept where the setting says ``days``. Side effects: up to two queries."""
    own = run.saved_version.saved.keep_days if run.saved_version else None
    kept = days if own is None else own
    until = run.finished_at + timedelta(days=kept) if run.finished_at and kept else None
    return Keeping(kept, until, own is not None)


def own_rules() -> dict[int, int]:
    """Return the days for which runs are kept by id of saved command, of those that have a rule."""
    rows = SavedCommand.objects.filter(keep_days__isnull=False).order_by()
    return {pk: days for pk, days in rows.values_list("pk", "keep_days") if days is not None}


def over_by_setting(days: int, at: datetime, rules: Collection[int]) -> Iterator[int]:
    """Return the runs that the setting lets go at a moment, oldest first: of those without another rule."""
    if not days:
        return iter(())
    before = at - timedelta(days=days)
    # The first condition follows from the second and has an index.
    old = Run.objects.filter(created_at__lt=before, finished_at__lt=before)
    if rules:
        old = old.filter(Q(saved_version=None) | Q(saved_version__saved__keep_days=None))
    return old.order_by("created_at").values_list("pk", flat=True).iterator()


def over_by_own_rules(at: datetime, rules: Mapping[int, int]) -> Iterator[int]:
    """Return the runs that the rules of their saved commands let go at a moment."""
    periods = sorted(set(rules.values()) - {FOR_EVER})
    if not periods:
        return iter(())
    over = (Q(saved_version__saved__keep_days=days, finished_at__lt=at - timedelta(days=days)) for days in periods)
    of_rules = Run.objects.filter(saved_version__saved__keep_days__isnull=False)
    return of_rules.filter(functools.reduce(operator.or_, over)).order_by().values_list("pk", flat=True).iterator()


def kept_longer(days: int, rules: Mapping[int, int]) -> set[int]:
    """Return the runs that a rule keeps longer than the setting does."""
    saved = [pk for pk, own in rules.items() if is_longer(own, days)]
    if not saved:
        return set()
    return set(Run.objects.filter(saved_version__saved__in=saved).order_by().values_list("pk", flat=True))


def is_kept_for_ever(run: Run) -> bool:
    """Say whether its saved command says so now; asked again before a run is removed."""
    return Run.objects.filter(pk=run.pk, saved_version__saved__keep_days=FOR_EVER).exists()
