"""Forms of the credentials: secrets go in and are never drawn again, also not when a form is shown a second time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile

from instances.access.models import Group
from instances.credentials import agent, services
from instances.credentials.entry import SECRET_LIMIT
from instances.credentials.models import Credential, CredentialKind
from instances.credentials.user_names import RULE, check_user_name
from instances.engine.types import HostKey

if TYPE_CHECKING:
    from console.members.models import User

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
_FIELDS_OF = {
    CredentialKind.PASSWORD: ("password",),
    CredentialKind.KEY: ("key", "key_file", "passphrase", "certificates"),
    CredentialKind.AGENT: ("identities",),
}
_KEEP = "Empty: what is stored is kept."


class _WriteOnlyText(forms.Textarea):
    """A text area that never shows what was entered."""

    def format_value(self, value: Any) -> str:
        return ""


class CredentialForm(forms.Form):
    """Adds a credential, or changes the one it was given (its kind stays)."""

    name = forms.CharField(
        max_length=80, help_text="How people here tell it from others.", widget=forms.TextInput({**_PLAIN})
    )
    kind = forms.ChoiceField(
        label="Signs in with",
        choices=CredentialKind.choices,
        initial=CredentialKind.PASSWORD,
        widget=forms.RadioSelect,
    )
    user_name = forms.CharField(
        label="User name", max_length=64, help_text=RULE, widget=forms.TextInput({**_PLAIN, "class": "mono"})
    )
    password = forms.CharField(
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    key = forms.CharField(
        label="Private key",
        required=False,
        strip=False,
        help_text="OpenSSH, PEM or PuTTY (.ppk) form. Paste it here, or choose its file. Several keys, one below the "
        "other, are tried in order.",
        widget=_WriteOnlyText({**_PLAIN, "class": "mono", "rows": 6, "placeholder": "-----BEGIN … PRIVATE KEY-----"}),
    )
    key_file = forms.FileField(label="Private key file", required=False, allow_empty_file=True)
    passphrase = forms.CharField(
        required=False,
        strip=False,
        max_length=1024,
        help_text="Only if the key is encrypted.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    certificates = forms.CharField(
        label="Certificate",
        required=False,
        help_text="Only where a certificate authority signs keys: the line of id_…-cert.pub, one for each key.",
        widget=forms.Textarea(
            {**_PLAIN, "class": "mono", "rows": 3, "placeholder": "ssh-ed25519-cert-v01@openssh.com …"}
        ),
    )
    identities = forms.MultipleChoiceField(
        label="Keys of the ssh-agent",
        required=False,
        help_text="Only the chosen ones are ever offered, in the order of the agent. The agent is never forwarded.",
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, user: "User", credential: Credential | None = None, **kwargs: Any) -> None:
        if credential is not None:
            kept = {name: getattr(credential, name) for name in ("name", "user_name", "certificates")}
            if credential.kind == CredentialKind.AGENT:
                # Of another kind nothing is offered to choose from: its own keys would be refused as no choices.
                kept["identities"] = credential.public_keys.splitlines()
            kwargs["initial"] = kept
        super().__init__(*args, **kwargs)
        self.user, self.credential = user, credential
        if credential is not None:
            self._keep_kind(credential)
        self._offer_identities()

    def clean_user_name(self) -> str:
        """Refuse names that could be read as anything else on the way."""
        value: str = self.cleaned_data["user_name"]
        check_user_name(value)
        return value

    def clean_key_file(self) -> str:
        """Return the text of the uploaded file; empty when none was chosen."""
        upload: UploadedFile | None = self.cleaned_data["key_file"]
        if upload is None:
            return ""
        if (upload.size or 0) > SECRET_LIMIT:
            raise ValidationError("This file is too long for a private key.")
        try:
            text: str = upload.read().decode()
        except UnicodeDecodeError:
            raise ValidationError("This file is not a private key in OpenSSH, PEM or PuTTY form.") from None
        if not text.strip():
            raise ValidationError("This file is empty.")
        return text

    def clean(self) -> dict[str, Any]:
        """Refuse two keys at once: nobody could say which of them was meant."""
        data = super().clean() or {}
        if self._is_key and data.get("key", "").strip() and data.get("key_file"):
            self.add_error("key_file", "Paste the key or choose its file, not both.")
        return data

    def add(self) -> Credential | None:
        """Add the credential; None when the form is to be shown again."""
        return self._attempt(
            lambda entered: services.add_credential(
                self.user,
                name=self.cleaned_data["name"],
                kind=self.cleaned_data["kind"],
                user_name=self.cleaned_data["user_name"],
                **entered,
            )
        )

    def change(self, credential: Credential) -> Credential | None:
        """Change the credential; None when the form is to be shown again."""
        return self._attempt(
            lambda entered: services.change_credential(
                self.user,
                credential=credential,
                name=self.cleaned_data["name"],
                user_name=self.cleaned_data["user_name"],
                **entered,
            )
        )

    def _attempt(self, service: Callable[[dict[str, Any]], Credential]) -> Credential | None:
        if not self.is_bound or not self.is_valid():
            return None
        try:
            return service(self._entered())
        except ValidationError as error:
            self._show(error)
            return None

    def _entered(self) -> dict[str, Any]:
        """Return what was entered for the chosen kind; what the page hid of the other kinds is passed over."""
        data = self.cleaned_data
        if self._is_key:
            secret = data["key"] if data["key"].strip() else data["key_file"]
            return {"secret": secret, "passphrase": data["passphrase"], "certificates": data["certificates"]}
        if self._kind == CredentialKind.AGENT:
            return {"identities": tuple(data["identities"])}
        return {"secret": data["password"]}

    def _show(self, error: ValidationError) -> None:
        places = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for place, messages in places.items():
            field = ("key" if self._is_key else "password") if place == "secret" else place
            for message in messages:
                self.add_error(field if field in self.fields else None, message)

    @property
    def _kind(self) -> str:
        return str(self.credential.kind if self.credential else self.cleaned_data.get("kind"))

    @property
    def _is_key(self) -> bool:
        return self._kind == CredentialKind.KEY

    def _offer_identities(self) -> None:
        """Offer what the agent holds now, and what was chosen before although it is not held at the moment."""
        held = {one.line: f"{one.comment or one.line.split()[0]} · {one.fingerprint}" for one in agent.identities()}
        chosen = self.credential.public_keys.splitlines() if self.credential else []
        if self.credential is None or self.credential.kind == CredentialKind.AGENT:
            missing = {line: f"{HostKey.parse(line).fingerprint} (not in the agent now)" for line in chosen}
            field = self.fields["identities"]
            field.choices = list((missing | held).items())  # type: ignore[attr-defined]

    def _keep_kind(self, credential: Credential) -> None:
        del self.fields["kind"]
        others = (name for kind, names in _FIELDS_OF.items() if kind != credential.kind for name in names)
        for name in others:
            # Hidden by the page too; what is sent for them anyway is read and passed over.
            self.fields[name].disabled = True
        for name in ("password", "key"):
            self.fields[name].help_text = _KEEP


class AttachForm(forms.Form):
    """Chooses the credential of instances, or the default of a group or of all; an empty choice takes it away."""

    credential = forms.ModelChoiceField(
        Credential.objects.all(), required=False, empty_label="None of their own: the default"
    )
    group = forms.ModelChoiceField(Group.objects.all(), required=False)
    everything = forms.BooleanField(required=False, widget=forms.HiddenInput)
    ids = forms.CharField(required=False, max_length=600_000, widget=forms.HiddenInput)

    def clean_ids(self) -> list[int]:
        """Return the numbers among the ids, which come comma-separated, or one per field of that name."""
        values = ",".join(self.data.getlist("ids")).split(",")  # type: ignore[attr-defined]
        return list(dict.fromkeys(int(value) for value in values if value.strip().isdecimal() and len(value) < 19))

    def clean(self) -> dict[str, Any]:
        """Refuse to do nothing in silence."""
        data = super().clean() or {}
        if not self.errors and not any(data.get(name) for name in ("ids", "group", "everything")):
            raise ValidationError("Select instances, or choose a group.")
        return data
