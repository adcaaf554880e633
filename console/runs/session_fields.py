"""Owns the field of the Send Command form that says which sessions a command is sent to, instead of instances."""

from collections.abc import Mapping
from typing import Any

from django import forms

from console.members.models import User
from console.runs.families import for_windows_alone
from console.runs.in_sessions import is_shell
from console.runs.models import CommandType
from console.runs.number_sets import is_id
from console.runs.session_targets import SessionTargets, find_sessions, session_targets
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.services import versions_visible_to
from console.sessions.models import Session

MAX_CHARACTERS = 20_000
# What a saved command may ask for and a session cannot give.
NOT_USED = {
    "interpreter": "interpreter",
    "working_directory": "working directory",
    "run_as": "run as",
    "first": "first on",
    "batch_size": "batch size",
}


class SessionFields(forms.Form):
    """``sessions``: ids with commas. With it nothing else in the form says where the command goes."""

    sessions = forms.CharField(required=False, max_length=MAX_CHARACTERS, widget=forms.HiddenInput)
    user: User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sessions: list[Session] = []

    @property
    def is_in_sessions(self) -> bool:
        """Whether it is about sessions."""
        return bool(str(self["sessions"].value() or "").strip())

    @property
    def session_targets(self) -> SessionTargets | None:
        """What the page shows of them."""
        return session_targets(self.user, str(self["sessions"].value() or ""))

    def chosen_sessions(self) -> list[Session]:
        """Return the sessions of a valid form: what runs is sent to exactly these."""
        return self._sessions

    def find_sessions(self) -> None:
        """Look them up, once; say so when one of them is not there any more."""
        self._sessions, gone = find_sessions(self.user, self.cleaned_data["sessions"])
        self._refuse_another_language()
        if gone:
            words = "One of the sessions is" if gone == 1 else f"{gone} of the sessions are"
            self.add_error("sessions", f"{words} not there any more. These are the others: look, then send.")

    @property
    def not_used(self) -> list[str]:
        """What a saved command asks for and does not get here, in words."""
        given = str(self["saved_version"].value() or "")
        version = versions_visible_to(self.user).filter(pk=given).first() if is_id(given) else None
        asked = version.options if version else {}
        return [f"{words} {asked[name]}" for name, words in NOT_USED.items() if asked.get(name)]

    def _refuse_another_language(self) -> None:
        """Refuse a saved command as it is kept that is no text of a shell, or one of another command type."""
        version: SavedCommandVersion | None = self.cleaned_data.get("saved_version")
        text, given = self.cleaned_data.get("command", "").strip(), self.cleaned_data.get("command_type")
        if version is None or not text or not given:
            return
        kept = {version.windows_type: version.windows_text.strip(), CommandType.SHELL.value: version.text.strip()}
        types = [command_type for command_type, one in kept.items() if one == text]
        if types and given not in types:
            self.add_error("sessions", _read_as_another(version.saved.name, types[0], given))
        if version.text.strip() != text:
            return
        interpreter = str(version.options.get("interpreter", ""))
        if interpreter and not is_shell(interpreter):
            self.add_error("sessions", f"{version.saved.name} is for {interpreter}, a session is a shell.")


def _read_as_another(name: str, command_type: str, given: str) -> str:
    said = f"{name} is {CommandType(command_type).label}, and would be read as {CommandType(given).label} here."
    return f"{said} Bat is not offered in sessions." if command_type == CommandType.BAT else said


def initial_in_sessions(initial: Mapping[str, Any], targets: SessionTargets) -> dict[str, Any]:
    """Return the start values of a form as these sessions can take them: a text of theirs, a command type of theirs."""
    takes = targets.command_types
    if takes == [CommandType.POWERSHELL] and initial.get("windows_command"):
        initial = for_windows_alone(initial)
    given = initial.get("command_type")
    return {**initial, "command_type": given if given in takes else takes[0]}
