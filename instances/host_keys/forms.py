"""Forms of host trust: they read what was typed or uploaded, call one service, and put a refusal beside its field."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import authorities, importing, known_hosts
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


class ImportForm(_TrustForm):
    """A known_hosts file, shown again with what each line means until that is confirmed."""

    text = forms.CharField(
        label="Text of a known_hosts file",
        required=False,
        strip=False,
        widget=forms.Textarea(
            {**_PLAIN, "class": "mono", "rows": 8, "placeholder": "web-1.example.com,10.0.0.4 ssh-ed25519 AAAA…"}
        ),
        help_text="Such as ~/.ssh/known_hosts, or what ssh-keyscan printed on a network you trust.",
    )
    file = forms.FileField(label="Or the file", required=False, allow_empty_file=True)
    # What the preview promised; empty as long as nothing was shown.
    expected = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    field_order = ("text", "file", "group", "expected")

    shown: importing.Preview | None = None

    def __init__(self, *args: Any, user: "User", **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        group = self.fields["group"]
        group.label, group.required = "Authorities and revoked keys count for", False

    def clean_file(self) -> str:
        """Return the text of the uploaded file; empty when none was chosen."""
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload is None:
            return ""
        if (upload.size or 0) > importing.TEXT_LIMIT:
            raise ValidationError(importing.TOO_LONG)
        # The form may be read a second time, to show what has become of it meanwhile.
        upload.seek(0)
        return str(upload.read().decode("utf-8-sig", errors="replace"))

    def clean(self) -> dict[str, Any]:
        """Refuse two texts, and none."""
        data = super().clean() or {}
        if self.errors:
            return data
        if bool(data["text"].strip()) == bool(data["file"].strip()):
            both = data["text"].strip()
            raise ValidationError("Paste the text or choose the file, not both." if both else "There is nothing in it.")
        data["text"] = data["text"] if data["text"].strip() else data["file"]
        return data

    def preview(self) -> importing.Preview | None:
        """Read the lines and keep for the page what they would do."""
        data = self.cleaned_data if self.is_valid() else {}
        self.shown = self.attempt(lambda: importing.preview(self.user, text=data["text"], group=data["group"]))
        if self.shown is not None:
            # An uploaded file cannot be put into a form again: its text is.
            self.data = self.data.copy()  # type: ignore[attr-defined]
            self.data["text"], self.data["expected"] = data["text"], self.shown.version  # type: ignore[index]
        return self.shown

    def apply(self, *, replace: set[int]) -> importing.Applied | None:
        """Do what was shown; None when it was refused, or is not the same any more: then it is shown again."""
        data = self.cleaned_data if self.is_valid() else {}
        return self.attempt(
            lambda: importing.apply(
                self.user, text=data["text"], expected=data["expected"], group=data["group"], replace=replace
            )
        )
