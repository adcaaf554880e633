"""Owns reading the form of a saved command: what it is called, what it says, and the options it starts with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from django import forms
from django.core.exceptions import ValidationError

from console.members.models import User
from console.runs.history import as_initial
from console.runs.models import CommandType, Run
from console.runs.rate_fields import SWITCHES, RolloutFields
from console.runs.services import MAX_TIMEOUT_S, TIMEOUT_RULE
from console.runs.variables import (
    VariablesRefused,
    check,
    parse_arguments,
    parse_variables,
    write_arguments,
    write_variables,
)
from console.saved_commands import services
from console.saved_commands.content import OPTIONS, Content, Details, SavedCommandError, parse_tags
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.saved_commands.parameter_forms import PREFIX, ParameterRows, rows_of, with_more_rows
from console.saved_commands.parameters import DeclarationError, Parameter, declared
from console.saved_commands.placeholders import as_text
from instances.credentials.user_names import check_user_name

SHARED, PRIVATE = "shared", "private"


class SavedCommandForm(RolloutFields):
    """A saved command to add or to change. ``source`` is what it was filled from.

    A browser cannot give back every text exactly (its text areas know one kind of line end): what differs from the
    source in line ends alone is the source's. ``base`` is what ``edit_token`` gave when the form was drawn; ``rows``
    declare the parameters.
    """

    name = forms.CharField(max_length=80)
    description = forms.CharField(required=False, max_length=2000, widget=forms.Textarea({"rows": 2}))
    tags = forms.CharField(required=False, max_length=1000, help_text="Words, with blanks between them.")
    seen_by = forms.ChoiceField(
        label="Who sees it",
        choices=[(SHARED, "Everybody"), (PRIVATE, "Only me")],
        initial=SHARED,
        widget=forms.RadioSelect,
        help_text="Nobody else sees or sends a private one, administrators neither.",
    )
    text = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    windows_type = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in (CommandType.POWERSHELL, CommandType.BAT)],
        initial=CommandType.POWERSHELL,
        required=False,
    )
    windows_text = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    interpreter = forms.CharField(required=False, max_length=255)
    working_directory = forms.CharField(required=False, max_length=1024)
    windows_interpreter = forms.CharField(required=False, max_length=255)
    windows_directory = forms.CharField(required=False, max_length=1024)
    timeout_s = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_TIMEOUT_S,
        error_messages=dict.fromkeys(("min_value", "max_value"), TIMEOUT_RULE),
    )
    stop_at_cap = forms.ChoiceField(choices=[("", "Go on"), ("1", "Stop")], required=False)
    run_as = forms.CharField(required=False, max_length=64)
    environment = forms.CharField(required=False, strip=False, max_length=200_000, widget=forms.Textarea)
    arguments = forms.CharField(required=False, strip=False, max_length=200_000, widget=forms.Textarea)
    note = forms.CharField(label="What you changed", required=False, max_length=200)
    base = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, source: Content | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.source = source or Content()
        self.rows = ParameterRows(self.data, prefix=PREFIX) if self.is_bound else rows_of(self.source.parameters)
        # Empty: what the Send Command form begins with.
        self.fields["max_concurrency"].initial = None

    @classmethod
    def with_more_rows(cls, data: Mapping[str, Any], *, user: User, source: Content) -> Self:
        """Return a form that shows what was submitted, unchecked, with more rows for parameters."""
        form = cls(initial={name: data.get(name, "") for name in cls.base_fields}, user=user, source=source)
        form.rows = with_more_rows(data)
        return form

    def is_valid(self) -> bool:
        """Say whether all can be saved, the rows too: what is wrong is said at once."""
        return all([super().is_valid(), self.rows.is_valid()])

    def clean_name(self) -> str:
        """Return the name without blanks around it."""
        return str(self.cleaned_data["name"]).strip()

    def clean_tags(self) -> list[str]:
        """Return the tags."""
        try:
            return parse_tags(self.cleaned_data["tags"])
        except SavedCommandError as error:
            raise forms.ValidationError(str(error)) from None

    def clean_run_as(self) -> str:
        """Return the user it runs as."""
        if given := self.cleaned_data["run_as"].strip():
            check_user_name(given)
        return str(given)

    def clean_environment(self) -> str:
        """Return the variables as the Send Command form writes them."""
        return self._lines("environment", parse_variables, write_variables)

    def clean_arguments(self) -> str:
        """Return the arguments as the Send Command form writes them."""
        return self._lines("arguments", parse_arguments, write_arguments)

    def _lines(self, name: str, parse: Callable[[str], Any], write: Callable[[Any], str]) -> str:
        try:
            read = parse(self.cleaned_data[name])
            check(read if name == "environment" else (), (), read if name == "arguments" else ())
        except VariablesRefused as error:
            raise ValidationError(str(error)) from None
        except ValueError as error:
            raise ValidationError(str(error)) from None
        former = str(self.source.options.get(name, ""))
        try:
            return former if parse(former) == read else write(read)
        except ValueError:
            return write(read)

    def details(self) -> Details:
        """Return what it is called, and who sees it."""
        data = self.cleaned_data
        return Details(data["name"], data["description"].replace("\r\n", "\n"), data["tags"], data["seen_by"] == SHARED)

    def content(self) -> Content:
        """Return what it says."""
        data, given = self.cleaned_data, self.rows.parameters
        return replace(
            self.source,
            text=_exact(data["text"], self.source.text),
            windows_type=data["windows_type"] or CommandType.POWERSHELL,
            windows_text=_exact(data["windows_text"], self.source.windows_text),
            options={
                name: ("1" if data[name] else "") if name in SWITCHES else data[name]
                for name in OPTIONS
                if data.get(name) not in (None, "")
            },
            parameters=self.source.parameters if _is_declared(given, self.source) else [one.as_json() for one in given],
        )

    def refuse(self, error: SavedCommandError) -> None:
        """Say beside its field why nothing was saved."""
        if error.field == "parameters":
            self.rows.non_form_errors().append(str(error))
            return
        name = {"is_shared": "seen_by"}.get(error.field, error.field)
        self.add_error(name if name in self.fields else None, str(error))


def initial_of(details: Details, content: Content) -> dict[str, Any]:
    """Return the form's start values that show a saved command."""
    return {
        **content.as_fields()["options"],
        "name": details.name,
        "description": details.description,
        "tags": " ".join(details.tags),
        "seen_by": SHARED if details.is_shared else PRIVATE,
        "text": content.text,
        "windows_type": content.windows_type or CommandType.POWERSHELL,
        "windows_text": content.windows_text,
    }


def details_of(saved: SavedCommand) -> Details:
    """Return what a saved command is called."""
    return Details(saved.name, saved.description, saved.tags, saved.is_shared)


def copied(version: SavedCommandVersion) -> tuple[Details, Content]:
    """Return what a copy of a version begins with: a name that is free, and everything it says."""
    details, number = details_of(version.saved), 1
    name = f"{details.name[:70]} (copy)"
    while SavedCommand.objects.filter(name=name).exists():
        number += 1
        name = f"{details.name[:70]} (copy {number})"
    return replace(details, name=name), Content.of(version)


def of_run(run: Run) -> tuple[Details, Content]:
    """Return what a run sent, to keep it: its bytes and options. Its secret variables are not kept."""
    said = as_initial(run)
    options = {name: said[name] for name in OPTIONS if name in said}
    parameters = run.saved_version.parameters if run.saved_version else ()
    text = said["command"] if run.saved_version else as_text(run.command)
    content = services.content_of(run.command_type, text, options)
    return Details(""), replace(content, parameters=parameters)


def _exact(given: str, source: str) -> str:
    """Return the source where a browser gave it back with other line ends, else what was given with POSIX ones."""
    return source if _one_end(given) == _one_end(source) else given.replace("\r\n", "\n")


def _is_declared(parameters: Sequence[Parameter], source: Content) -> bool:
    try:
        return declared(source.parameters) == tuple(parameters)
    except DeclarationError:
        return False


def _one_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
