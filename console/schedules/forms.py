"""Owns reading the schedule's form: what is sent comes along as Send Command kept it, the rest is about when."""

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from console.members.models import User
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.services import versions_visible_to
from console.schedules import services
from console.schedules.models import Overlap, Schedule, Source
from console.schedules.sending import SendingRefused, Values
from console.schedules.services import Plan, ScheduleError
from console.schedules.timing import Kind, Rule, TimingError, Unit, check_expression, is_shown_twice, moment_of, zone_of

# What is further away is a slip of the hand, and time zones are not decided that far.
FARTHEST = timedelta(days=20 * 366)
MOST_EVERY = {Unit.MINUTES: 60 * 24 * 366, Unit.HOURS: 24 * 366, Unit.DAYS: 3660}
UPCOMING = 5
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class LocalTimeField(forms.CharField):
    """A date and time as the clocks of a zone show it; which zone is another field's to say."""

    widget = forms.DateTimeInput({"type": "datetime-local", "step": "1"})

    def to_python(self, value: Any) -> Any:
        """Return a naive datetime, None for nothing. Raises: ValidationError."""
        text = str(value or "").strip()
        if not text:
            return None
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            raise forms.ValidationError("Write a date and a time, such as 2030-01-31 06:30.") from None
        if read.tzinfo is not None:
            raise forms.ValidationError("Write the time as the clocks of the time zone show it, without an offset.")
        if not datetime(2000, 1, 1) < read < datetime.now() + FARTHEST:
            raise forms.ValidationError("That is too far away.")
        return read


class TimingForm(forms.Form):
    """When: once, by a cron expression, or every so often, on the clocks of a time zone."""

    kind = forms.ChoiceField(
        label="When",
        choices=[(Kind.ONCE.value, "Once"), (Kind.EVERY.value, "Every so often"), (Kind.CRON.value, "Cron expression")],
        initial=Kind.ONCE.value,
        widget=forms.RadioSelect,
    )
    at = LocalTimeField(label="Date and time", required=False)
    expression = forms.CharField(
        label="Cron expression",
        required=False,
        # Longer ones are refused with a reason of their own.
        max_length=1000,
        widget=forms.TextInput({**_PLAIN, "class": "mono", "placeholder": "30 6 * * MON-FRI"}),
        help_text="Minute, hour, day of month, month, day of week.",
    )
    every = forms.IntegerField(
        label="Every", required=False, initial=1, min_value=1, error_messages={"min_value": "At least 1."}
    )
    unit = forms.ChoiceField(
        label="Unit", choices=[(unit.value, unit.value) for unit in Unit], initial=Unit.HOURS.value
    )
    start = LocalTimeField(label="First at", required=False, help_text="Empty: one step from now.")
    zone = forms.CharField(
        label="Time zone",
        max_length=64,
        initial="UTC",
        widget=forms.TextInput({**_PLAIN, "list": "time-zones"}),
        help_text="An IANA name, such as Europe/Berlin or UTC.",
    )
    ends = LocalTimeField(label="Not after", required=False, help_text="Empty: it has no end.")

    def clean(self) -> dict[str, Any]:
        """Put the fields together to a rule, ``rule`` in the cleaned data; what is wrong is told beside its field."""
        data = super().clean() or {}
        if self.errors.keys() & {"kind", "at", "expression", "every", "unit", "start", "zone", "ends"}:
            return data
        try:
            data["rule"] = _rule(data, timezone.now())
        except TimingError as error:
            self.add_error(error.field, str(error))
        return data

    def upcoming(self) -> list[datetime]:
        """Return the next five due times on the clocks of the zone; none of a form that is not valid."""
        rule: Rule | None = getattr(self, "cleaned_data", {}).get("rule") if self.is_bound and self.is_valid() else None
        if rule is None:
            return []
        return [moment.astimezone(zone_of(rule.zone)) for moment in rule.upcoming(timezone.now(), UPCOMING)]

    @property
    def is_ambiguous(self) -> bool:
        """Whether the one time entered is shown twice, because the clocks are put back."""
        data = getattr(self, "cleaned_data", {})
        if "rule" not in data or data["kind"] != Kind.ONCE:
            return False
        return is_shown_twice(data["at"], zone_of(data["zone"]))


def _rule(data: dict[str, Any], now: datetime) -> Rule:
    zone, kind = zone_of(data["zone"].strip()), Kind(data["kind"])
    ends_at = moment_of(data["ends"], zone, "ends") if data["ends"] else None
    unit, every, anchor, expression = Unit(data["unit"]), data["every"] or 1, None, ""
    if kind == Kind.ONCE:
        if data["at"] is None:
            raise TimingError("at", "Enter a date and a time.")
        anchor, ends_at = moment_of(data["at"], zone, "at"), None
    elif kind == Kind.CRON:
        expression = check_expression(data["expression"])
    else:
        if every > MOST_EVERY[unit]:
            raise TimingError("every", f"At most {MOST_EVERY[unit]:,} {unit}.")
        anchor = moment_of(data["start"], zone, "start") if data["start"] else now.replace(microsecond=0)
    rule = Rule(kind, zone.key, anchor, expression, every, unit, ends_at)
    if rule.next_after(now) is None:
        field = "at" if kind == Kind.ONCE else "ends"
        raise TimingError(field, "It would never be due: that time has passed.")
    return rule


class ScheduleForm(TimingForm):
    """The page that makes or changes a schedule. ``values`` holds what the Send Command form kept, as JSON."""

    name = forms.CharField(label="Name", max_length=80, widget=forms.TextInput({"autocomplete": "off"}))
    # What the schedule was when its form was drawn.
    base = forms.CharField(required=False, widget=forms.HiddenInput)
    values = forms.CharField(widget=forms.HiddenInput, strip=False)
    source = forms.ChoiceField(
        label="What is sent", choices=Source.choices, required=False, initial=Source.TEXT, widget=forms.RadioSelect
    )
    version = forms.ModelChoiceField(SavedCommandVersion.objects.none(), required=False, widget=forms.HiddenInput)
    is_frozen = forms.ChoiceField(
        label="Instances",
        choices=[("", "Looked up each time it is due"), ("1", "Those that it comes to now")],
        required=False,
        widget=forms.RadioSelect,
    )
    overlap = forms.ChoiceField(
        label="If the run before has not ended",
        choices=Overlap.choices,
        initial=Overlap.SKIP,
        widget=forms.RadioSelect,
    )
    late_within_minutes = forms.IntegerField(
        label="Run once late, if within (minutes)",
        required=False,
        min_value=0,
        max_value=services.MAX_LATE_MINUTES,
        error_messages=dict.fromkeys(("min_value", "max_value"), services.LATE_RULE),
        help_text="When the console was not there. 0 or empty: what was missed is told, and not made up for.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.overtaken_by: Schedule | None = None
        self.fields["version"].queryset = versions_visible_to(user)  # type: ignore[attr-defined]
        if not self.is_bound and "zone" not in self.initial:
            # Its scripts put the browser's own zone there.
            self.fields["zone"].widget.attrs["data-time-zone"] = "here"

    def clean_values(self) -> Values:
        """Return the values by field. Raises: ValidationError for what the page did not make."""
        try:
            read = json.loads(self.cleaned_data["values"])
        except ValueError:
            read = None
        if not isinstance(read, dict) or not all(_is_texts(texts) for texts in read.values()):
            raise forms.ValidationError("What is sent cannot be read: start again from Send Command.")
        return read

    def plan(self) -> Plan:
        """Return what is asked for, of a valid form."""
        data = self.cleaned_data
        return Plan(
            name=data["name"],
            rule=data["rule"],
            values=data["values"],
            source=Source(data["source"] or Source.TEXT),
            version=data["version"],
            is_frozen=bool(data["is_frozen"]),
            overlap=Overlap(data["overlap"]),
            late_within_minutes=data["late_within_minutes"] or 0,
        )

    def save(self, schedule: Schedule | None = None) -> Schedule | None:
        """Make the schedule, or change one; None when the form is to be shown again, with why. Raises: NotAllowed."""
        if not self.is_valid():
            return None
        try:
            if schedule is None:
                return services.add(self.user, self.plan())
            base = self.cleaned_data["base"]
            return services.change(self.user, schedule=schedule, plan=self.plan(), base=base)
        except services.ChangedMeanwhile as error:
            self.add_error(error.field, str(error))
            self.overtaken_by = error.schedule
        except ScheduleError as error:
            self.add_error(error.field or None, str(error))
        except SendingRefused as error:
            self.add_error(None, f"What is sent would be refused: {error}")
        return None


def _is_texts(texts: Any) -> bool:
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) for text in texts)


def initial_of(schedule: Schedule) -> dict[str, Any]:
    """Return the form's start values that make a schedule again."""
    zone = schedule.time_zone
    return {
        "name": schedule.name,
        "base": services.edit_token(schedule),
        "values": json.dumps(schedule.values),
        "source": schedule.source,
        "version": schedule.version_id or (schedule.saved.latest_id if schedule.saved else None),
        "is_frozen": "1" if schedule.is_frozen else "",
        "kind": schedule.kind,
        "at": _shown(schedule.anchor_at, zone) if schedule.kind == Kind.ONCE else "",
        "start": _shown(schedule.anchor_at, zone) if schedule.kind == Kind.EVERY else "",
        "expression": schedule.expression,
        "every": schedule.every,
        "unit": schedule.unit,
        "zone": schedule.zone,
        "ends": _shown(schedule.ends_at, zone),
        "overlap": schedule.overlap,
        "late_within_minutes": schedule.late_within_minutes,
    }


def _shown(moment: datetime | None, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S") if moment else ""
