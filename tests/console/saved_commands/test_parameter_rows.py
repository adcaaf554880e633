"""The page on which the parameters of a saved command are declared, as a browser without JavaScript uses it."""

from html import unescape

import pytest
from django.urls import reverse

from console.saved_commands.models import SavedCommandVersion
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    client.force_login(factories.UserFactory(role=Role.OPERATOR, username="ada"))
    return client


@pytest.fixture
def saved():
    return factories.saved_command(name="Disk", text="df {{disk}} {{instance.name}}")


def submit(client, saved, *rows, **fields):
    data = {"parameters-TOTAL_FORMS": str(len(rows)), "parameters-INITIAL_FORMS": "0", **fields}
    for number, row in enumerate(rows):
        data |= {f"parameters-{number}-{name}": value for name, value in {"type": "text", **row}.items()}
    return client.post(reverse("saved-parameters", args=[saved.pk]), data)


def test_declaring_makes_a_version_with_the_same_text(operator, saved):
    before = saved.latest
    SavedCommandVersion.objects.filter(pk=before.pk).update(options={"timeout_s": 5})
    answer = submit(
        operator,
        saved,
        {"name": "level", "type": "choice", "choices": "low\r\nhigh\r\n", "ORDER": "2"},
        {"name": "disk", "required": "on", "pattern": "/.*", "description": "A mount point", "ORDER": "1"},
        {"name": ""},
        {"name": "gone", "DELETE": "on"},
    )
    assert answer.status_code == 302
    saved.refresh_from_db()
    assert saved.latest.parameters == [
        {"name": "disk", "type": "text", "required": True, "pattern": "/.*", "description": "A mount point"},
        {"name": "level", "type": "choice", "choices": ["low", "high"]},
    ]
    assert (saved.latest.number, saved.latest.text, saved.latest.options) == (2, before.text, {"timeout_s": 5})
    assert saved.latest.author_name == "ada"
    assert SavedCommandVersion.objects.get(pk=before.pk).parameters == []
    assert AuditEntry.objects.get(action="saved_command.declare").details["parameters"] == ["disk", "level"]
    page = operator.get(answer.url).content.decode()
    assert "Not in the command: level." in page
    assert "low\nhigh" in page


def test_declaring_the_same_again_makes_no_version(operator, saved):
    for _ in range(2):
        submit(operator, saved, {"name": "disk"})
    assert saved.versions.count() == 2


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "{{disk}} is not declared"),
        ([{"name": "disk"}, {"name": "Disk"}], "Disk is there twice"),
        ([{"name": "disk", "type": "choice"}], "Enter the choices"),
        ([{"name": "disk", "pattern": "(a"}], "is not closed"),
        ([{"name": "1"}], "does not start with a digit"),
        ([{"name": "disk"}, {"name": "", "default": "lost"}], "Give it a name"),
        ([{"name": "disk", "type": "date"}], "not one of the available choices"),
    ],
)
def test_what_cannot_be_declared_is_said_and_nothing_is_lost(operator, saved, rows, says):
    answer = submit(operator, saved, *rows, {"name": "kept", "description": "kept words"})
    page = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert says in page
    assert "kept words" in page
    assert saved.versions.count() == 1


def test_more_rows_keep_what_was_written(operator, saved):
    answer = submit(operator, saved, {"name": "half", "description": "a thought"}, more="1")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "a thought" in page
    assert 'name="parameters-2-name"' in page
    assert "field__error" not in page
    assert saved.versions.count() == 1


def test_a_placeholder_that_cannot_be_sent_is_refused_when_it_is_declared(operator):
    saved = factories.saved_command(name="Bad", text="a\necho `df {{disk}}`")
    answer = submit(operator, saved, {"name": "disk"})
    assert "Line 2: {{disk}} stands between backticks" in unescape(answer.content.decode())
