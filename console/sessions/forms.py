"""Owns reading the forms about sessions: the filters of their list, and what is to be opened."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from console.sessions import services
from console.sessions.models import Kind
from console.sessions.services import Opened, Wish
from instances.access import rules
from instances.access.rules import Action
from instances.credentials.services import without_credential
from instances.engine.text import is_line
from instances.inventory.models import OS, Instance

LACKING_SHOWN = 5
INTERPRETERS = (("", "bash if there is one, else sh"), ("bash", "bash"), ("sh", "sh"))
MINE, ALL = "mine", "all"


class FilterForm(forms.Form):
    """What the list shows; what cannot be read is as if it were not there."""

    show = forms.ChoiceField(choices=(("live", "Live"), ("ended", "Ended")), required=False, label="Show")
    whose = forms.ChoiceField(choices=((MINE, "Mine"), (ALL, "Everybody's")), required=False, label="Whose")
    kind = forms.ChoiceField(choices=(("", "Sessions and terminals"), *Kind.choices), required=False, label="Kind")
    instance = forms.CharField(required=False, max_length=80, label="Instance")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sees_all = rules.allowed_anywhere(user, Action.MANAGE_SESSIONS)
        if not self.sees_all:
            del self.fields["whose"]

    def filters(self) -> dict[str, Any]:
        """Return what was chosen, as ``listing.page_of`` takes it."""
        self.is_valid()
        return self.cleaned_data

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the live sessions of who looks is asked for."""
        return any(value and value not in {"live", MINE} for value in self.filters().values())


class OpenForm(forms.Form):
    """What is opened on the chosen instances, one session on each."""

    name = forms.CharField(required=False, max_length=80, label="Name", help_text="Empty: the instance's name.")
    interpreter = forms.ChoiceField(
        required=False,
        choices=INTERPRETERS,
        label="Shell",
        help_text="On Linux and macOS. Windows instances get PowerShell.",
    )
    working_directory = forms.CharField(
        required=False,
        max_length=1024,
        label="Working directory",
        help_text="Where it starts. Empty: the home folder.",
        widget=forms.TextInput({"class": "mono", "autocomplete": "off", "spellcheck": "false"}),
    )
    request_key = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: Any, instances: Sequence[Instance], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self.instances = instances
        why = services.left_out(user, instances, Kind.SHELL)
        self.left_out = [(one.name, why[one.pk]) for one in instances if one.pk in why]
        # Not left out: who opens it may give them one before its turn comes.
        self.lacking = [one.name for one in without_credential(one for one in instances if one.pk not in why)]

    def clean_working_directory(self) -> str:
        """Return the folder; it is one line."""
        folder: str = self.cleaned_data["working_directory"]
        if not is_line(folder):
            raise ValidationError("A working directory is one line without control characters.")
        return folder

    @property
    def opening(self) -> int:
        """On how many instances one would be opened."""
        return len(self.instances) - len(self.left_out)

    @property
    def lacking_sentence(self) -> str:
        """Which of those it would be opened on have no credential; empty where all have one."""
        count = len(self.lacking)
        if not count:
            return ""
        names = ", ".join(self.lacking[:LACKING_SHOWN]) + (", …" if count > LACKING_SHOWN else "")
        who = f"{count:,} of them ({names}) {'has' if count == 1 else 'have'}"
        if count == len(self.instances):
            who = "It has" if count == 1 else "They have"
        return f"{who} no credential, and opening a session asks for no password: enter a credential first."

    @property
    def windows_sentence(self) -> str:
        """What those of the instances that run Windows get; empty where none does."""
        count = sum(one.os == OS.WINDOWS for one in self.instances)
        if not count:
            return ""
        runs = f"{count:,} of them {'runs' if count == 1 else 'run'}"
        if count == len(self.instances):
            runs = "It runs" if count == 1 else "They run"
        return f"{runs} Windows: what is opened there is PowerShell; Bat is not offered in sessions."

    @property
    def limit_sentence(self) -> str:
        """How many the person has open, of how many, and how many an instance takes."""
        env = settings.ENV
        have = f"You have {services.open_count(self._user)} of {env.sessions_per_user} sessions and terminals open"
        return f"{have}; each instance takes {env.sessions_per_instance}."

    def press(self) -> Opened | None:
        """Open them; None, with the reason in the form, when that is refused. Raises: NotAllowed."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        wish = Wish(
            name=data["name"],
            interpreter=data["interpreter"],
            working_directory=data["working_directory"],
        )
        try:
            return services.open_sessions(self._user, self.instances, wish, request_key=data["request_key"])
        except ValidationError as error:
            self.add_error(None, error.messages)
            return None
