"""Owns the parameters of a run: filled in when it is sent, kept with it, and made into variables for each instance."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from console.runs.models import CommandType, Run
from console.runs.variables import Variables
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.parameters import (
    DeclarationError,
    Parameter,
    PlaceholderError,
    ValuesRefused,
    attributes_of,
    declared,
    sent_text,
    values_of,
)
from console.saved_commands.placeholders import ATTRIBUTES, as_text
from console.saved_commands.places import INSTANCE_PREFIX, PREFIX, variable_of
from instances.engine.windows import is_bat_value
from instances.inventory.models import Instance

FIELD = "param_"
_TOLD = re.compile(rf"\b{INSTANCE_PREFIX}({'|'.join(ATTRIBUTES).upper()})\b")


class ParametersRefused(ValueError):
    """A command cannot be sent with these parameters. ``field`` names the form field the message belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class AttributeUnusable(Exception):
    """An instance does not have what the command is to be told about it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A command made ready: the text as it is sent, and what goes beside it.

    ``kept`` are values by name for the run, of secret ones None; ``secrets`` and ``variables`` are variables.
    ``attributes`` are (variable, attribute, whether it must be there), looked up for each instance when it starts.
    """

    command: str
    kept: Mapping[str, str | None] = field(default_factory=dict)
    variables: Variables = ()
    secrets: Variables = field(default=(), repr=False)
    attributes: tuple[tuple[str, str, bool], ...] = ()


def fill(
    command: str,
    *,
    command_type: str,
    interpreter: str,
    version: SavedCommandVersion | None,
    given: Mapping[str, str],
) -> Filled:
    """Put variables in the place of a text's placeholders, and check the values given by name.

    A command that comes from no saved one has no placeholders: ``{{…}}`` in it is sent as it is.
    Raises: ParametersRefused.
    """
    if version is None or command_type not in CommandType.values:
        if given:
            raise ParametersRefused("command", "Only a saved command has parameters.")
        return Filled(command, attributes=tuple(_told(command)))
    parameters = parameters_of(version)
    try:
        values = values_of(parameters, given, [command_type])
    except ValuesRefused as error:
        name, message = next(iter(error.messages.items()))
        raise ParametersRefused(FIELD + name, f"{name}: {message}") from None
    try:
        text = sent_text(command, command_type, interpreter, parameters)
    except PlaceholderError as error:
        raise ParametersRefused("command", str(error)) from None
    hidden = {parameter.name for parameter in parameters if parameter.is_secret}
    named = attributes_of(parameters, command)
    told = [row for row in _told(text) if row[0] not in {variable for variable, *_ in named}]
    return Filled(
        text,
        kept={name: None if name in hidden else value for name, value in values.items()},
        variables=tuple((variable_of(name), value) for name, value in values.items() if name not in hidden),
        secrets=tuple((variable_of(name), value) for name, value in values.items() if name in hidden and value),
        attributes=(*named, *told),
    )


def parameters_of(version: SavedCommandVersion) -> tuple[Parameter, ...]:
    """Return what a version declares. Raises: ParametersRefused."""
    try:
        return declared(version.parameters)
    except DeclarationError as error:
        raise ParametersRefused("command", f"The parameters of {version} cannot be read: {error}") from None


def variables_of(run: Run, secrets: Variables) -> Variables:
    """Return the variables that carry a run's parameters, without those that are among its secrets."""
    sealed = {name for name, _ in secrets}
    variables = ((variable_of(name), value or "") for name, value in run.parameters.items())
    return tuple((name, value) for name, value in variables if name not in sealed)


def told_of(run: Run, instance: Instance) -> Variables:
    """Return the variables that tell a command about the instance it runs on. Raises: AttributeUnusable."""
    tags = {tag.key: tag.value for tag in instance.tags.all()} if run.attributes else {}
    return tuple((variable, _attribute(run, instance, tags, name, must)) for variable, name, must in run.attributes)


def text_again(run: Run) -> str:
    """Return the text that sends a run's command again: the saved one if that was it, else what was sent."""
    version = run.saved_version
    if version is None:
        return run.command
    text = (version.text if run.command_type == CommandType.SHELL else version.windows_text).replace("\r\n", "\n")
    try:
        is_same = sent_text(text, run.command_type, run.interpreter, parameters_of(version)) == run.command
    except (ParametersRefused, PlaceholderError):
        is_same = False
    return text if is_same else as_text(run.command)


def initial_of(run: Run) -> dict[str, str]:
    """Return the fields of the Send Command form that hold a run's parameters; secret values are asked again."""
    return {FIELD + name: value for name, value in run.parameters.items() if value is not None}


def variables_again(run: Run) -> tuple[Variables, list[str]]:
    """Return a run's variables, and the names of its secret ones, as one types them to send it again.

    Those of parameters are among them once the saved command they belong to is gone.
    """
    plain = tuple((name, value) for name, value in run.environment)
    if run.saved_version_id is not None or not run.parameters:
        return plain, run.secret_variables
    kept = tuple((PREFIX + name, value) for name, value in run.parameters.items() if value is not None)
    return (*plain, *kept), run.secret_names


def _told(text: str) -> list[tuple[str, str, bool]]:
    """Return what a text reads about its instance by the variables' names."""
    kinds = dict.fromkeys(found[1] for found in _TOLD.finditer(text))
    return [(INSTANCE_PREFIX + kind, f"instance.{kind.lower()}", True) for kind in kinds]


def _attribute(run: Run, instance: Instance, tags: Mapping[str, str], name: str, is_required: bool) -> str:
    kind, _, key = name.removeprefix("instance.").partition(".")
    if key:
        value, lacks = tags.get(key, ""), f"The instance has no tag {key}"
    elif kind == "group":
        value, lacks = instance.group.name if instance.group else "", "The instance is in no group"
    else:
        value, lacks = str(getattr(instance, kind)), f"The instance has no {kind}"
    if not value and is_required:
        raise AttributeUnusable(f"{lacks}, which the command is to be told. It did not run.")
    if run.command_type == CommandType.BAT and not is_bat_value(value):
        raise AttributeUnusable(f"Its {name} holds something that cannot be told to a Bat command. It did not run.")
    return value
