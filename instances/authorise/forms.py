"""Forms of keys on instances: what is chosen, and that it is what was shown."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from instances.authorise import services
from instances.authorise.eligible import Selection, part
from instances.authorise.models import Authorisation, KeyAction
from instances.credentials import key_pairs
from instances.credentials.models import Credential, CredentialKind
from instances.credentials.user_names import RULE, check_user_name
from instances.engine.authorise import Limits
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
# A word of its own for no limits: what was not chosen must not come to that.
_NO_LIMITS = "none"
_LIMITS = (
    (Limits.COMMANDS, "Run commands and open terminals (restrict,pty)"),
    (Limits.FORWARDING, "The same, and forward ports: for a machine that leads to others"),
    (_NO_LIMITS, "Everything: no restrictions"),
)


class _KeyForm(forms.Form):
    """What Authorise and Take away have in common.

    ``shown`` is what the page said would be done; something else is never done, but shown again.
    """

    action: KeyAction

    credential = forms.ModelChoiceField(Credential.objects.none(), label="Key", empty_label="Choose a key")
    shown = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: "User", instances: list[Instance], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.instances = user, instances
        self.line = ""
        keys = Credential.objects.filter(kind=CredentialKind.KEY)
        self.fields["credential"].queryset = keys  # type: ignore[attr-defined]

    @property
    def selection(self) -> Selection:
        """The instances, parted; without a valid choice, none."""
        if not self.is_valid():
            return Selection()
        data = self.cleaned_data
        return part(
            self.user,
            self.instances,
            action=self.action,
            key=data["credential"],
            next_credential=data.get("next_credential"),
        )

    def saying(self, selection: Selection) -> str:
        """Return a digest of what a page with this selection says, for ``shown``."""
        places = [(one.instance.pk, one.sign_in.pk) for one in selection.candidates]
        after = self.cleaned_data.get("next_credential")
        said = repr((self.line, self.cleaned_data["credential"].pk, after.pk if after else None, places))
        return hashlib.sha256(said.encode()).hexdigest()

    def press(self) -> Authorisation | None:
        """Do it, if it is what was shown; None when the page is to be shown again."""
        selection = self.selection
        if not self.is_valid():
            return None
        if self.cleaned_data["shown"] != self.saying(selection):
            if self.cleaned_data["shown"]:
                self.add_error(None, "This is not what was shown before. Look at it again.")
            return None
        return self._attempt(self._press)

    def _press(self) -> Authorisation:
        raise NotImplementedError

    def _attempt(self, service: Callable[[], Authorisation]) -> Authorisation | None:
        try:
            return service()
        except ValidationError as error:
            show(self, error)
            return None


class AuthoriseForm(_KeyForm):
    """Chooses a key, what it may do, and from where."""

    action = KeyAction.PLACE

    limits = forms.ChoiceField(
        label="The key may",
        choices=_LIMITS,
        initial=Limits.COMMANDS,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what the key may do."},
    )
    sources = forms.CharField(
        label="Only from",
        required=False,
        max_length=500,
        help_text="Addresses, networks or patterns of this console, comma-separated, such as 192.0.2.7,10.0.0.0/8. "
        "Empty: from anywhere.",
        widget=forms.TextInput({**_PLAIN, "class": "mono"}),
    )
    is_switching = forms.BooleanField(
        label="Then sign in with the key: it becomes the credential of each instance that lets it in",
        required=False,
        initial=True,
    )

    def clean_limits(self) -> Limits:
        """Return what the key may do."""
        given = self.cleaned_data["limits"]
        return Limits.NONE if given == _NO_LIMITS else Limits(given)

    def clean(self) -> dict[str, Any]:
        """Make the line, so that what is wrong with it is told beside its field."""
        data = super().clean() or {}
        if not self.errors:
            try:
                self.line = services.line_for(data["credential"], limits=data["limits"], sources=data["sources"])
            except ValidationError as error:
                show(self, error)
        return data

    def _press(self) -> Authorisation:
        data = self.cleaned_data
        return services.authorise(
            self.user,
            credential=data["credential"],
            instances=self.instances,
            line=self.line,
            is_switching=data["is_switching"],
        )


class TakeAwayForm(_KeyForm):
    """Chooses a key to take away, and what instances sign in with afterwards."""

    action = KeyAction.REMOVE

    next_credential = forms.ModelChoiceField(
        Credential.objects.all(),
        label="Afterwards sign in with",
        required=False,
        empty_label="Nothing new: the key takes itself away as its last act",
        help_text="It is signed in with first: where that fails, the key stays.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a key that would follow itself."""
        data = super().clean() or {}
        if not self.errors and data["credential"] == data["next_credential"]:
            self.add_error("next_credential", "Choose another credential than the key that is taken away.")
        return data

    def _press(self) -> Authorisation:
        data = self.cleaned_data
        return services.take_away(
            self.user,
            credential=data["credential"],
            instances=self.instances,
            next_credential=data["next_credential"],
        )


class KeyPairForm(forms.Form):
    """Makes a key pair here."""

    name = forms.CharField(
        max_length=80, help_text="How people here tell it from others.", widget=forms.TextInput(_PLAIN)
    )
    user_name = forms.CharField(
        label="User name", max_length=64, help_text=RULE, widget=forms.TextInput({**_PLAIN, "class": "mono"})
    )

    def __init__(self, *args: Any, user: "User", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_user_name(self) -> str:
        """Refuse names that could be read as anything else on the way."""
        value: str = self.cleaned_data["user_name"]
        check_user_name(value)
        return value

    def make(self) -> Credential | None:
        """Make the pair; None when the form is to be shown again."""
        if not self.is_bound or not self.is_valid():
            return None
        try:
            return key_pairs.make_key_pair(self.user, **self.cleaned_data)
        except ValidationError as error:
            show(self, error)
            return None


def show(form: forms.Form, error: ValidationError) -> None:
    """Put a service's error beside its field."""
    places = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    for place, messages in places.items():
        for message in messages:
            form.add_error(place if place in form.fields else None, message)
