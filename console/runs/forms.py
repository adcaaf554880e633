"""Owns reading the Send Command form: what is sent, to which instances, with which options."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from django import forms
from django.conf import settings

from console.members.models import User
from console.runs import services
from console.runs.choice import Choice, chosen, look_up
from console.runs.choice_fields import (
    ADDRESS,
    ChoiceFields,
    changed_since_shown,
    choice_in,
    field_for,
    nothing_chosen,
    way_of,
)
from console.runs.families import Part, family_of
from console.runs.keep_fields import written
from console.runs.models import CommandType
from console.runs.notify_fields import NotifyFields
from console.runs.parameter_fields import ParameterFields
from console.runs.prompts import Prompt
from console.runs.rate_fields import RolloutFields
from console.runs.script_files import read_script
from console.runs.session_fields import SessionFields
from console.runs.variables import Variables, parse_arguments, parse_variables, write_variables
from console.saved_commands.models import SavedCommandVersion
from instances.access import rules
from instances.access.rules import Action
from instances.credentials.models import Credential
from instances.inventory import services as inventory
from instances.inventory.models import Instance

MAX_IDS_CHARACTERS = 600_000
# More than can be sent: quoting and names take some.
MAX_LINES_CHARACTERS = 400_000

Text = TypeVar("Text")
Result = TypeVar("Result")


class SendForm(ChoiceFields, RolloutFields, ParameterFields, NotifyFields, SessionFields):
    """The Send Command dialog, in the page or as a page of its own.

    A selection is ``ids`` (comma-separated), or everything that matches ``query`` in ``group`` (empty: in all that the
    user may see) except ``except_ids``; the other ways to choose are in ``ChoiceFields``, besides one ``address`` typed
    in. If the choice comes to others by now than the page showed (``shown``; of a selection at least their number,
    ``expected_count``), nothing is sent, and what changed is said. With ``is_unseen`` nobody looks at a page: what the
    choice comes to is sent to.
    """

    command_type = forms.ChoiceField(
        choices=CommandType.choices,
        initial=CommandType.SHELL,
        widget=forms.RadioSelect,
    )
    command = forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 8}))
    interpreter = forms.CharField(required=False, max_length=255)
    working_directory = forms.CharField(required=False, max_length=1024)
    # With ``split`` the fields above are for Linux and macOS alone, and these for Windows.
    split = forms.BooleanField(required=False, widget=forms.HiddenInput)
    leave_out_posix = forms.BooleanField(required=False)
    leave_out_windows = forms.BooleanField(required=False)
    windows_type = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in (CommandType.POWERSHELL, CommandType.BAT)],
        initial=CommandType.POWERSHELL,
        required=False,
    )
    windows_command = forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 8}))
    windows_interpreter = forms.CharField(required=False, max_length=255)
    windows_directory = forms.CharField(required=False, max_length=1024)
    timeout_s = forms.IntegerField(
        label="Time limit (s)",
        initial=600,
        required=False,
        min_value=1,
        error_messages={"min_value": services.TIMEOUT_RULE},
    )
    script = forms.FileField(required=False, allow_empty_file=True)
    script_name = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    run_as = forms.CharField(required=False, max_length=64)
    environment = forms.CharField(required=False, strip=False, max_length=MAX_LINES_CHARACTERS, widget=forms.Textarea)
    secret_environment = forms.CharField(
        required=False, strip=False, max_length=MAX_LINES_CHARACTERS, widget=forms.Textarea
    )
    arguments = forms.CharField(required=False, strip=False, max_length=MAX_LINES_CHARACTERS, widget=forms.Textarea)
    stop_at_cap = forms.TypedChoiceField(
        choices=[("", "Go on"), ("1", "Stop")], coerce=bool, empty_value=None, required=False
    )
    request_key = forms.CharField(max_length=64, widget=forms.HiddenInput, required=False)
    ids = forms.CharField(required=False, max_length=MAX_IDS_CHARACTERS, widget=forms.HiddenInput)
    query = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)
    by_query = forms.BooleanField(required=False, widget=forms.HiddenInput)
    group = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    except_ids = forms.CharField(required=False, max_length=MAX_IDS_CHARACTERS, widget=forms.HiddenInput)
    expected_count = forms.IntegerField(required=False, widget=forms.HiddenInput)
    address = forms.CharField(required=False, max_length=320)
    credential = forms.ModelChoiceField(Credential.objects.all(), required=False, empty_label="As used there before")

    # For instances without a credential, for this run alone.
    prompt_user = forms.CharField(
        label="User name", required=False, max_length=64, widget=forms.TextInput({"autocomplete": "off"})
    )
    prompt_password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    remember = forms.BooleanField(label="Remember it as their credential", required=False)

    def __init__(self, *args: Any, user: User, is_unseen: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.is_unseen = is_unseen
        self._choice = Choice()
        self._instances: list[Instance] = []
        # Set when the command is kept while it is sent: the run is made from that version.
        self.kept_version: SavedCommandVersion | None = None
        self.fields["saved_version"].queryset = services.sendable_versions(user)  # type: ignore[attr-defined]
        self.ask_for_parameters()
        if not rules.allowed(user, Action.MANAGE_CREDENTIALS):
            del self.fields["credential"], self.fields["remember"]
        if not self.is_bound:
            self.initial.setdefault("request_key", secrets.token_urlsafe(18))

    def clean_request_key(self) -> str:
        """Return the key the form was drawn with; a POST without one is a request of its own."""
        return self.cleaned_data["request_key"] or secrets.token_urlsafe(18)

    def clean_command(self) -> str:
        """Return the command with POSIX line ends."""
        return services.normalise(self.cleaned_data["command"])

    def clean_windows_command(self) -> str:
        """Return the command for Windows with single line ends; Bat gets those of Windows on the way."""
        return services.normalise(self.cleaned_data["windows_command"])

    def clean_environment(self) -> Variables:
        """Return the variables."""
        return _read(parse_variables, self.cleaned_data["environment"])

    def clean_secret_environment(self) -> Variables:
        """Return the secret variables."""
        return _read(parse_variables, self.cleaned_data["secret_environment"])

    def clean_arguments(self) -> tuple[str, ...]:
        """Return the arguments."""
        return _read(parse_arguments, self.cleaned_data["arguments"])

    def clean_script(self) -> tuple[str, str] | None:
        """Return the name and the text of the file that a browser without scripts sends along."""
        file = self.cleaned_data["script"]
        if file is None:
            return None
        if self.data.get("command", "").strip():
            raise forms.ValidationError("Enter a command or choose a file, not both.")
        return file.name, _read(read_script, file.read(settings.MUSTER_SCRIPT_LIMIT_BYTES + 1))

    @property
    def secrets_to_enter(self) -> str:
        """The names of the secret variables, one ``NAME=`` on each line; values are never sent back."""
        try:
            given = parse_variables(self["secret_environment"].value() or "")
        except ValueError:
            return ""
        return write_variables((name, "") for name, _ in given)

    def clean(self) -> dict[str, Any]:
        """Resolve the targets, so that "the target set changed" is told beside them."""
        data = super().clean() or {}
        if data.get("split") and data.get("command_type", CommandType.SHELL) != CommandType.SHELL:
            self.add_error("command", "Linux and macOS take Shell: write what Windows gets below.")
        if script := data.get("script"):
            data["script_name"], data["command"] = script
        if not services.already_sent(self.user, data.get("request_key", "")):
            if data.get("sessions"):
                self.find_sessions()
            else:
                self._find_instances(data)
        return data

    def _find_instances(self, data: dict[str, Any]) -> None:
        """Look the choice up, once: what was compared with what the page showed is what is sent to."""
        if way_of(data) == ADDRESS:
            if data.get("choose") and not data.get("address", "").strip() and "address" not in self.errors:
                self.add_error("address", "Enter an address.")
            return
        try:
            self._choice = choice_in(data)
            found = chosen(self.user, self._choice)
            if not found:
                raise nothing_chosen(data)
        except services.RunError as error:
            self.add_error(field_for(error, data), str(error))
            return
        self._instances = found
        if not self.is_unseen:
            self._refuse_others_than_shown(data, found)

    def _refuse_others_than_shown(self, data: dict[str, Any], found: list[Instance]) -> None:
        expected = data.get("expected_count")
        if message := changed_since_shown(self.user, data, found):
            self.add_error("ids", message)
        elif not data.get("shown") and self._choice.by_query and expected not in {None, len(found)}:
            message = f"The selection matched {expected:,} instances when it was shown, now {len(found):,}. Look again."
            self.add_error("ids", message)

    def options(self) -> services.Options:
        """Return the options, with the defaults for what was left empty."""
        data = self.cleaned_data
        return services.Options(
            command_type=data["command_type"],
            interpreter=data["interpreter"].strip(),
            working_directory=data["working_directory"],
            timeout_s=data["timeout_s"] or 600,
            **self.limits(),
            rollout=self.rollout(),
            stop_at_cap=bool(data["stop_at_cap"]),
            script_name=data["script_name"],
            run_as=data["run_as"],
            arguments=data["arguments"],
            environment=data["environment"],
            secrets=data["secret_environment"],
            **self.notification(),
            parameters=self.parameter_values(),
            is_dry_run=data["dry_run"],
        )

    def prompt(self) -> Prompt | None:
        """Return what was entered for the instances without a credential, if anything was."""
        data = self.cleaned_data
        if not data["prompt_password"]:
            return None
        return Prompt(data["prompt_user"].strip(), data["prompt_password"])

    def parts(self) -> tuple[Part | None, Part | None]:
        """Return what goes to Linux and macOS and what to Windows, None for what is left out.

        Side effects: as ``instances``.
        """
        data, options, instances = self.cleaned_data, self.options(), self.instances()
        posix = Part(family_of(instances, windows=False), self.command_text(), options)
        for_windows = replace(
            options,
            command_type=data["windows_type"] or CommandType.POWERSHELL,
            interpreter=data["windows_interpreter"].strip(),
            working_directory=data["windows_directory"],
            # These are of the first section; the Windows one has none of them.
            run_as="",
            environment=(),
            secrets=(),
            arguments=(),
            script_name="",
        )
        windows = Part(family_of(instances, windows=True), self.command_text("windows_command"), for_windows)
        return None if data["leave_out_posix"] else posix, None if data["leave_out_windows"] else windows

    def instances(self) -> list[Instance]:
        """Return the targets, concrete and in order: what runs is exactly this list.

        Side effects: an address typed in is added as an instance that the list does not show.
        """
        data = self.cleaned_data
        if way_of(data) == ADDRESS and data["address"].strip():
            address, credential = data["address"].strip(), data.get("credential")
            return [inventory.adhoc_instance(self.user, address=address, credential=credential)]
        return self._instances

    def command_text(self, field: str = "command") -> str:
        """Return a command as it is sent: as what it was kept as, if it was kept just now."""
        data = self.cleaned_data
        return written(data, data.get("saved_version"), field) if self.kept_version else str(data[field])

    def origin(self) -> services.Origin:
        """Return where the command and its instances come from."""
        data = self.cleaned_data
        version = self.kept_version or data.get("saved_version")
        if way_of(data) == ADDRESS:
            return services.Origin(choice={"address": data["address"].strip()}, saved_version=version)
        # What is kept are the names that were left out, not those that might have been.
        left_out = "\n".join(look_up(self.user, self._choice)[1]) if not self._choice.by_query else ""
        choice = replace(self._choice, left_out=left_out).as_json()
        return services.Origin(choice=choice, saved_version=version)


def as_entered(values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a browser sent, a list of texts by field, as start values that show the form again, unchecked."""
    many = {name for name, field in SendForm.base_fields.items() if isinstance(field, forms.ModelMultipleChoiceField)}
    return {name: list(texts) if name in many else texts[-1] for name, texts in values.items() if texts}


def _read(read: Callable[[Text], Result], given: Text) -> Result:
    """Return what a reader makes of a field, or say beside the field why it cannot."""
    try:
        return read(given)
    except ValueError as error:
        raise forms.ValidationError(str(error)) from None
