"""Owns the filters above the history: their fields, and what they are called when they are shown as set."""

from collections.abc import Iterator
from dataclasses import dataclass

from django import forms
from django.http import QueryDict

from console.history.services import query_of
from console.runs.history import STATES

WITHIN = (
    ("", "Any time"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("90d", "Last 90 days"),
)
DRY_RUNS = (("", "With dry runs"), ("no", "Without dry runs"), ("only", "Only dry runs"))
LEAST_EXIT, MOST_EXIT = -(2**31), 2**32 - 1


class HistoryForm(forms.Form):
    """All of them are optional; a run is found when all that are set fit it.

    ``exit_status``, ``reason``, ``instance``, ``tag``, ``group`` and ``session`` are about one and the same
    invocation of it; a session is given by its name, or by its number, as links have it.
    """

    text = forms.CharField(required=False, max_length=200, label="Command contains")
    state = forms.ChoiceField(required=False, choices=STATES, label="State")
    user = forms.CharField(required=False, max_length=150, label="Sent by")
    instance = forms.CharField(required=False, max_length=80, label="Instance")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    within = forms.ChoiceField(required=False, choices=WITHIN, label="When")
    dry_runs = forms.ChoiceField(required=False, choices=DRY_RUNS, label="Dry runs")
    exit_status = forms.IntegerField(
        required=False, min_value=LEAST_EXIT, max_value=MOST_EXIT, label="Exit status", widget=forms.TextInput
    )
    reason = forms.CharField(required=False, max_length=40, label="Reason")
    saved = forms.CharField(required=False, max_length=80, label="Saved command")
    tag = forms.CharField(required=False, max_length=121, label="Tag")
    group = forms.CharField(required=False, max_length=80, label="Group")
    session = forms.CharField(required=False, max_length=80, label="Session")

    @property
    def more(self) -> list[forms.BoundField]:
        """The fields that are shown on demand: those to choose from first."""
        names = ("within", "dry_runs", "exit_status", "reason", "saved", "tag", "group", "session")
        return [self[name] for name in names]

    @property
    def is_more_set(self) -> bool:
        """Whether one of those is set."""
        return any(field.value() for field in self.more)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is set, and the query string without it."""

    label: str
    value: str
    query: str


def chips(form: HistoryForm, params: QueryDict) -> Iterator[Chip]:
    """Yield the filters that are set, each with the way to take it away."""
    for field in form:
        given = params.get(field.name, "").strip()
        if not given:
            continue
        words = dict(getattr(field.field, "choices", ())).get(given, given)
        without = params.copy()
        del without[field.name]
        yield Chip(str(field.label), str(words), query_of(without))
