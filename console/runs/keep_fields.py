"""Owns keeping a command while it is sent: the choice in the form, and what is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from django import forms

from console.members.models import User
from console.runs.models import Run
from console.runs.number_sets import is_id
from console.runs.parameters import text_again
from console.runs.rate_fields import SWITCHES
from console.runs.variables import write_arguments, write_variables
from console.saved_commands import services
from console.saved_commands.content import OPTIONS, SHELL, Content, Details, SavedCommandError
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.placeholders import as_text

# What the form holds where nothing was chosen; kept only where the saved command says so already.
_DEFAULTS = {"timeout_s": 600, "max_concurrency": "50"}
_POSIX = ("interpreter", "working_directory", "run_as", "environment", "arguments")
_WINDOWS = ("windows_interpreter", "windows_directory")


class KeepFields(forms.Form):
    """Where the command comes from, and whether it is kept: run only, as the next version, or under a new name."""

    # The version of a saved command that the form was filled from.
    saved_version = forms.ModelChoiceField(
        SavedCommandVersion.objects.none(),
        required=False,
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "The saved command this was made from is not there any more. Run it again."},
    )
    keep = forms.ChoiceField(
        choices=[("", "Run only"), ("version", "Keep as a new version"), ("command", "Keep as a new command")],
        required=False,
    )
    keep_name = forms.CharField(required=False, max_length=80)
    user: User

    def clean(self) -> dict[str, Any]:
        """Ask for the name of a new command, and for what a new version is one of."""
        data = super().clean() or {}
        if data.get("keep") == "command" and not data.get("keep_name", "").strip() and "keep_name" not in self.errors:
            self.add_error("keep_name", "Enter a name for the new command.")
        if data.get("keep") == "version" and not data.get("saved_version") and "saved_version" not in self.errors:
            self.add_error(None, "Use a saved command first: there is none to make a new version of.")
        return data

    @property
    def made_from(self) -> SavedCommandVersion | None:
        """The version the form was filled from, if the user may see it: a run is repeated from a private one too."""
        given = self["saved_version"].value()
        found = services.versions_visible_to(self.user)
        return found.filter(pk=given).first() if is_id(str(given or "")) else None


class Sending(Protocol):
    """What is needed of the Send Command form."""

    user: User
    cleaned_data: dict[str, Any]


def keep(form: Sending) -> SavedCommandVersion | None:
    """Keep what a valid form sends, if that was chosen; return the version that is it.

    Raises: SavedCommandError with a field of this form; NotAllowed.
    """
    data = form.cleaned_data
    base: SavedCommandVersion | None = data["saved_version"]
    name = data["keep_name"].strip()
    try:
        if data["keep"] == "version" and base is not None:
            return services.add_version(form.user, base=base, content=_content(data, base)).version
        if name:
            kept = services.keep(form.user, details=Details(name), content=_content(data, base))
            return services.version_of(kept)
    except services.ChangedMeanwhile as error:
        raise SavedCommandError(f"{error} Run it only, or keep it as a new command.", "keep") from None
    except SavedCommandError as error:
        raise SavedCommandError(str(error), "keep_name" if error.field == "name" else "keep") from None
    return None


def written(data: Mapping[str, Any], base: SavedCommandVersion | None, field: str = "command") -> str:
    """Return a text of the form as one that is kept: what was typed has no placeholders, whatever stands in it."""
    return str(data[field]) if base else as_text(data[field])


def _content(data: Mapping[str, Any], base: SavedCommandVersion | None) -> Content:
    """Return what the form sends; what is for the family it does not send to stays as in the version."""
    former = Content.of(base) if base else Content()
    options = _options(data, former.options)
    if data["split"]:
        made = Content(
            text=written(data, base),
            windows_type=data["windows_type"] or "powershell",
            windows_text=written(data, base, "windows_command"),
            options=options,
        )
    else:
        made = services.content_of(data["command_type"], written(data, base), options)
    kept: dict[str, Any] = {"parameters": former.parameters}
    # Ticks of a mixed selection may be left from before; they count for one alone.
    if (data["split"] and data["leave_out_posix"]) or not made.text:
        kept |= {"text": former.text, "options": _with(made.options, former.options, _POSIX)}
    if (data["split"] and data["leave_out_windows"]) or not made.windows_text:
        options = _with(kept.get("options", made.options), former.options, _WINDOWS)
        kept |= {"windows_type": former.windows_type, "windows_text": former.windows_text, "options": options}
    return replace(made, **kept)


def _with(options: Mapping[str, Any], former: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {**options, **{name: former.get(name, "") for name in names}}


def _options(data: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        **{name: data.get(name) for name in OPTIONS},
        "environment": write_variables(data["environment"]),
        "arguments": write_arguments(data["arguments"]),
        **{name: "1" if data[name] else "" for name in ("stop_at_cap", *SWITCHES)},
    }
    return {
        name: value
        for name, value in given.items()
        if value not in (None, "") and (value != _DEFAULTS.get(name) or name in former)
    }


# ------------------------------------------------------------------ looking back


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """The version a run was made from; ``is_changed`` when another text was sent.

    Of a private command of somebody else nothing is known but that: ``version`` is None.
    """

    version: SavedCommandVersion | None
    is_changed: bool


def made_from(user: User, run: Run) -> MadeFrom | None:
    """Return where a run comes from, None when it was typed. Side effects: one query if it was made from something."""
    if run.saved_version is None:
        return None
    version = run.saved_version
    sent_as = version.text if run.command_type == SHELL else version.windows_text
    is_same_type = run.command_type in {SHELL, version.windows_type}
    is_changed = not is_same_type or text_again(run) != sent_as.replace("\r\n", "\n")
    is_seen = version.saved.is_shared or version.saved.owner_id == user.pk
    return MadeFrom(version if is_seen else None, is_changed)
