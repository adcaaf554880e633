"""Owns what the retention page says: the rules in force, what is stored, what goes when, and what went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from console.members.models import User
from console.runs import disk_space, retention
from console.runs.models import Run
from console.saved_commands import keeping
from console.saved_commands.models import SavedCommand
from instances.access.rules import Action, allowed, allowed_anywhere
from instances.audit.models import AuditEntry

LAST_ROUNDS = 10
# After the next round: what can be seen coming.
AHEAD = (timedelta(days=7), timedelta(days=30))
DEFAULT, FOR_EVER, DAYS = "default", "for_ever", "days"


class KeepForm(forms.Form):
    """How long the runs of one saved command are kept."""

    saved = forms.ModelChoiceField(queryset=SavedCommand.objects.none(), label="Saved command", empty_label=None)
    keep = forms.ChoiceField(
        label="Keep its runs",
        choices=((DEFAULT, "As the setting says"), (DAYS, "For some days"), (FOR_EVER, "For ever")),
    )
    days = forms.IntegerField(
        label="Days",
        required=False,
        min_value=1,
        max_value=keeping.MAX_DAYS,
        error_messages=dict.fromkeys(("min_value", "max_value"), keeping.DAYS_RULE),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["saved"].queryset = keeping.may_set(user).order_by("name")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Ask for the number where it is needed."""
        data = super().clean() or {}
        if data.get("keep") == DAYS and data.get("days") is None and "days" not in self.errors:
            self.add_error("days", "Enter how many days.")
        return data

    @property
    def may_shorten(self) -> bool:
        """Whether the user may also have runs removed earlier than now."""
        return allowed(self.user, Action.MANAGE_RETENTION)

    def press(self) -> SavedCommand | None:
        """Set the rule; None when the form says why not. Raises: NotAllowed."""
        if not self.is_valid():
            return None
        days = {DEFAULT: None, FOR_EVER: keeping.FOR_EVER, DAYS: self.cleaned_data["days"]}[self.cleaned_data["keep"]]
        try:
            return keeping.set_keep_days(
                self.user,
                saved=self.cleaned_data["saved"],
                days=days,
                setting_days=settings.ENV.retention_days,
            )
        except keeping.KeepingError as error:
            self.add_error("days" if days else "keep", str(error))
            return None


def form_for(user: User, saved: SavedCommand | None = None) -> KeepForm:
    """Return the form with the present rule of a saved command in it."""
    if saved is None:
        return KeepForm(user=user)
    own = saved.keep_days
    keep = DEFAULT if own is None else DAYS if own else FOR_EVER
    return KeepForm(user=user, initial={"saved": saved.pk, "keep": keep, "days": own or None})


@dataclass(frozen=True, slots=True)
class Ahead:
    """What will have been removed by a moment. Units: bytes, of the runs that go and of the output that goes alone."""

    at: datetime
    is_next: bool
    what: str
    run_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Round:
    """A former round, as the audit has it."""

    at: datetime
    by: str
    run_count: int
    output_count: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything the page shows. Units: bytes; ``database_bytes`` 0 where it is not known."""

    limits: retention.Limits
    run_count: int
    output_bytes: int
    database_bytes: int
    ahead: Sequence[Ahead]
    rounds: Sequence[Round]
    own_rules: Sequence[SavedCommand]
    hidden_rules: int
    may_keep: bool


def picture(user: User) -> Picture:
    """Return what the page shows. Side effects: adds up what is stored, from an index; no output is read.

    Numbers are of the whole console; names of saved commands only those the user may see.
    """
    limits = retention.Limits(settings.ENV.retention_days, settings.ENV.retention_bytes)
    rules = SavedCommand.objects.filter(keep_days__isnull=False)
    seen = list(_with_rules(user))
    moments = [retention.next_round(), *(timezone.now() + distance for distance in AHEAD)]
    output_bytes, plans = retention.forecast(limits, moments)
    return Picture(
        limits=limits,
        run_count=Run.objects.count(),
        output_bytes=output_bytes,
        database_bytes=disk_space.database_bytes(),
        ahead=_ahead(limits, moments, plans),
        rounds=_rounds(),
        own_rules=seen,
        hidden_rules=rules.count() - len(seen),
        may_keep=allowed_anywhere(user, Action.MANAGE_SAVED_COMMANDS),
    )


def _with_rules(user: User) -> QuerySet[SavedCommand]:
    return keeping.may_set(user).filter(keep_days__isnull=False).order_by("name")


def _ahead(limits: retention.Limits, moments: Sequence[datetime], plans: Sequence[retention.Plan]) -> list[Ahead]:
    return [
        Ahead(
            at, at is moments[0], retention.sentence("", plan.amount, limits).strip(), plan.run_bytes, plan.output_bytes
        )
        for at, plan in zip(moments, plans, strict=True)
    ]


def _rounds() -> list[Round]:
    entries = AuditEntry.objects.filter(action="retention.prune").order_by("-pk")[:LAST_ROUNDS]
    return [
        Round(
            entry.at,
            entry.actor_name,
            entry.details.get("run_count", 0),
            entry.details.get("output_count", 0),
            entry.details.get("output_bytes", 0),
        )
        for entry in entries
    ]
