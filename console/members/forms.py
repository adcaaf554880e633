"""Forms of sign-in, the account page and the People page; passwords are never drawn again."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import password_validators_help_texts

from instances.access.models import Role


class SignInForm(AuthenticationForm):
    """Django's form; one message for every refusal, so that it does not tell which accounts exist."""

    error_messages = {
        "invalid_login": "This user name and password do not fit together, or the account is not active.",
        "inactive": "This user name and password do not fit together, or the account is not active.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "User name"


class NewPasswordForm(forms.Form):
    """Asks for a new password twice."""

    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label="New password again",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = " ".join(password_validators_help_texts())

    def clean(self) -> dict[str, Any]:
        """Refuse two different passwords."""
        data = super().clean() or {}
        if {"password", "again"} <= data.keys() and data["password"] != data["again"]:
            self.add_error("again", "This is not the same as above.")
        return data


class ChangePasswordForm(NewPasswordForm):
    """Asks for the present password too."""

    old = forms.CharField(
        label="Present password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )
    field_order = ("old", "password", "again")


class AddMemberForm(forms.Form):
    """Asks who is to be added, and with which role."""

    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.OPERATOR)
