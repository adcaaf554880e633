"""``manage.py session``; tests/faults/test_sessions.py has it with a real shell."""

import io
import json
import uuid

import pytest
from django.core.management import call_command

from console import supervisor
from console.management import sessions
from console.management.commands.session import Command
from console.runs.models import Run
from console.sessions.models import Session
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support import factories
from tests.support.runs import enlisted_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga():
    return factories.UserFactory(username="olga", role=Role.OPERATOR)


@pytest.fixture
def webs():
    return [factories.InstanceFactory(name=f"web-{number}") for number in range(1, 4)]


def said(*arguments):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("session", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return ended.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def refusal(capsys, *arguments, words=()):
    """``words`` stand behind ``--``."""
    command = Command()
    command.words = words
    with pytest.raises(SystemExit) as ended:
        call_command(command, *arguments)
    return ended.value.code, capsys.readouterr().err.strip()


def test_one_is_opened_on_each_instance_that_is_named(webs, monkeypatch):
    monkeypatch.setenv("LOGNAME", "root-at-the-shell")
    enlisted_worker()
    status, out, _ = said(
        "open", "web-[1-2]", "web-3", "--name", "deploy", "--interpreter", "sh", "--directory", "/srv"
    )
    assert status == 0
    assert sorted(line.split("\t")[1:] for line in out.splitlines()) == [[one.name, "Opening"] for one in webs]
    assert set(Session.objects.values_list("name", "interpreter", "working_directory", "owner_name")) == {
        ("deploy", "sh", "/srv", "cli")
    }
    assert AuditEntry.objects.get(action="open_shell").details["os_user"] == "root-at-the-shell"


def test_what_is_left_out_is_said_and_the_others_are_opened(webs):
    enlisted_worker()
    factories.InstanceFactory(name="off", is_disabled=True)
    status, out, err = said("open", "web-1", "off")
    assert (status, err) == (1, "off: It is disabled.\n")
    assert out.endswith("\tweb-1\tOpening\n")


def test_the_list_shows_what_is_open_and_all_what_has_ended(webs, olga):
    mine = factories.session(webs[0], olga, name="deploy")
    gone = factories.session(webs[1], olga, state="closed", message="Closed by olga.", closed_at=mine.opened_at)
    other = factories.session(webs[2], factories.UserFactory(username="otto"), kind="terminal", state="detached")
    _, out, _ = said("list", "--as", "olga")
    assert out == f"{mine.pk}\tSession\tweb-1\tdeploy\tolga\tReady\tidle 0 s\n"
    _, out, _ = said("list", "--all")
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(row.pk) for row in (mine, gone, other)]
    assert "\tClosed: Closed by olga.\tended " in out
    _, out, _ = said("list", "--json")
    first = json.loads(out.splitlines()[0])
    assert (first["id"], first["state"], first["owner"], first["closed_at"]) == (mine.pk, "ready", "olga", None)


def test_sessions_are_closed(webs, olga):
    rows = [factories.session(webs[0], olga, worker=uuid.uuid4()) for _ in range(2)]
    assert said("close", *(str(row.pk) for row in rows), "--as", "olga")[1] == "2 are being closed.\n"
    assert said("close", str(rows[0].pk), "--as", "olga")[1] == "None of them was open.\n"
    assert set(Session.objects.values_list("close_requested_by", flat=True)) == {"olga"}


def test_those_of_others_are_not_there(webs, olga, capsys):
    row = factories.session(webs[0], factories.UserFactory())
    for action in ("close", "run"):
        with pytest.raises(SystemExit) as ended:
            call_command("session", action, str(row.pk), "--as", "olga")
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"There is no session {row.pk}.\n"
    with pytest.raises(SystemExit):
        call_command("session", "close", str(10**30), "--as", "olga")
    assert capsys.readouterr().err == f"There is no session {10**30}.\n"


def test_the_worker_of_a_console_that_has_just_started_is_waited_for(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    answers = iter([False, False, True])
    monkeypatch.setattr(sessions.queue, "a_worker_is_alive", lambda: next(answers))
    with supervisor.lock_data_folder(tmp_path) as lock:
        supervisor.note_address(lock, "http://127.0.0.1:8000")
        sessions.require_worker()
    assert list(answers) == []


def test_without_a_worker_nothing_is_opened_or_sent(webs, olga, capsys):
    row = factories.session(webs[0], olga)
    for arguments in (["open", "web-1"], ["run", str(row.pk)]):
        status, sentence = refusal(capsys, *arguments, words=["true"])
        assert (status, sentence[:34]) == (255, "No worker of the console is alive ")
    assert Session.objects.count() == 1
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words", "sentence"),
    [
        (["run", "{shell}"], [], "Give the command once"),
        (["run", "{terminal}"], ["true"], "is a terminal"),
        (["run", "{shell}", "--file", "/nowhere"], ["x"], "No such file"),
        (["open", "web-9"], [], "web-9"),
    ],
    ids=["no command", "terminal", "no file", "no instance"],
)
def test_what_cannot_be_done_is_one_sentence(webs, olga, capsys, arguments, words, sentence):
    worker = enlisted_worker()
    rows = {kind: factories.session(webs[0], olga, kind=kind, worker=worker).pk for kind in ("shell", "terminal")}
    status, said = refusal(capsys, *(word.format(**rows) for word in arguments), words=words)
    assert status == 2
    assert sentence in said
    assert not Run.objects.exists()
