"""The rows of the form of a saved command that declare its parameters, as a browser without JavaScript uses them."""

from html import unescape

import pytest
from django.urls import reverse

from console.saved_commands import services
from console.saved_commands.models import SavedCommand, SavedCommandVersion
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


def rows_of(*rows):
    data = {"parameters-TOTAL_FORMS": str(len(rows)), "parameters-INITIAL_FORMS": "0"}
    for number, row in enumerate(rows):
        data |= {f"parameters-{number}-{name}": value for name, value in {"type": "text", **row}.items()}
    return data


def submit(client, saved, *rows, **fields):
    given = {"name": saved.name, "seen_by": "shared", "text": saved.latest.text, "base": services.edit_token(saved)}
    return client.post(reverse("edit-saved-command", args=[saved.pk]), given | rows_of(*rows) | fields)


def test_a_command_with_placeholders_is_written_in_one_go(operator):
    given = {"name": "Disk", "seen_by": "shared", "text": "df {{disk}}"}
    answer = operator.post(reverse("new-saved-command"), given | rows_of({"name": "disk", "default": "/"}))
    kept = SavedCommand.objects.get()
    assert answer.url == reverse("saved-command", args=[kept.pk])
    assert (kept.latest.number, kept.latest.parameters) == (1, [{"name": "disk", "type": "text", "default": "/"}])


def test_declaring_makes_a_version_and_its_page_shows_it_readably(operator, saved):
    before = saved.latest
    answer = submit(
        operator,
        saved,
        {"name": "level", "type": "choice", "choices": "low\r\nhigh\r\n", "ORDER": "2"},
        {"name": "disk", "required": "on", "pattern": "/.*", "description": "A mount point", "ORDER": "1"},
        {"name": "host", "type": "attribute", "default": "instance.tags.site"},
        {"name": ""},
        {"name": "gone", "DELETE": "on"},
    )
    assert answer.status_code == 302
    saved.refresh_from_db()
    assert saved.latest.parameters == [
        {"name": "disk", "type": "text", "required": True, "pattern": "/.*", "description": "A mount point"},
        {"name": "level", "type": "choice", "choices": ["low", "high"]},
        {"name": "host", "type": "attribute", "default": "instance.tags.site"},
    ]
    assert (saved.latest.number, saved.latest.text, saved.latest.author_name) == (2, before.text, "ada")
    assert SavedCommandVersion.objects.get(pk=before.pk).parameters == []
    assert AuditEntry.objects.get(action="saved_command.change").details["version"] == 2
    page = operator.get(answer.url).content.decode()
    for said in (
        "A mount point",
        "low, high",
        "/.*",
        ">yes<",
        "instance attribute",
        "Not in the command: level, host.",
    ):
        assert said in page
    form = operator.get(reverse("edit-saved-command", args=[saved.pk])).content.decode()
    assert 'id="parameters" open' in form
    assert "low\nhigh" in form


def test_declaring_the_same_again_makes_no_version(operator, saved):
    for _ in range(2):
        submit(operator, saved, {"name": "disk"})
        saved.refresh_from_db()
    assert saved.versions.count() == 2


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"name": "disk"}, {"name": "Disk"}], "Disk is there twice"),
        ([{"name": "disk", "type": "choice"}], "Enter the choices"),
        ([{"name": "disk", "pattern": "(a"}], "is not closed"),
        ([{"name": "1"}], "does not start with a digit"),
        ([{"name": "disk"}, {"name": "", "default": "lost"}], "Give it a name"),
        ([{"name": "disk", "type": "date"}], "not one of the available choices"),
        ([{"name": f"p{number}"} for number in range(50)], "At most 50 parameters are taken"),
    ],
    ids=["twice", "no-choices", "pattern", "name", "no-name", "type", "too-many"],
)
def test_what_cannot_be_declared_is_said_and_nothing_is_lost(operator, saved, rows, says):
    answer = submit(operator, saved, *rows, {"name": "kept", "description": "kept words"}, description="of the command")
    page = unescape(answer.content.decode())
    assert answer.status_code == 422
    for said in (says, "kept words", "of the command", "Nothing was saved", 'id="parameters" open'):
        assert said in page
    assert saved.versions.count() == 1


@pytest.mark.parametrize(
    ("fields", "rows", "field", "says"),
    [
        ({}, [], "text", "{{disk}} is not declared"),
        ({"text": "a\necho `df {{disk}}`"}, [{"name": "disk"}], "text", "Line 2: {{disk}} stands between backticks"),
        ({"interpreter": "python3"}, [{"name": "disk"}], "text", "POSIX shell"),
        ({"windows_text": "dir {{other}}"}, [{"name": "disk"}], "windows_text", "{{other}} is not declared"),
        ({"text": "df {{instance.size}}"}, [], "text", "nothing that an instance has"),
    ],
    ids=["undeclared", "backticks", "python", "windows", "attribute"],
)
def test_a_text_that_could_not_be_sent_is_refused_beside_it(operator, saved, fields, rows, field, says):
    answer = submit(operator, saved, *rows, {"name": "", "description": ""}, **fields)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert says in answer.context["form"].errors[field][0]
    assert 'id="parameters" open' in answer.content.decode()
    assert saved.versions.count() == 1


@pytest.mark.parametrize("text", ["docker ps --format '{{.Names}}'", "echo \\{{disk}}", "df {{instance.name}}"])
def test_what_is_no_parameter_needs_no_declaration(operator, saved, text):
    assert submit(operator, saved, text=text).status_code == 302


def test_more_rows_keep_what_was_written(operator, saved):
    row = {"name": "half", "type": "number", "description": "a thought", "required": "on", "pattern": "(", "ORDER": "7"}
    answer = submit(operator, saved, row, more="1", text="typed {{no}}", tags="words", note="why", timeout_s="x")
    page = answer.content.decode()
    assert answer.status_code == 200
    form = answer.context["form"]
    assert [form[name].value() for name in ("text", "tags", "note", "timeout_s", "base")] == [
        "typed {{no}}", "words", "why", "x", services.edit_token(saved),
    ]  # fmt: skip
    first, *others = form.rows
    assert {name: str(first[name].value()) for name in row} == {**row, "type": "number"}
    assert [one["name"].value() for one in others] == [None, None]
    assert "field__error" not in page
    assert 'id="parameters" open' in page
    assert saved.versions.count() == 1


def test_more_rows_of_a_new_command_keep_where_it_was_copied_from(operator, saved):
    address = reverse("new-saved-command") + f"?copy={saved.latest_id}"
    answer = operator.post(address, {"name": "other", "text": "df", "more": "1"} | rows_of({"name": "disk"}))
    assert answer.context["form"].source.text == saved.latest.text
    assert (answer.status_code, SavedCommand.objects.count()) == (200, 1)


def test_a_version_with_a_declaration_that_is_not_taken_any_more_is_shown_and_mended(operator, saved):
    SavedCommandVersion.objects.update(parameters=[{"name": "disk", "type": "date"}])
    assert ">date<" in operator.get(reverse("saved-command", args=[saved.pk])).content.decode()
    assert operator.get(reverse("edit-saved-command", args=[saved.pk])).status_code == 200
    assert submit(operator, saved, {"name": "disk"}).status_code == 302
