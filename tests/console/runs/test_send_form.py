"""The Send Command form without JavaScript: what surrounds a command, script files, and sending again."""

import hashlib
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from console.runs import run_secrets, views
from console.runs.models import Run
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db
SECRET = "k4nary-in-the-form"


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return client


def submit(client, **fields):
    instance = factories.InstanceFactory()
    return client.post(reverse("send"), {"command_type": "shell", "command": "true", "ids": str(instance.pk), **fields})


def test_a_list_of_saved_commands_that_is_cut_off_says_so_and_leads_to_the_library(operator, monkeypatch):
    monkeypatch.setattr(views, "SAVED_LISTED", 2)
    for name in ("a", "B"):
        factories.saved_command(name=name)
    cut_off = "Only the first 2 are listed"
    assert cut_off not in operator.get(reverse("send")).content.decode()
    factories.saved_command(name="c")
    page = operator.get(reverse("send")).content.decode()
    assert [name for name in ("a", "B", "c") if f">{name}</option>" in page] == ["a", "B"]
    assert cut_off in page
    assert f'href="{reverse("saved-commands")}">All saved commands</a>' in page


def test_a_saved_command_without_a_selection_starts_with_a_filter_and_not_with_an_address(operator):
    def way(**query):
        page = operator.get(reverse("send"), query).content.decode()
        return re.findall(r'name="choose" value="(\w+)" checked', page)

    saved = factories.saved_command(name="a").pk
    assert way(saved=saved) == way() == ["filter"]
    assert way(saved=saved, ids=factories.InstanceFactory().pk) == ["selection"]
    assert way(saved=saved, choose="names") == ["names"]


def test_everything_around_a_command_is_taken_and_shown(operator):
    answer = submit(
        operator,
        run_as="postgres",
        environment="A=1\r\nB<<END\r\nx\r\ny\r\nEND\r\n",
        secret_environment=f"TOKEN={SECRET}",
        arguments="one\r\ntwo words\r\n",
    )
    assert answer.status_code == 302
    run = Run.objects.get()
    assert (run.run_as, run.environment, run.arguments) == (
        "postgres",
        [["A", "1"], ["B", "x\ny"]],
        ["one", "two words"],
    )
    assert run_secrets.opened([run]) == {run.pk: (("TOKEN", SECRET),)}
    for page in (operator.get(answer.url), operator.get(reverse("runs"))):
        text = page.content.decode()
        assert "postgres" in text
        assert run.command_sha256[:12] in text
        assert SECRET not in text
    assert "two words" in operator.get(answer.url).content.decode()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"run_as": "#0"}, "A user name has"),
        ({"environment": "no sign"}, "Line 1 is not NAME=value"),
        ({"environment": "IFS=x"}, "cannot be used"),
        ({"secret_environment": "A="}, "Enter a value for A"),
        ({"arguments": "<<END\nx"}, "no end"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_but_the_secrets_is_lost(operator, fields, says):
    kept = {"environment": "KEPT=1", "arguments": "kept", "run_as": "kept"}
    secret = f"TOKEN={SECRET}\n" + fields.get("secret_environment", "")
    answer = submit(operator, **(kept | fields | {"secret_environment": secret}))
    text = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert says in text
    assert SECRET not in text
    assert "TOKEN=\n" in text
    for name in kept.keys() - fields.keys():
        assert kept[name] in text
    assert not Run.objects.exists()


def test_a_chosen_file_is_the_command_with_its_name_and_hash(operator):
    data = "#!/usr/bin/env python3\nprint('é')\n".encode()
    submit(operator, command="", script=SimpleUploadedFile("say.py", data))
    run = Run.objects.get()
    assert (run.script_name, run.command.encode()) == ("say.py", data)
    assert run.command_sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("command", "data", "says"),
    [
        ("", b"\x7fELF\0", "binary file"),
        ("", b"\xff\xfeab", "not UTF-8"),
        ("", b"", "is empty"),
        ("", b"x" * (1024 * 1024 + 1), "too large"),
        ("ls", b"ls", "not both"),
    ],
)
def test_a_file_that_cannot_be_sent_is_refused_beside_the_field(operator, command, data, says):
    answer = submit(operator, command=command, script=SimpleUploadedFile("f", data))
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Run.objects.exists()


def test_sending_again_asks_for_the_secrets_again(operator):
    run = send(
        1,
        command="ls",
        script_name="ls.sh",
        run_as="app",
        arguments=("a", ""),
        environment=(("A", "x\ny"),),
        secrets=(("TOKEN", SECRET),),
    )
    text = operator.get(reverse("send"), {"again": run.pk, "which": "all"}).content.decode()
    assert SECRET not in text
    fields = dict(re.findall(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"', text))
    fields |= dict(re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', text, re.DOTALL))
    fields = {name: unescape(value) for name, value in fields.items()} | {"command_type": "shell", "choose": "run"}
    assert fields["secret_environment"] == "TOKEN=\n"
    refused = operator.post(reverse("send"), fields)
    assert "Enter a value for TOKEN" in refused.content.decode()
    operator.post(reverse("send"), fields | {"secret_environment": "TOKEN=another"})
    again = Run.objects.first()
    assert again.pk > run.pk
    for name in ("script_name", "run_as", "arguments", "environment", "secret_names", "command_sha256"):
        assert getattr(again, name) == getattr(run, name), name


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("timeout_s", "-5", "The time limit is between 1 and 604,800 seconds."),
        ("timeout_s", "604801", "The time limit is between 1 and 604,800 seconds."),
        ("batch_pause_s", "-1", "The pause is between 0 and 86,400 seconds."),
        ("connect_attempts", "0", "Between 1 and 5 attempts can be made."),
        ("connect_delay_s", "0", "The delay is between 1 and 3,600 seconds."),
        ("working_directory", "/srv/\x01app", "A working directory is one line without control characters."),
        ("interpreter", "python3\nx", "An interpreter is one line without control characters."),
    ],
)
def test_what_cannot_be_is_told_beside_its_field_in_a_plain_sentence(operator, field, value, says):
    answer = submit(operator, **{field: value})
    assert answer.status_code == 422
    assert answer.context["form"].errors == {field: [says]}
    assert not Run.objects.exists()


def test_a_windows_folder_that_cannot_be_is_told_in_the_section_for_windows(operator):
    answer = submit(
        operator,
        ids=str(factories.InstanceFactory(os="windows").pk),
        split="1",
        windows_type="powershell",
        windows_command="dir",
        windows_directory="C:\\a\x1bb",
    )
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"windows_directory"}
