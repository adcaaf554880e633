"""Saved commands as zip files, in the pages."""

from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from console.saved_commands import folders
from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from tests.support import factories

pytestmark = pytest.mark.django_db
SCRIPTS = {"new.sh": b"id\n", "changed.sh": b"df -h\n", "same.sh": b"true", "wrong.sh": b"# muster: name: x\n"}


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


@pytest.fixture
def there():
    return [factories.saved_command(name=name) for name in ("changed", "same")]


def look(client, data):
    return client.post(reverse("import-saved-commands"), {"file": SimpleUploadedFile("saved.zip", data)})


def confirmed(answer):
    return {"zipped": answer.context["data"], "expected": answer.context["plan"].version, "confirm": "yes"}


def test_an_import_shows_what_it_means_and_does_that_once_confirmed(client, operator, there):
    shown = look(client, folders.zipped(SCRIPTS))
    text = unescape(shown.content.decode())
    assert "1 new, 1 new version, 1 unchanged, 1 error" in text
    assert "The header has no end" in text
    assert "Import 2 commands" in text
    assert SavedCommand.objects.count() == 2
    assert client.post(reverse("import-saved-commands"), confirmed(shown)).url == reverse("saved-commands")
    assert dict(SavedCommand.objects.values_list("name", "latest__number")) == {"new": 1, "changed": 2, "same": 1}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("timeout_s: 99999999", "Time limit (s)"),
        ("max_concurrency: 0", "At a time"),
        ('first: "101%"', "First on"),
        ("connect_attempts: 99", "Connection attempts"),
        ("run_as: -root; id", "Run as"),
        ("environment: MUSTER_INVOCATION=1", "Variables"),
        ('ask_between: "perhaps"', "Ask between batches"),
    ],
    ids=lambda value: value.partition(":")[0],
)
def test_options_that_nobody_could_send_are_errors(client, operator, option, said):
    script = f"# muster: name: bad\n# muster: option {option}\n# muster: end\nid\n"
    shown = look(client, folders.zipped({"bad.sh": script.encode(), "good.sh": b"id\n"}))
    text = unescape(shown.content.decode())
    assert "1 new, 1 error" in text
    assert f"{said}: " in text
    client.post(reverse("import-saved-commands"), confirmed(shown))
    assert list(SavedCommand.objects.values_list("name", flat=True)) == ["good"]


def test_what_was_looked_at_is_what_is_done_or_nothing(client, operator, there):
    shown = look(client, folders.zipped(SCRIPTS))
    factories.add_version(there[0], text="another")
    answer = client.post(reverse("import-saved-commands"), confirmed(shown))
    assert answer.status_code == 422
    assert "Something changed since you looked" in answer.content.decode()
    assert not SavedCommand.objects.filter(name="new").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"x" * (2 * 1024 * 1024 + 1), "too large"),
        (folders.zipped({"README.md": b"x"}), "no script in it"),
        (folders.zipped({"../a.sh": b"x"}), "leads out of it"),
    ],
    ids=["empty", "large", "none", "path"],
)
def test_a_file_that_cannot_be_imported_says_why(client, operator, data, says):
    answer = look(client, data)
    assert answer.status_code == 422
    assert says in unescape(answer.content.decode())


@pytest.mark.parametrize("given", [{}, {"zipped": "%%%", "confirm": "yes"}, {"zipped": "AAAA", "confirm": "yes"}])
def test_a_form_without_a_file_asks_for_one(client, operator, given):
    assert client.post(reverse("import-saved-commands"), given).status_code == 422


def test_an_export_holds_what_one_sees(client, operator):
    factories.saved_command(name="shared", text="df\r\n")
    factories.saved_command(name="mine", owner=operator, is_shared=False)
    factories.saved_command(name="theirs", owner=factories.UserFactory(), is_shared=False)
    answer = client.get(reverse("export-saved-commands"))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="saved-commands.zip"'
    files = folders.unzipped(answer.content)
    assert sorted(files) == ["mine.sh", "shared.sh"]
    assert files["shared.sh"].endswith(b"df\r\n")
