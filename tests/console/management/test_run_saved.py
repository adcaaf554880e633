"""``manage.py run --saved``: saved commands with parameters from a shell, run for real on this machine."""

import io

import pytest

from console.runs.models import Run
from instances.access.models import Role
from tests.support import factories
from tests.support.command_line import status_of

pytestmark = [pytest.mark.django_db(transaction=True)]
DECLARED = [{"name": "x", "required": True, "pattern": "[^!]*"}, {"name": "token", "type": "secret", "required": True}]
SECRET = "k4nary-of-a-shell"


@pytest.fixture(autouse=True)
def _here(settings):
    factories.allow_localhost(settings)
    factories.InstanceFactory(name="here", address="localhost", is_local=True)
    saved = factories.saved_command(name="Say", text="echo first")
    factories.add_version(saved, text="printf '%s|' {{x}} \"{{token}}\" {{instance.name}}", parameters=DECLARED)


def test_values_and_secrets_arrive_and_secrets_come_from_the_shell(monkeypatch, capfdbinary):
    monkeypatch.setenv("PARAM_token", SECRET)
    assert status_of("--on", "here", "--saved", "Say", "--param", "x=$(id) 'é=1'") == 0
    assert capfdbinary.readouterr().out == "$(id) 'é=1'|***|here|".encode()
    run = Run.objects.get()
    assert run.parameters == {"x": "$(id) 'é=1'", "token": None}
    assert str(run.saved_version) == "Say (version 2)"


def test_an_earlier_version_is_sent_by_its_number(capfdbinary):
    assert status_of("--on", "here", "--saved", "Say@1") == 0
    assert capfdbinary.readouterr().out == b"first\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--saved", "Nothing"), "There is no saved command Nothing."),
        (("--saved", "Say@9"), "Say has no version 9: the last one is 2."),
        (("--saved", "Say", "echo"), "not both"),
        (("--param", "x=1", "echo"), "--param is for a saved command"),
        (("--saved", "Say", "--param", "x"), "--param takes NAME=VALUE."),
        (("--saved", "Say", "--param", f"token={SECRET}"), "token is secret"),
        (("--saved", "Say", "--param", "x=1"), "set PARAM_token in this shell"),
        (("--saved", "Say@1", "--param", "y=1"), "There is no parameter of this name."),
        (("--saved", "Say", "--type", "bat"), "has no command of the type bat"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence(arguments, says, capfdbinary, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert status_of("--on", "here", *arguments) == 2
    error = capfdbinary.readouterr().err.decode()
    assert says in error
    assert SECRET not in error
    assert not Run.objects.exists()


def test_a_value_that_does_not_fit_is_refused_by_name(capfdbinary, monkeypatch):
    monkeypatch.setenv("PARAM_token", SECRET)
    assert status_of("--on", "here", "--saved", "Say", "--param", "x=no!") == 2
    assert "x: The value does not match the pattern" in capfdbinary.readouterr().err.decode()


def test_a_private_command_of_another_is_not_there(capfdbinary):
    factories.saved_command(name="Mine", owner=factories.UserFactory(role=Role.OPERATOR), is_shared=False)
    assert status_of("--on", "here", "--saved", "Mine") == 2
    assert "There is no saved command Mine." in capfdbinary.readouterr().err.decode()
