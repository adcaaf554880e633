"""Owns ``manage.py run --saved``: which version of a saved command is meant, and the values of its parameters."""

import getpass
import os
import sys
from collections.abc import Sequence

from console.members.models import User
from console.runs.models import CommandType
from console.runs.parameters import ParametersRefused, parameters_of
from console.runs.services import sendable_versions
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.parameters import Kind, Parameter
from console.saved_commands.places import variable_of
from console.saved_commands.services import visible
from console.supervisor import fail


def saved_version(actor: User, given: str) -> SavedCommandVersion:
    """Return the version that NAME or NAME@NUMBER names; ends the program where there is none."""
    name, at, number = given.rpartition("@")
    saved = visible(actor).filter(name=given).first()
    if saved is not None:
        number = ""
    elif at and number.isdecimal():
        saved = visible(actor).filter(name=name).first()
    if saved is None or saved.latest is None:
        fail(f"There is no saved command {given}.")
    if not number:
        return saved.latest
    version = sendable_versions(actor).filter(saved=saved, number=number).first()
    if version is None:
        fail(f"{name} has no version {number}: the last one is {saved.latest.number}.")
    return version


def text_of(version: SavedCommandVersion, command_type: str) -> str:
    """Return the version's text of this type; ends the program where it has none."""
    text = version.text if command_type == CommandType.SHELL else version.windows_text
    if not text or command_type not in {CommandType.SHELL, version.windows_type}:
        fail(f"{version} has no command of the type {command_type}.")
    return text


def parameter_values(version: SavedCommandVersion, given: Sequence[str]) -> dict[str, str]:
    """Return values by name: as given, and for secret ones from this shell's environment or asked for."""
    values = {}
    try:
        declared = {parameter.name: parameter for parameter in parameters_of(version)}
    except ParametersRefused as error:
        fail(str(error))
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            fail("--param takes NAME=VALUE.")
        if name in declared and declared[name].is_secret:
            # Not the value: who looks at this process list has seen it, a log of errors need not.
            fail(f"{name} is secret, and a process list shows arguments: set {variable_of(name)} in this shell.")
        values[name] = value
    for parameter in declared.values():
        if parameter.kind is Kind.SECRET:
            values[parameter.name] = _secret(parameter)
    return values


def _secret(parameter: Parameter) -> str:
    variable = variable_of(parameter.name)
    if variable in os.environ:
        return os.environ[variable]
    if sys.stdin.isatty():
        return getpass.getpass(f"{parameter.name}: ")
    if parameter.is_required:
        fail(f"{parameter.name} is secret: set {variable} in this shell, or run this on a terminal to be asked for it.")
    return ""
