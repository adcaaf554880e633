"""Owns the fields of the Send Command form that say how a run goes through its instances."""

from typing import Any

from django import forms

from console.runs import rate
from console.runs.rate import ATTEMPTS_RULE, DELAY_RULE, PAUSE_RULE, RateRefused, Rollout

# Names are those of ``rate.Rollout``, and so of what a run keeps of it.
# Those that are chosen or not; kept as "1" or nothing.
SWITCHES = ("ignore_unreachable", "ask_unless_ok", "ask_between")
YES_NO = [("", "No"), ("1", "Yes")]


class RolloutFields(forms.Form):
    """Limits as numbers or percentages, the first ones, batches and what stands between them, connection attempts.

    Choices instead of boxes to tick: a draft in the browser keeps values.
    """

    max_concurrency = forms.CharField(label="At a time", initial="50", required=False, max_length=20)
    max_errors = forms.CharField(label="Stop after errors", required=False, max_length=20)
    ignore_unreachable = forms.TypedChoiceField(
        label="Unreachable instances",
        choices=[("", "Count as errors"), ("1", "Do not count")],
        coerce=bool,
        empty_value=None,
        required=False,
    )
    first = forms.CharField(label="First on", required=False, max_length=20)
    batch_size = forms.CharField(label="Batch size", required=False, max_length=20)
    batch_pause_s = forms.IntegerField(
        label="Pause between batches (s)", required=False, min_value=0, error_messages={"min_value": PAUSE_RULE}
    )
    ask_between = forms.TypedChoiceField(
        label="Ask between batches", choices=YES_NO, coerce=bool, empty_value=None, required=False
    )
    ask_unless_ok = forms.TypedChoiceField(
        label="Ask even if all succeeded",
        choices=[("", "Yes"), ("1", "No")],
        coerce=bool,
        empty_value=None,
        required=False,
    )
    connect_attempts = forms.IntegerField(
        label="Connection attempts", required=False, min_value=1, error_messages={"min_value": ATTEMPTS_RULE}
    )
    connect_delay_s = forms.IntegerField(
        label="Delay between attempts (s)", required=False, min_value=1, error_messages={"min_value": DELAY_RULE}
    )

    def clean(self) -> dict[str, Any]:
        """Say beside the field what cannot be a limit; what the limits come to needs the instances."""
        data = super().clean() or {}
        if not any(name in self.errors for name in RolloutFields.base_fields):
            try:
                rate.plan(self.rollout(), **self.limits(), total=0)
            except RateRefused as error:
                self.add_error(error.field, str(error))
        return data

    def limits(self) -> dict[str, Any]:
        """Return ``max_concurrency`` and ``max_errors`` as they were entered."""
        data = self.cleaned_data
        return {"max_concurrency": data["max_concurrency"] or "50", "max_errors": data["max_errors"] or None}

    def rollout(self) -> Rollout:
        """Return the rest of it, with the defaults for what was left empty."""
        data, usual = self.cleaned_data, Rollout()
        return Rollout(
            first=data["first"],
            ask_unless_ok=bool(data["ask_unless_ok"]),
            batch_size=data["batch_size"],
            batch_pause_s=data["batch_pause_s"] or 0,
            ask_between=bool(data["ask_between"]),
            ignore_unreachable=bool(data["ignore_unreachable"]),
            connect_attempts=data["connect_attempts"] or usual.connect_attempts,
            connect_delay_s=data["connect_delay_s"] or usual.connect_delay_s,
        )

    @property
    def has_rollout_errors(self) -> bool:
        """Whether one of these fields is wrong: then they are shown."""
        return any(name in self.errors for name in RolloutFields.base_fields)
