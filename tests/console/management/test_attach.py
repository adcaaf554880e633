"""``manage.py attach``: what it refuses; what it does is in tests/console/sessions/test_attachment.py."""

import os

import pytest
from django.core.management import call_command

from console.sessions.models import Session
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import enlisted_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def web():
    return factories.InstanceFactory(name="web-1")


@pytest.fixture
def refusal(monkeypatch, capsys):
    """Return a function that attaches in a terminal of its own and returns exit status and sentence."""

    def attach(*arguments):
        keys, screen = os.openpty()
        # While the test runs: before it pytest puts its own files there.
        with os.fdopen(screen) as file, monkeypatch.context() as patched:
            patched.setattr("sys.stdin", file)
            patched.setattr("sys.stdout", file)
            with pytest.raises(SystemExit) as ended:
                call_command("attach", *arguments)
        os.close(keys)
        return ended.value.code, capsys.readouterr().err.strip()

    return attach


def test_without_a_terminal_here_it_says_what_to_do(web, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("attach", "web-1")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "attach needs a terminal. Without one, send commands with manage.py run.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["web-2"], "There is no instance web-2."),
        (["999"], "There is no terminal 999."),
        (
            ["web-1", "web-2"],
            "A terminal is of one instance: name one. For several there is manage.py session open.",
        ),
        (["999", "--new"], "There is no instance 999."),
        (["web-1", "--watch"], "You have no terminal open on web-1."),
        (["web-1", "--take-over"], "You have no terminal open on web-1."),
        (["web-1", "--watch", "--new"], "--watch goes with neither --new nor --take-over."),
        (["web-1", "--escape", "ab"], "--escape takes one character such as ~, one with Ctrl such as ^], or none."),
    ],
    ids=["instance", "number", "two", "new", "watch", "take-over", "both", "escape"],
)
def test_what_is_not_there_or_not_understood_is_one_sentence(web, refusal, arguments, sentence):
    assert refusal(*arguments) == (2, sentence)


def test_it_becomes_no_worker(web, refusal):
    assert refusal("web-1") == (
        255,
        "No worker of the console is alive on this data folder: start it with manage.py serve.",
    )
    assert not Session.objects.exists()


def test_who_may_open_none_and_what_takes_none_are_told_why(web, refusal):
    enlisted_worker()
    factories.UserFactory(username="vera", role=Role.VIEWER)
    assert refusal("web-1", "--as", "vera") == (255, "You are not allowed to open terminals. Ask an administrator.")
    factories.InstanceFactory(name="off", is_disabled=True)
    assert refusal("off") == (255, "It is disabled.")
    assert refusal("web-1", "--as", "nobody") == (2, "There is no active user nobody.")
    assert not Session.objects.exists()


def test_somebody_else_s_terminal_is_not_there(web, refusal):
    factories.UserFactory(username="olga", role=Role.OPERATOR)
    row = factories.session(web, factories.UserFactory(), kind="terminal", state="detached")
    assert refusal(str(row.pk), "--as", "olga") == (2, f"There is no terminal {row.pk}.")
