"""Owns the fields of the Send Command form that ask for the parameters of a saved command."""

from typing import Any

from django import forms

from console.runs.keep_fields import KeepFields
from console.runs.models import CommandType
from console.runs.parameters import FIELD, ParametersRefused, parameters_of
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.parameters import TRUE, Kind, Parameter, ValuesRefused, values_of

_NO_COMPLETION = {"autocomplete": "off", "spellcheck": "false"}


class ParameterFields(KeepFields):
    """A field for each parameter of the version in ``saved_version``, named ``param_<name>``.

    ``parameters`` are all that it declares; those that are attributes of an instance have no field.
    """

    parameters: tuple[Parameter, ...] = ()
    version: SavedCommandVersion | None = None

    def ask_for_parameters(self) -> None:
        """Add the fields; to be called once it is known which versions the user may send."""
        given = str(self["saved_version"].value() or "")
        versions = self.fields["saved_version"].queryset  # type: ignore[attr-defined]
        self.version = versions.filter(pk=given).first() if given.isdecimal() and len(given) < 10 else None
        if self.version is None:
            if not self.is_bound:
                self.initial.pop("saved_version", None)
            return
        try:
            self.parameters = parameters_of(self.version)
        except ParametersRefused:
            # Told beside the command when it is sent.
            return
        for parameter in self.parameters:
            if parameter.kind is not Kind.ATTRIBUTE:
                self.fields[FIELD + parameter.name] = _field(parameter)

    @property
    def parameter_fields(self) -> list[tuple[Parameter, forms.BoundField]]:
        """What is asked for, in order, each with its field."""
        asked = (parameter for parameter in self.parameters if parameter.kind is not Kind.ATTRIBUTE)
        return [(parameter, self[FIELD + parameter.name]) for parameter in asked]

    @property
    def attributes(self) -> list[Parameter]:
        """What nobody is asked for: each instance has its own."""
        return [parameter for parameter in self.parameters if parameter.kind is Kind.ATTRIBUTE]

    def clean(self) -> dict[str, Any]:
        """Say beside each parameter what is wrong with its value."""
        data = super().clean() or {}
        types = {data.get("command_type", CommandType.SHELL)}
        if data.get("split") and not data.get("leave_out_windows"):
            types.add(data.get("windows_type") or CommandType.POWERSHELL)
        try:
            values_of(self.parameters, self.parameter_values(), sorted(types))
        except ValuesRefused as error:
            for name, message in error.messages.items():
                self.add_error(FIELD + name, message)
        return data

    def parameter_values(self) -> dict[str, str]:
        """Return what was entered, by name."""
        # Browsers submit text areas with CR LF.
        return {
            parameter.name: self.cleaned_data.get(field.name, "").replace("\r\n", "\n")
            for parameter, field in self.parameter_fields
        }


def _help(parameter: Parameter) -> str:
    said = parameter.description
    sentences = [f"{said}." if said and said[-1] not in ".!?:;…" else said]
    if parameter.is_secret:
        sentences.append("Removed when the run has ended, and masked in its output from 4 bytes on.")
    if parameter.kind is Kind.NUMBER:
        sentences.append("A number.")
    if parameter.default and parameter.kind not in {Kind.BOOLEAN, Kind.CHOICE}:
        sentences.append(f"Empty: {parameter.default[:60]}.")
    if parameter.pattern:
        sentences.append(f"Like {parameter.pattern}.")
    return " ".join(filter(None, sentences))


def _field(parameter: Parameter) -> forms.Field:
    initial = parameter.default
    widget: forms.Widget = forms.Textarea({"rows": 1, **_NO_COMPLETION})
    if parameter.kind is Kind.NUMBER:
        widget = forms.TextInput({"inputmode": "decimal", **_NO_COMPLETION})
    elif parameter.is_secret:
        widget = forms.PasswordInput({"autocomplete": "new-password"})
    elif parameter.kind is Kind.CHOICE:
        none = [] if parameter.default else [("", "Choose…" if parameter.is_required else "None")]
        widget = forms.Select(choices=[*none, *((choice, choice) for choice in parameter.choices)])
    elif parameter.kind is Kind.BOOLEAN:
        # Not a box to tick: of one that is not ticked nothing comes back, and the default would be sent.
        initial = "true" if initial.strip().lower() in TRUE else "false"
        widget = forms.Select(choices=[("true", "true"), ("false", "false")])
    return forms.CharField(required=False, strip=False, initial=initial, widget=widget, help_text=_help(parameter))
