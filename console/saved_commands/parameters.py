"""Owns the parameters of a saved command: what is declared about each, which values are taken, what becomes of them.

A value travels in a variable of its own, ``PARAM_<name>``; what the text names as ``{{name}}`` is replaced by that
variable, never by the value (placeholders.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from console.saved_commands.patterns import LONGEST_VALUE, Pattern, PatternError
from console.saved_commands.placeholders import (
    BAT,
    PlaceholderError,
    check_names,
    is_attribute,
    names_in,
    written,
)
from console.saved_commands.places import PREFIX, variable_of
from instances.engine.environment import VALUE_LIMIT_BYTES
from instances.engine.shells import is_posix_shell
from instances.engine.windows import BAT_RULE, is_bat_value

MOST = 50
LONGEST_NAME = 64
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NUMBER = re.compile(r"([+-]?)([0-9]{1,50})(?:\.([0-9]{1,50}))?")
# Instance attributes whose values are numbers.
_NUMBERS = frozenset({"instance.port"})
TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

__all__ = ["PREFIX", "PlaceholderError", "variable_of"]


class Kind(StrEnum):
    """What sort of value a parameter takes."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    BOOLEAN = "boolean"
    SECRET = "secret"  # noqa: S105 (the word for a type)
    ATTRIBUTE = "attribute"


class DeclarationError(ValueError):
    """A declaration cannot be used. ``field`` says what of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ValueRefused(ValueError):
    """A value is not taken. The message never holds it: it may be a secret."""


class ValuesRefused(Exception):
    """Values of parameters are not taken. ``messages`` by name."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {message}" for name, message in messages.items()))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter. ``default`` is a value as text; of an attribute, which one: ``instance.name``."""

    name: str
    kind: Kind = Kind.TEXT
    default: str = ""
    is_required: bool = False
    pattern: str = ""
    choices: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return what a row declares, as a version keeps it or a form gives it. Raises: DeclarationError."""
        try:
            kind = Kind(str(row.get("type") or Kind.TEXT))
        except ValueError:
            raise DeclarationError("type", f"The type is one of {', '.join(Kind)}.") from None
        given = row.get("choices") or ()
        if not isinstance(given, str | list | tuple):
            raise DeclarationError("choices", "Choices are a list of texts.")
        choices = tuple(str(choice) for choice in (given.splitlines() if isinstance(given, str) else given))
        parameter = cls(
            name=str(row.get("name") or "").strip(),
            kind=kind,
            default=str(row.get("default") or ""),
            is_required=bool(row.get("required")),
            pattern=str(row.get("pattern") or ""),
            choices=tuple(dict.fromkeys(choice.strip() for choice in choices if choice.strip())),
            description=str(row.get("description") or "").strip()[:500],
        )
        parameter._check()
        return parameter

    def as_json(self) -> dict[str, Any]:
        """Return the mapping a version keeps, without what is empty."""
        row = {
            "name": self.name,
            "type": self.kind.value,
            "default": self.default,
            "required": self.is_required,
            "pattern": self.pattern,
            "choices": list(self.choices),
            "description": self.description,
        }
        return {key: value for key, value in row.items() if value}

    @property
    def is_secret(self) -> bool:
        """Whether its value is sealed, masked and never shown."""
        return self.kind is Kind.SECRET

    @property
    def is_number(self) -> bool:
        """Whether its value can only be a number."""
        return self.kind is Kind.NUMBER or (self.kind is Kind.ATTRIBUTE and self.default in _NUMBERS)

    def value(self, given: str, command_types: Sequence[str] = ()) -> str:
        """Return a value as it is sent, an empty one as the default.

        ``command_types`` are those of the commands it is for. Raises: ValueRefused.
        """
        if given == "" and self.default:
            given = self.default
        if given == "":
            if self.is_required:
                raise ValueRefused("Enter a value.")
            return "false" if self.kind is Kind.BOOLEAN else ""
        value = self._canonical(given)
        if self.pattern and not Pattern(self.pattern).matches(value):
            raise ValueRefused(
                f"A value with a pattern has at most {LONGEST_VALUE} characters."
                if len(value) > LONGEST_VALUE
                else f"The value does not match the pattern {self.pattern}."
            )
        if BAT in command_types and not is_bat_value(value):
            raise ValueRefused(BAT_RULE)
        return value

    def _canonical(self, given: str) -> str:
        if "\0" in given:
            raise ValueRefused("A value cannot hold a NUL character.")
        try:
            size = len(given.encode())
        except UnicodeEncodeError:
            raise ValueRefused("This is not valid Unicode text.") from None
        if size > VALUE_LIMIT_BYTES:
            raise ValueRefused(f"A value has at most {VALUE_LIMIT_BYTES:,} bytes.")
        if self.kind is Kind.NUMBER:
            return _number(given.strip())
        if self.kind is Kind.BOOLEAN:
            word = given.strip().lower()
            if word not in TRUE | FALSE:
                raise ValueRefused("Enter true or false.")
            return "true" if word in TRUE else "false"
        if self.kind is Kind.CHOICE and given not in self.choices:
            raise ValueRefused(f"Choose one of {', '.join(self.choices)}.")
        return given

    def _check(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                "name", f"A name has 1 to {LONGEST_NAME} letters, digits and _, and does not start with a digit."
            )
        if self.kind is Kind.CHOICE and not self.choices:
            raise DeclarationError("choices", "Enter the choices, one on each line.")
        if self.kind is not Kind.CHOICE and self.choices:
            raise DeclarationError("choices", "Only a choice has choices.")
        if self.pattern and self.kind not in {Kind.TEXT, Kind.SECRET, Kind.NUMBER}:
            raise DeclarationError("pattern", "Only text, numbers and secrets have a pattern.")
        try:
            Pattern(self.pattern)
        except PatternError as error:
            raise DeclarationError("pattern", str(error)) from None
        if self.is_secret and self.default:
            raise DeclarationError("default", "A secret has no default: it would be kept with the command.")
        if self.kind is Kind.ATTRIBUTE:
            if not is_attribute(self.default):
                raise DeclarationError("default", "Enter which attribute: instance.name, instance.tags.env, and so on.")
            return
        try:
            for value in filter(None, [self.default, *self.choices]):
                self.value(value)
        except ValueRefused as error:
            raise DeclarationError("default", f"The default: {error}") from None


def declared(rows: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """Return what rows of a version declare. Raises: DeclarationError, also for a name that is there twice."""
    parameters = tuple(Parameter.of(row) for row in rows)
    for number, parameter in enumerate(parameters):
        check_is_new(parameter, parameters[:number])
    if len(parameters) > MOST:
        raise DeclarationError("name", f"At most {MOST} parameters are taken.")
    return parameters


def check_is_new(parameter: Parameter, others: Sequence[Parameter]) -> None:
    """Refuse a name among others: Windows makes no difference between a and A. Raises: DeclarationError."""
    if parameter.name.lower() in {other.name.lower() for other in others}:
        raise DeclarationError("name", f"{parameter.name} is there twice.")


def sent_text(text: str, command_type: str, interpreter: str, parameters: Sequence[Parameter]) -> str:
    """Return a saved command's text as it is sent: with variables for its placeholders.

    Raises: PlaceholderError for a name that is not declared, or a placeholder where no variable can be written.
    """
    check_names(text, {parameter.name for parameter in parameters})
    numbers = {parameter.name for parameter in parameters if parameter.is_number} | _NUMBERS
    return written(text, command_type, numbers, is_shell=is_posix_shell(interpreter, text))


def unused(rows: Sequence[Mapping[str, Any]], *texts: str) -> list[str]:
    """Return the names in rows of a version that none of its texts holds; their variables are set all the same."""
    named = {name for text in texts for name in names_in(text)}
    return [name for row in rows if (name := str(row.get("name", ""))) not in named]


def values_of(
    parameters: Sequence[Parameter], given: Mapping[str, str], command_types: Sequence[str] = ()
) -> dict[str, str]:
    """Return every parameter's value by name, but those of attributes. Raises: ValuesRefused."""
    values, messages = {}, {}
    asked = [parameter for parameter in parameters if parameter.kind is not Kind.ATTRIBUTE]
    for parameter in asked:
        try:
            values[parameter.name] = parameter.value(given.get(parameter.name, ""), command_types)
        except ValueRefused as error:
            messages[parameter.name] = str(error)
    for name in given.keys() - {parameter.name for parameter in asked}:
        messages[name] = "There is no parameter of this name."
    if messages:
        raise ValuesRefused(messages)
    return values


def attributes_of(parameters: Sequence[Parameter], text: str) -> list[tuple[str, str, bool]]:
    """Return (variable, attribute, whether it must be there) for what each instance is told about itself."""
    named = [name for name in names_in(text) if name.startswith("instance.")]
    declared_ones = [
        (variable_of(parameter.name), parameter.default, parameter.is_required)
        for parameter in parameters
        if parameter.kind is Kind.ATTRIBUTE
    ]
    return [*declared_ones, *((variable_of(name), name, True) for name in named)]


def _number(text: str) -> str:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueRefused("Enter a number, such as 42 or -1.5.")
    sign, whole, part = found[1], found[2].lstrip("0") or "0", found[3]
    # A shell reads 010 as 8.
    number = whole + (f".{part}" if part else "")
    return f"-{number}" if sign == "-" and number.strip("0.") else number
