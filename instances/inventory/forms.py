"""Forms of the inventory: they read what was typed, call one service, and put a refusal beside its field."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.urls import reverse

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.credentials.models import Credential
from instances.credentials.user_names import check_user_name
from instances.engine.text import is_line
from instances.inventory import addresses, comparison, groups, imports, jumps, paste, services
from instances.inventory import tags as tag_text
from instances.inventory.errors import InventoryError
from instances.inventory.models import OS, Instance
from instances.inventory.ssh_config import Remark

if TYPE_CHECKING:
    from console.members.models import User

Result = TypeVar("Result")
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class InventoryForm(forms.Form):
    """A form whose service may refuse; the refusal is shown beside the field it is about."""

    def attempt(self, service: Callable[[], Result]) -> Result | None:
        """Call the service if the form is valid; return None, with the error kept, when it is refused."""
        if not self.is_valid():
            return None
        try:
            return service()
        except InventoryError as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
            return None


class _GroupAndCredential(InventoryForm):
    group = forms.ModelChoiceField(Group.objects.none(), required=False, empty_label="No group")
    credential = forms.ModelChoiceField(
        Credential.objects.all(),
        required=False,
        empty_label="The default of its group, or of everything",
        help_text="What the console signs in with.",
    )

    def __init__(self, *args: Any, user: "User", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        choices = Group.objects.filter(rules.scope(user, Action.MANAGE_INSTANCES, field="pk"))
        self.fields["group"].queryset = choices  # type: ignore[attr-defined]
        self.fields["group"].required = not rules.allowed(user, Action.MANAGE_INSTANCES)
        if not rules.allowed(user, Action.MANAGE_CREDENTIALS):
            del self.fields["credential"]


class InstanceForm(_GroupAndCredential):
    """Adds an instance, or changes the one it was given."""

    address = forms.CharField(
        max_length=400,
        help_text="[user@]host[:port]: a name, IPv4 or IPv6. localhost is the console's own machine.",
        widget=forms.TextInput(
            {**_PLAIN, "class": "mono", "placeholder": "deploy@web-1.example.com:22", "autofocus": True}
        ),
    )
    name = forms.CharField(max_length=80, required=False, help_text="Empty: the host.", widget=forms.TextInput(_PLAIN))
    os = forms.ChoiceField(label="Operating system", choices=OS.choices, initial=OS.LINUX)
    tags = forms.CharField(
        max_length=4000,
        required=False,
        help_text="key=value, separated by spaces, such as env=prod role=db.",
        widget=forms.TextInput({**_PLAIN, "class": "mono", "placeholder": "env=prod role=db"}),
    )
    jump = forms.CharField(
        label="Reached through",
        max_length=80,
        required=False,
        help_text="The name of its jump host, if the console cannot reach it directly.",
        widget=forms.TextInput({**_PLAIN, "list": "jump-hosts", "placeholder": "directly"}),
    )
    field_order = ("address", "jump", "name", "os", "group", "credential", "tags")

    def __init__(self, *args: Any, user: "User", instance: Instance | None = None, **kwargs: Any) -> None:
        if instance is not None:
            kwargs["initial"] = _initial(instance)
        super().__init__(*args, user=user, **kwargs)
        self.instance = instance
        self.fields["jump"].widget.attrs |= {
            "hx-get": reverse("jump-hosts"),
            "hx-trigger": "input changed delay:200ms",
            "hx-target": "#jump-hosts",
        }

    def clean_address(self) -> addresses.Address:
        """Return the address that was read."""
        return _read(addresses.parse, self.cleaned_data["address"])

    def clean_tags(self) -> dict[str, str]:
        """Return the tags that were read."""
        return _read(tag_text.parse, self.cleaned_data["tags"])

    @property
    def jump_hosts(self) -> list[str]:
        """The names to choose from as long as nothing is typed."""
        return jumps.suggest(self.user, "")

    def clean_jump(self) -> Instance | None:
        """Return the jump host; the one that is there stays, whoever may choose it."""
        kept = self.instance.jump if self.instance is not None else None
        if kept is not None and self.cleaned_data["jump"] == kept.name:
            return kept
        return _read(lambda name: jumps.find(self.user, name), self.cleaned_data["jump"])

    def add(self) -> Instance | None:
        """Add the instance and have it checked; None when it was refused."""
        return self.attempt(lambda: services.add_instance(self.user, **self.cleaned_data, check=True))

    def change(self, instance: Instance) -> services.Changed | None:
        """Change the instance; None when it was refused."""
        kept = {"credential": instance.credential}
        return self.attempt(lambda: services.change_instance(self.user, instance=instance, **kept | self.cleaned_data))


class PasteForm(_GroupAndCredential):
    """A pasted list, shown again with what each line means until it is confirmed."""

    text = forms.CharField(
        label="Instances, one per line",
        max_length=paste.TEXT_LIMIT,
        strip=False,
        help_text="[user@]host[:port] [name] [key=value …]. What follows a # is a comment.",
        widget=forms.Textarea(
            {
                **_PLAIN,
                "class": "mono",
                "rows": 12,
                "placeholder": "deploy@10.0.0.4:2222 web-1 env=prod role=web\n[2001:db8::7]:22 db-1 role=db",
            }
        ),
    )
    # How many instances the preview promised; empty as long as nothing was shown.
    expected = forms.IntegerField(required=False, widget=forms.HiddenInput)
    field_order: Sequence[str] = ("text", "group", "credential", "expected")

    lines: list[paste.Line] | None = None

    def preview(self) -> list[services.NewInstance]:
        """Read the lines and keep them for the page; return what they would add."""
        self.lines = paste.preview(self.cleaned_data["text"]) if self.is_valid() else None
        return paste.to_add(self.lines or [])

    @property
    def is_confirmed(self) -> bool:
        """Whether a person has seen this very number of instances and pressed Add."""
        return "confirm" in self.data and self.cleaned_data.get("expected") == len(paste.to_add(self.lines or []))

    def add(self) -> list[Instance] | None:
        """Add what was confirmed; None when the list is only to be shown, or was refused."""
        new = self.preview()
        if not new or not self.is_confirmed:
            return None
        given = {key: self.cleaned_data.get(key) for key in ("group", "credential")}
        return self.attempt(lambda: services.add_many(self.user, new=new, check=True, **given))


class ImportForm(PasteForm):
    """A CSV table or an OpenSSH client configuration, pasted or from a file of the person's own machine."""

    kind = forms.ChoiceField(
        label="What it is",
        choices=(("csv", "CSV table"), ("ssh_config", "OpenSSH client configuration (~/.ssh/config)")),
        widget=forms.RadioSelect,
        initial="csv",
    )
    file = forms.FileField(
        required=False, label="A file, in UTF-8", help_text="Its text takes the place of the one below."
    )
    text = forms.CharField(
        label="Or its text",
        max_length=paste.TEXT_LIMIT,
        required=False,
        strip=False,
        widget=forms.Textarea({**_PLAIN, "class": "mono", "rows": 12}),
    )
    field_order = ("kind", "file", "text", "group", "credential", "expected")

    remarks: list[Remark] | None = None
    _refused_file = ""

    def __init__(self, data: QueryDict | None, files: Mapping[str, Any] | None, *, user: "User") -> None:
        super().__init__(data, files, user=user)
        if data is not None and files and "file" in files:
            self._take_text(data, files["file"])

    def clean_file(self) -> None:
        """Refuse a file whose text could not be taken."""
        if self._refused_file:
            raise forms.ValidationError(self._refused_file)

    def clean(self) -> dict[str, Any]:
        """Ask for a text or a file."""
        if not self.errors and not self.cleaned_data.get("text", "").strip():
            self.add_error("text", "Choose a file, or paste its text.")
        return self.cleaned_data

    def preview(self) -> list[services.NewInstance]:
        """Read the import, compare it with the inventory, and keep it for the page."""
        if not self.is_valid():
            return []
        text = self.cleaned_data["text"]
        is_table = self.cleaned_data["kind"] == "csv"
        lines, self.remarks = imports.read_csv(self.user, text) if is_table else imports.read_ssh_config(text)
        self.lines = comparison.compare(self.user, lines)
        return paste.to_add(self.lines)

    def _take_text(self, data: QueryDict, file: UploadedFile) -> None:
        # The page that shows the preview sends the text again; a browser does not send a file twice by itself.
        self.data = data.copy()
        if file.size is None or file.size > paste.TEXT_LIMIT:
            self._refused_file = f"A file has at most {paste.TEXT_LIMIT:,} bytes."
            return
        try:
            self.data["text"] = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._refused_file = (
                f"This file is not UTF-8 (byte {error.start + 1}). Save it as UTF-8, or paste its text."
            )


class GroupForm(InventoryForm):
    """Adds a group, or changes the one it was given."""

    name = forms.CharField(max_length=80, widget=forms.TextInput(_PLAIN))
    credential = forms.ModelChoiceField(
        Credential.objects.all(), required=False, empty_label="None", label="Default credential"
    )
    asks_first = forms.BooleanField(
        required=False,
        label="Ask before commands are sent",
        help_text="Whoever sends one to an instance of the group types first to how many it goes.",
    )
    records_terminals = forms.BooleanField(
        required=False,
        initial=True,
        label="Record terminals",
        help_text="What its instances print into a terminal is kept, to be played again. What is typed is not.",
    )

    def __init__(self, *args: Any, user: "User", group: Group | None = None, **kwargs: Any) -> None:
        if group is not None:
            default = getattr(group, "default_credential", None)
            kwargs["initial"] = {
                "name": group.name,
                "credential": default and default.credential_id,
                "asks_first": group.asks_first,
                "records_terminals": group.records_terminals,
            }
            kwargs["auto_id"] = f"id_{group.pk}_%s"
        super().__init__(*args, **kwargs)
        self.user, self.group = user, group
        if not rules.allowed(user, Action.MANAGE_CREDENTIALS):
            del self.fields["credential"]

    def add(self) -> Group | None:
        """Add the group; None when it was refused."""
        return self.attempt(lambda: groups.add_group(self.user, **self.cleaned_data))

    def change(self, group: Group) -> Group | None:
        """Change the group; None when it was refused."""
        default = getattr(group, "default_credential", None)
        # Who may not choose it is not shown it, and keeps what is there.
        kept: dict[str, Any] = {"credential": default.credential if default else None}
        return self.attempt(lambda: groups.change_group(self.user, group=group, **kept | self.cleaned_data))


class TrialForm(forms.Form):
    """What a connection test tries beside signing in."""

    working_directory = forms.CharField(
        max_length=1024,
        required=False,
        strip=False,
        help_text="Whether commands could start in it.",
        widget=forms.TextInput({**_PLAIN, "class": "mono", "placeholder": "/srv/app"}),
    )
    run_as = forms.CharField(
        label="Run as",
        max_length=64,
        required=False,
        help_text="Whether commands could run as this user, through sudo without a password.",
        widget=forms.TextInput({**_PLAIN, "class": "mono", "placeholder": "postgres"}),
    )

    def clean_working_directory(self) -> str:
        """Refuse what is not one line."""
        value: str = self.cleaned_data["working_directory"]
        if not is_line(value):
            raise forms.ValidationError("A working directory is one line without control characters.")
        return value

    def clean_run_as(self) -> str:
        """Refuse names that could be read as anything else on the way."""
        value: str = self.cleaned_data["run_as"]
        if value:
            check_user_name(value)
        return value


def _initial(instance: Instance) -> dict[str, Any]:
    return {
        "address": str(addresses.address_of(instance)),
        "name": instance.name,
        "jump": instance.jump.name if instance.jump else "",
        "os": instance.os,
        "group": instance.group_id,
        "credential": instance.credential_id,
        "tags": tag_text.text_of({tag.key: tag.value for tag in instance.tags.all()}),
    }


def _read(parse: Callable[[str], Result], text: str) -> Result:
    try:
        return parse(text)
    except InventoryError as error:
        raise forms.ValidationError(str(error)) from error
