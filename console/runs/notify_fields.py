"""The fields of the Send Command form that say who is told when the run has ended."""

from typing import Any

from django import forms

from console.notifications.models import Destination
from console.notifications.services import usable
from console.runs.models import NotifyWhen


class NotifyFields(forms.Form):
    """Nobody is told unless a destination is ticked."""

    notify_to = forms.ModelMultipleChoiceField(
        Destination.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    notify_when = forms.ChoiceField(choices=NotifyWhen.choices, initial=NotifyWhen.END, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["notify_to"].queryset = usable()  # type: ignore[attr-defined]

    def notification(self) -> dict[str, Any]:
        """Return the options about it; an empty ``notify_when`` means every time."""
        data = self.cleaned_data
        return {
            "notify_to": tuple(row.pk for row in data["notify_to"]),
            "notify_when": data["notify_when"] or NotifyWhen.END,
        }
