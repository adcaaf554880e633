"""Owns what a saved command says and is called, as data, and the rules both must keep."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from django.conf import settings

from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.parameters import DeclarationError, Parameter, PlaceholderError, declared, sent_text
from instances.engine.text import is_line

SHELL = "shell"
WINDOWS_TYPES = ("powershell", "bat")
# Fields of the Send Command form that a saved command may fill besides its texts, and what pages call them. Never a
# target or a secret: whoever uses it must not find those chosen.
OPTIONS = {
    "interpreter": "Interpreter",
    "working_directory": "Working directory",
    "windows_interpreter": "PowerShell to use",
    "windows_directory": "Working directory on Windows",
    "timeout_s": "Time limit (s)",
    "max_concurrency": "At a time",
    "max_errors": "Stop after errors",
    "ignore_unreachable": "Unreachable instances are no errors",
    "first": "First on",
    "ask_unless_ok": "Ask unless all succeeded",
    "batch_size": "Batch size",
    "batch_pause_s": "Pause between batches (s)",
    "ask_between": "Ask between batches",
    "connect_attempts": "Connection attempts",
    "connect_delay_s": "Delay between attempts (s)",
    "stop_at_cap": "Stop at the output limit",
    "run_as": "Run as",
    "environment": "Variables",
    "arguments": "Arguments",
}
NUMBERS = frozenset({"timeout_s", "batch_pause_s", "connect_attempts", "connect_delay_s"})
LINES = frozenset({"interpreter", "working_directory", "windows_interpreter", "windows_directory"})
# Numbers of instances or percentages of them, as text: 10, 10%.
AMOUNTS = frozenset({"max_concurrency", "max_errors", "first", "batch_size"})
MAX_NAME, MAX_DESCRIPTION, MAX_TAGS, MAX_OPTIONS_CHARACTERS = 80, 2000, 20, 200_000
_TAG = re.compile(r"[\w.:/+-]{1,40}")
_AMOUNT = re.compile(r"[0-9]{1,6}|[0-9]{1,3}(\.[0-9]{1,2})? ?%")


class SavedCommandError(Exception):
    """The command cannot be kept like this. ``field`` names the form field the message belongs to."""

    def __init__(self, message: str, field: str = "name") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Content:
    """What is sent: the fields of a version. Two that are equal are the same version."""

    text: str = ""
    windows_type: str = ""
    windows_text: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Sequence[Any] = ()

    @classmethod
    def of(cls, version: SavedCommandVersion) -> Self:
        """Return what a version says."""
        return cls(version.text, version.windows_type, version.windows_text, version.options, version.parameters)

    def is_same(self, other: "Content") -> bool:
        """Say whether both send the same."""
        return self.as_fields() == other.as_fields()

    def as_fields(self) -> dict[str, Any]:
        """Return the columns of a version."""
        return {
            "text": self.text,
            "windows_type": self.windows_type if self.windows_text else "",
            "windows_text": self.windows_text,
            "options": {
                name: str(self.options[name]) if name in AMOUNTS else self.options[name]
                for name in OPTIONS
                if self.options.get(name) not in (None, "")
            },
            "parameters": list(self.parameters),
        }


@dataclass(frozen=True, slots=True)
class Details:
    """What a saved command is called, and who sees it; changing it makes no version."""

    name: str
    description: str = ""
    tags: Sequence[str] = ()
    is_shared: bool = True


def parse_tags(text: str) -> list[str]:
    """Return the words of a text, separated by blanks or commas, each once.

    Raises: SavedCommandError.
    """
    tags = list(dict.fromkeys(word for word in re.split(r"[\s,]+", text) if word))
    check_tags(tags)
    return tags


def check_tags(tags: Iterable[str]) -> None:
    """Refuse what is no tag. Raises: SavedCommandError."""
    tags = list(tags)
    if len(tags) > MAX_TAGS:
        raise SavedCommandError(f"At most {MAX_TAGS} tags are taken.", "tags")
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise SavedCommandError(
                f"A tag has up to 40 letters, digits and . : / + - _; this is none: {tag[:60]}", "tags"
            )


def check_details(details: Details) -> None:
    """Refuse a name, description or tags that cannot be kept. Raises: SavedCommandError."""
    if not details.name:
        raise SavedCommandError("Enter a name.")
    # Not only control characters: one that turns the line around shows another name than is there.
    if len(details.name) > MAX_NAME or not details.name.isprintable() or details.name != details.name.strip():
        raise SavedCommandError(f"A name is one line of at most {MAX_NAME} visible characters.")
    if len(details.description) > MAX_DESCRIPTION or "\0" in details.description:
        raise SavedCommandError(f"A description has at most {MAX_DESCRIPTION:,} characters.", "description")
    if not _is_unicode(details.name + details.description):
        raise SavedCommandError("This is not valid Unicode text.")
    check_tags(details.tags)


def check_content(content: Content) -> None:
    """Refuse what could not be sent, or would not be what was sent. Raises: SavedCommandError."""
    if not content.text.strip() and not content.windows_text.strip():
        raise SavedCommandError("Enter a command, for Shell or for Windows.", "text")
    for name, text in (("text", content.text), ("windows_text", content.windows_text)):
        _check_text(name, text)
    if content.windows_text and content.windows_type not in WINDOWS_TYPES:
        raise SavedCommandError("Choose Bat or PowerShell.", "windows_type")
    for name, value in content.options.items():
        _check_option(name, value)
    if not isinstance(content.parameters, Sequence) or not all(isinstance(one, dict) for one in content.parameters):
        raise SavedCommandError("Parameters are a list of declarations.", "parameters")
    said = json.dumps([dict(content.options), list(content.parameters)], ensure_ascii=False)
    if len(said) > MAX_OPTIONS_CHARACTERS or not _is_unicode(said):
        raise SavedCommandError("The options and parameters are too long, or no valid Unicode text.", "text")
    _check_placeholders(content)


def _check_placeholders(content: Content) -> None:
    """Refuse texts and declarations that do not fit together: nobody could send them."""
    try:
        parameters = declared(content.parameters)
    except DeclarationError as error:
        raise SavedCommandError(f"The parameters cannot be declared like this. {error}", "parameters") from None
    interpreter = str(content.options.get("interpreter") or "")
    _check_sent("text", content.text, SHELL, interpreter, parameters)
    _check_sent("windows_text", content.windows_text, content.windows_type, "", parameters)


def _check_sent(name: str, text: str, kind: str, interpreter: str, parameters: Sequence[Parameter]) -> None:
    try:
        sent_text(text, kind, interpreter, parameters)
    except PlaceholderError as error:
        raise SavedCommandError(str(error), name) from None


def _check_text(name: str, text: str) -> None:
    if text and not text.strip():
        raise SavedCommandError("This is empty: enter a command, or nothing at all.", name)
    if "\0" in text:
        raise SavedCommandError("A command cannot hold a NUL character.", name)
    if not _is_unicode(text):
        raise SavedCommandError("This is not valid Unicode text.", name)
    limit = settings.MUSTER_SCRIPT_LIMIT_BYTES
    if len(text.encode()) > limit:
        raise SavedCommandError(f"The command is too long: at most {limit:,} bytes are taken.", name)


def _is_unicode(text: str) -> bool:
    """Say whether a text can be written: JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_option(name: str, value: object) -> None:
    if name not in OPTIONS:
        raise SavedCommandError(f"There is no option {name[:60]} to keep.", "text")
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    if name in AMOUNTS:
        if isinstance(value, bool) or not _AMOUNT.fullmatch(str(value)):
            raise SavedCommandError("Enter a number, or a percentage such as 10%.", name)
    elif name in NUMBERS and not is_number:
        raise SavedCommandError("This must be a whole number.", name)
    elif name not in NUMBERS and (not isinstance(value, str) or "\0" in value):
        raise SavedCommandError("This must be text.", name)
    elif name in LINES and not is_line(str(value)):
        raise SavedCommandError("This is one line without control characters.", name)
