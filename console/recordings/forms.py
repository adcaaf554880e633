"""Owns the filters above the list of recordings."""

from datetime import date, datetime, time

from django import forms
from django.db.models import Q
from django.utils import timezone

_DATE = {"type": "date"}


class RecordingsForm(forms.Form):
    """All of them are optional; a recording is found when all that are set fit it."""

    instance = forms.CharField(required=False, max_length=80, label="Instance")
    owner = forms.CharField(required=False, max_length=150, label="Owner")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs=_DATE))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs=_DATE))

    def conditions(self) -> Q:
        """Return the filter; what cannot be read is left out, and the form shows why."""
        self.is_valid()
        data, found = self.cleaned_data, Q()
        if name := data.get("instance"):
            found &= Q(instance_name__icontains=name)
        if owner := data.get("owner"):
            found &= Q(owner_name__icontains=owner)
        if since := data.get("since"):
            found &= Q(started_at__gte=_midnight(since))
        if until := data.get("until"):
            # Not the day after: there may be none.
            found &= Q(started_at__lte=timezone.make_aware(datetime.combine(until, time.max)))
        return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
