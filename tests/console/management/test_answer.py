"""``manage.py answer``, and how ``manage.py run`` asks."""

import io
import os
import sys
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from console.runs import queue
from console.runs.models import Run
from console.runs.rate import Rollout
from console.runs.terminal_question import Question
from instances.access.models import Role
from instances.credentials.models import CredentialKind
from instances.credentials.services import add_credential
from tests.support import factories
from tests.support.runs import enlisted_worker, send


def waiting_run():
    run = send(3, rollout=Rollout(first="1"))
    worker = enlisted_worker()
    queue.claim(worker, slots=1)
    queue.discharge(worker)
    run.invocations.filter(ordinal=0).update(status="succeeded", revision=queue.next_revision(run))
    queue.refresh_counts(run)
    return run


def said(*arguments):
    out = io.StringIO()
    call_command("answer", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db
def test_a_run_is_paused_resumed_continued_and_declined_from_a_shell():
    run = waiting_run()
    number = str(run.pk)
    assert said(number, "pause") == f"Run {number} is paused: nothing new starts."
    assert said(number, "resume") == f"Run {number} goes on."
    assert said(number, "continue") == f"Run {number} goes on."
    assert said(number, "continue") == f"Nothing was done: there is nothing of run {number} to continue."
    assert said(number, "decline") == f"The rest of run {number} is not started."
    assert list(run.invocations.order_by("ordinal").values_list("reason", flat=True)) == ["", *["batch_declined"] * 2]


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [("9999", "continue"), ("one", "continue"), ("1", "perhaps")])
def test_what_cannot_be_answered_is_told(arguments):
    with pytest.raises((SystemExit, CommandError)) as ended:
        call_command("answer", *arguments)
    assert isinstance(ended.value, CommandError) or ended.value.code == 2


@pytest.mark.django_db
def test_who_may_not_answer_is_told(capsys):
    run = waiting_run()
    viewer = factories.UserFactory(role=Role.VIEWER)
    with pytest.raises(SystemExit) as ended:
        call_command("answer", str(run.pk), "continue", "--as", viewer.username)
    assert ended.value.code == 2
    assert "not allowed to send command" in capsys.readouterr().err


# ------------------------------------------------------------------ manage.py run


@pytest.fixture
def here(settings):
    factories.allow_localhost(settings)
    names = ("one", "two", "three")
    return [factories.InstanceFactory(name=name, address="localhost", is_local=True) for name in names]


def run_on_all(*arguments):
    on = [word for name in ("one", "two", "three") for word in ("--on", name)]
    with pytest.raises(SystemExit) as ended:
        call_command("run", "echo hello", *on, *arguments)
    return ended.value.code


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("typed", "statuses"), [("y", ["succeeded"] * 3), ("n", ["succeeded", "skipped", "skipped"])])
def test_it_asks_on_the_terminal(here, monkeypatch, capfd, typed, statuses):
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs)
    monkeypatch.setattr(sys, "stdin", terminal)
    over = threading.Event()

    def type_until_over():
        # What is typed before the question is none of its answers.
        while not over.wait(0.1):
            os.write(ours, f"{typed}\n".encode())

    person = threading.Thread(target=type_until_over)
    person.start()
    try:
        assert run_on_all("--first", "1") == int(typed == "n")
    finally:
        over.set()
        person.join()
        os.close(ours)
        terminal.close()
    assert list(Run.objects.get().invocations.order_by("ordinal").values_list("status", flat=True)) == statuses
    assert "Go on with batch 2 of 2? [y/n]" in capfd.readouterr().err


@pytest.mark.django_db(transaction=True)
def test_without_a_terminal_somebody_else_answers(here, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    was_told, ask = threading.Event(), Question._ask

    def tell(question, run):
        ask(question, run)
        was_told.set()

    monkeypatch.setattr(Question, "_ask", tell)

    def answer_when_asked():
        assert was_told.wait(120)
        call_command("answer", str(Run.objects.get().pk), "continue", stdout=io.StringIO())
        connection.close()

    other = threading.Thread(target=answer_when_asked)
    other.start()
    assert run_on_all("--first", "1", "--batch", "50%") == 0
    other.join()
    assert Run.objects.get().rollout == {"first": "1", "batch_size": "50%"}
    assert f"manage.py answer {Run.objects.get().pk} continue" in capfd.readouterr().err


@pytest.mark.django_db(transaction=True)
def test_an_instance_that_is_not_up_yet_is_tried_again(here, capfd):
    kept = add_credential(
        factories.UserFactory(), name="kept", kind=CredentialKind.PASSWORD, user_name="deploy", secret="a password"
    )
    away = factories.InstanceFactory(name="away", address="127.0.0.1", port=1, credential=kept)
    factories.HostKeyFactory(instance=away)
    on = ("--on", "away", "--on", "one", "--max-concurrency", "1", "--max-errors", "0")
    with pytest.raises(SystemExit):
        call_command("run", "echo hello", *on, "--attempts", "2", "--attempt-delay", "1")
    row, other = Run.objects.get().invocations.order_by("ordinal")
    assert (row.status, row.reason, row.attempt, row.start_sent_at) == ("unreachable", "refused", 2, None)
    # It held no place and was no error while it waited.
    assert other.status == "succeeded"
    assert b"hello" in capfd.readouterr().out.encode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--max-concurrency", "many"), "percentage"),
        (("--first", "0"), "percentage"),
        (("--pause", "10"), "batch size"),
        (("--attempts", "9"), "attempts"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, tuple) else "",
)
def test_a_limit_that_cannot_be_is_told(here, capsys, option, says):
    assert run_on_all(*option) == 2
    assert says in capsys.readouterr().err
