import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from console.transfers.forms import SendFileForm


@pytest.mark.parametrize(
    ("field", "value", "is_taken"),
    [
        ("owner", "deploy:www-data", True),
        ("owner", ":0", True),
        ("owner", "-R", False),
        ("owner", "root:-x", False),
        ("owner", "root; id", False),
        ("mode", "4755", True),
        ("mode", "0o755", False),
    ],
    ids=["both", "group", "option", "option-of-group", "command", "set-id", "python"],
)
def test_what_cannot_be_an_owner_or_a_mode_is_told_before_anything_is_sent(field, value, is_taken):
    given = {"path": "~/x", "overwrite": "refuse", field: value}
    form = SendFileForm(given, {"file": SimpleUploadedFile("x", b"x")}, user=None, instances=[])
    assert form.is_valid() == is_taken
    assert set(form.errors) == (set() if is_taken else {field})
