"""Forms of files: what is sent where, and what is fetched."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from console.transfers import services
from console.transfers.models import Transfer
from instances.engine.files import Overwrite
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off", "class": "mono"}
_OVERWRITE = (
    (Overwrite.REFUSE.value, "Leave it, and say so"),
    (Overwrite.REPLACE.value, "Replace it"),
    (Overwrite.IF_DIFFERENT.value, "Replace it only if it is different"),
)


class _FileForm(forms.Form):
    """What both directions have in common."""

    path = forms.CharField(
        label="Path on the instance",
        max_length=4000,
        strip=False,
        help_text="The whole path of the file, such as /etc/motd or ~/notes.txt.",
        widget=forms.TextInput(_PLAIN),
    )

    def __init__(self, *args: Any, user: "User", instances: list[Instance], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.instances = user, instances

    def press(self) -> Transfer | None:
        """Do it; None when the form is to be shown again."""
        if not self.is_bound or not self.is_valid():
            return None
        try:
            return self.carry_out()
        except ValidationError as error:
            places = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
            for place, texts in places.items():
                for text in texts:
                    self.add_error(place if place in self.fields else None, text)
            return None

    def carry_out(self) -> Transfer:
        """Call the service."""
        raise NotImplementedError


class SendFileForm(_FileForm):
    """Chooses a file and how it is to be there."""

    file = forms.FileField(allow_empty_file=True)
    overwrite = forms.ChoiceField(
        label="If a file is there already", choices=_OVERWRITE, initial=Overwrite.REFUSE.value, widget=forms.RadioSelect
    )
    mode = forms.RegexField(
        r"^[0-7]{3,4}$",
        required=False,
        help_text="Such as 0644 or 0755. Empty: that of the file it replaces, or 0644.",
        error_messages={"invalid": "A mode is three or four digits from 0 to 7."},
        widget=forms.TextInput(_PLAIN),
    )
    owner = forms.RegexField(
        r"^([A-Za-z0-9_.@][A-Za-z0-9_.@-]*)?(:[A-Za-z0-9_.@][A-Za-z0-9_.@-]*)?$",
        required=False,
        max_length=130,
        help_text="user, user:group or :group. Empty: that of the file it replaces where one may, or who signs in.",
        error_messages={"invalid": "An owner looks like: user, user:group or :group."},
        widget=forms.TextInput(_PLAIN),
    )
    field_order = ("file", "path")

    def carry_out(self) -> Transfer:
        """Send the file."""
        data = self.cleaned_data
        return services.send_file(
            self.user,
            instances=self.instances,
            upload=services.Upload(data["file"].name, data["file"].chunks()),
            path=data["path"],
            overwrite=data["overwrite"],
            mode=int(data["mode"], 8) if data["mode"] else None,
            owner=data["owner"],
            limit_bytes=settings.ENV.file_limit,
        )


class FetchFileForm(_FileForm):
    """Chooses what is fetched."""

    def carry_out(self) -> Transfer:
        """Fetch the file from each instance."""
        return services.fetch_file(self.user, instances=self.instances, path=self.cleaned_data["path"])
