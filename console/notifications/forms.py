"""Reads the form of a destination."""

from typing import TYPE_CHECKING, Any

from django import forms

from console.notifications import services
from console.notifications.models import Destination, Kind

if TYPE_CHECKING:
    from console.members.models import User

_PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class DestinationForm(forms.Form):
    """Where people are told; the kind is chosen once."""

    name = forms.CharField(max_length=80, widget=forms.TextInput(_PLAIN))
    kind = forms.ChoiceField(choices=Kind.choices, initial=Kind.EMAIL, widget=forms.RadioSelect)
    addresses = forms.CharField(
        label="E-mail addresses",
        required=False,
        max_length=20_000,
        help_text="One on each line.",
        widget=forms.Textarea(_PLAIN | {"rows": 3}),
    )
    url = forms.CharField(
        label="Address of the webhook",
        required=False,
        max_length=2000,
        help_text="It gets a signed POST with JSON. The log shows its server alone.",
        widget=forms.TextInput(_PLAIN | {"inputmode": "url", "placeholder": "https://"}),
    )
    is_disabled = forms.BooleanField(label="Disabled: nothing is sent there", required=False)
    # What the destination was when its form was drawn.
    base = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: "User", destination: Destination | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if destination is not None:
            self.initial = {
                "name": destination.name,
                "addresses": "\n".join(destination.addresses),
                "url": destination.url,
                "is_disabled": destination.is_disabled,
                "base": services.edit_token(destination),
            }
        self.user = user
        self.destination = destination
        self.overtaken_by: Destination | None = None
        if destination is None:
            del self.fields["is_disabled"]
        else:
            del self.fields["kind"]

    def save(self) -> Destination | None:
        """Add or change the destination; None, with the error beside its field, when it is refused."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        given = {"name": data["name"], "addresses": data["addresses"].splitlines(), "url": data["url"]}
        try:
            if self.destination is None:
                return services.add_destination(self.user, kind=data["kind"], **given)
            given |= {"is_disabled": data["is_disabled"], "base": data["base"]}
            return services.change_destination(self.user, destination=self.destination, **given)
        except services.ChangedMeanwhile as error:
            self.add_error(error.field, str(error))
            self.overtaken_by = error.destination
            return None
        except services.DestinationError as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
            return None
