"""Owns what an import may bring in: the options of a script are held to what the form of a saved command takes."""

from collections.abc import Mapping

from console.library.forms import SavedCommandForm, initial_of
from console.members.models import User
from console.saved_commands import folders
from console.saved_commands.content import OPTIONS, Content, Details
from console.saved_commands.folders import Plan


def plan_import(user: User, files: Mapping[str, bytes]) -> Plan:
    """Say what these files mean for the library, as ``folders.plan``; options that nobody could send are errors."""
    return folders.plan(user, files, check=lambda content: _refusal(user, content))


def _refusal(user: User, content: Content) -> str:
    no_rows = {"parameters-TOTAL_FORMS": "0", "parameters-INITIAL_FORMS": "0"}
    form = SavedCommandForm(initial_of(Details("imported"), content) | no_rows, user=user)
    wrong = [f"{OPTIONS[name]}: {' '.join(map(str, texts))}" for name, texts in form.errors.items() if name in OPTIONS]
    return " ".join(wrong)
