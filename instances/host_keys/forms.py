"""Forms of host trust: they read what was typed, call one service, and put a refusal beside its field."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import authorities, known_hosts
from instances.host_keys.models import HostAuthority, RevokedKey

if TYPE_CHECKING:
    from console.members.models import User

Result = TypeVar("Result")
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class _TrustForm(forms.Form):
    """A form about a group, or everywhere for who decides everywhere, whose service may refuse."""

    group = forms.ModelChoiceField(
        Group.objects.none(), label="Counts for", required=False, empty_label="All instances"
    )

    def __init__(self, *args: Any, user: "User", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        decided = Group.objects.filter(rules.scope(user, Action.TRUST_HOST_KEYS, field="pk"))
        group: Any = self.fields["group"]
        group.queryset = decided
        if not rules.allowed(user, Action.TRUST_HOST_KEYS):
            group.required, group.empty_label = True, "Choose a group"

    def attempt(self, service: Callable[[], Result]) -> Result | None:
        """Call the service if the form is valid; return None, with the error kept, when it is refused."""
        if not self.is_valid():
            return None
        try:
            return service()
        except ValidationError as error:
            places = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
            for place, messages in places.items():
                for message in messages:
                    self.add_error(place if place in self.fields else None, message)
            return None


class AuthorityForm(_TrustForm):
    """Trusts a host authority: a line of known_hosts, or a public key with the patterns beside it."""

    line = forms.CharField(
        label="Public key of the authority",
        max_length=4000,
        widget=forms.Textarea(
            {**_PLAIN, "class": "mono", "rows": 3, "placeholder": "@cert-authority *.example.com ssh-ed25519 AAAA…"}
        ),
        help_text="A line of known_hosts, or the public key alone and the addresses below.",
    )
    patterns = forms.CharField(
        label="Addresses it vouches for",
        max_length=2000,
        required=False,
        widget=forms.TextInput({**_PLAIN, "class": "mono", "placeholder": "*.example.com,10.0.*,!old.example.com"}),
        help_text="With commas between; * and ? stand for anything, ! leaves out.",
    )
    name = forms.CharField(max_length=80, required=False, help_text="How people here call it.")
    field_order = ("line", "patterns", "name", "group")

    def clean(self) -> dict[str, Any]:
        """Take the patterns and the name from the line where it has them."""
        data = super().clean() or {}
        if "line" not in data:
            return data
        line = " ".join(data["line"].split())
        try:
            if line.startswith("@"):
                self._take(known_hosts.read_line(line), data)
            else:
                data["key"] = known_hosts.read_key(line)
        except known_hosts.LineInvalid as error:
            self.add_error("line", str(error))
        if "key" in data and not data.get("patterns"):
            self.add_error("patterns", "Say which addresses it vouches for, such as *.example.com.")
        return data

    def add(self) -> HostAuthority | None:
        """Trust it; None when the form is to be shown again."""
        data = self.cleaned_data if self.is_valid() else {}
        return self.attempt(
            lambda: authorities.trust_authority(
                self.user, key=data["key"], patterns=data["patterns"], name=data["name"], group=data["group"]
            )
        )

    def _take(self, entry: known_hosts.Entry, data: dict[str, Any]) -> None:
        if entry.marker is not known_hosts.Marker.AUTHORITY:
            raise known_hosts.LineInvalid("This line says @revoked: enter it under Revoked.")
        if data.get("patterns"):
            raise known_hosts.LineInvalid("The line has addresses of its own: leave the field below empty.")
        data["key"], data["patterns"] = entry.key, entry.names
        data["name"] = data.get("name") or entry.comment[:80]


class RevokeForm(_TrustForm):
    """Revokes a host key, or the key of an authority."""

    line = forms.CharField(
        label="Public key",
        max_length=4000,
        widget=forms.Textarea({**_PLAIN, "class": "mono", "rows": 3, "placeholder": "ssh-ed25519 AAAA…"}),
        help_text="Of a machine or of an authority; a line of known_hosts does too.",
    )
    comment = forms.CharField(max_length=200, required=False, help_text="Why, for those who meet it later.")
    field_order = ("line", "comment", "group")

    def clean_line(self) -> PresentedKey:
        """Return the key that was read, whatever names stand before it."""
        words = self.cleaned_data["line"].split()
        kinds = [at for at, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))]
        try:
            return known_hosts.read_key(" ".join(words[kinds[0] :] if kinds else words))
        except known_hosts.LineInvalid as error:
            raise ValidationError(str(error)) from None

    def add(self) -> RevokedKey | None:
        """Revoke it; None when the form is to be shown again."""
        data = self.cleaned_data if self.is_valid() else {}
        return self.attempt(
            lambda: authorities.revoke(self.user, key=data["line"], comment=data["comment"], group=data["group"])
        )
