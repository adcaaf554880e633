"""``manage.py run`` on what was chosen: named, confirmed, or tried without running anything."""

import dataclasses
import os
import sys

import pytest

from console.runs.models import Run, RunSecrets
from instances.credentials.models import CredentialKind
from instances.credentials.services import add_credential
from instances.host_keys.services import note_presented, trust
from tests.support import factories
from tests.support.command_line import status_of
from tests.support.sshd import running_sshd

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("localhost_allowed")]


def more(name, **fields):
    return factories.InstanceFactory(name=name, address="localhost", is_local=True, **fields)


def test_names_and_a_group_and_a_former_run_choose(local, capfdbinary):
    group = factories.GroupFactory(name="Paris")
    more("web01")
    more("web02")
    more("web03", group=group)
    assert status_of("--names", "web[01-03] !web02", "true") == 0
    run = Run.objects.first()
    assert list(run.invocations.values_list("instance_name", flat=True)) == ["web01", "web03"]
    assert run.choice == {"names": "web[01-03] !web02"}
    assert status_of("--group", "paris", "exit 3") == 3
    failed = Run.objects.first()
    assert status_of("--failed-in", str(failed.pk), "true") == 0
    again = Run.objects.first()
    assert again.invocations.get().instance_name == "web03"
    assert again.choice == {"run": str(failed.pk), "which": "failed"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--filter", ""], "every instance"),
        (["--filter", "name:nobody"], "No instance was named"),
        (["--names", "here gone"], "Not in the list: gone."),
        (["--names", ""], "Enter the names"),
        (["--group", "Rome"], "There is no group Rome"),
        (["--failed-in", "77"], "There is no run 77"),
        ([], "No instance was named"),
    ],
)
def test_an_empty_or_unresolvable_choice_sends_nothing(local, capfd, arguments, says):
    assert status_of("true", *arguments) == 2
    assert says in capfd.readouterr().err
    assert not Run.objects.exists()


def test_many_are_confirmed_by_their_number(local, settings, capfd, monkeypatch):
    settings.ENV = dataclasses.replace(settings.ENV, confirm_above=1)
    more("web01")
    assert status_of("true", "--all") == 2
    assert status_of("true", "--all", "--yes-to", "3") == 2
    assert "Type 2 to confirm. You typed 3." in capfd.readouterr().err
    assert not Run.objects.exists()
    assert status_of("true", "--all", "--yes-to", "2") == 0
    keyboard, terminal = os.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(terminal))
    for typed_number, status in (("1", 2), ("2", 0)):
        monkeypatch.setattr("builtins.input", lambda _, number=typed_number: number)
        assert status_of("true", "--all") == status
    sys.stdin.close()
    os.close(keyboard)


def test_a_dry_run_says_what_is_missing_and_runs_nothing(local, tmp_path, capfd):
    proof = tmp_path / "proof"
    ready = ["--dry-run", "--on", "here", f"touch {proof}", "--secret-env", "TOKEN"]
    os.environ["TOKEN"] = "k4nary-in-a-dry-run"
    try:
        assert status_of(*ready) == 0
    finally:
        del os.environ["TOKEN"]
    assert "Dry run, nothing was executed" in capfd.readouterr().err
    run = Run.objects.first()
    assert (run.is_dry_run, run.secret_names, RunSecrets.objects.exists()) == (True, ["TOKEN"], False)
    row = run.invocations.get()
    assert (row.status, row.exit_status, row.start_sent_at, row.size) == ("succeeded", 0, None, 0)
    for option, value, reason in (
        ("--interpreter", "nothing-like-it", "interpreter_missing"),
        ("--run-as", "nobody-of-that-name", "run_as_user_missing"),
    ):
        assert status_of("--dry-run", "--on", "here", f"touch {proof}", option, value) == 255
        assert Run.objects.first().invocations.get().reason == reason
    assert not proof.exists()


def test_a_dry_run_over_ssh_tells_a_refused_sign_in(capfd):
    with running_sshd() as sshd:
        owner = factories.UserFactory()
        key = add_credential(
            owner, name="k", kind=CredentialKind.PASSWORD, user_name="nobody", secret="wrong", passphrase=""
        )
        there = factories.InstanceFactory(name="there", address="127.0.0.1", port=sshd.port, credential=key)
        trust(owner, host_keys=[note_presented(there, sshd.host_key)])
        assert status_of("--dry-run", "--on", "there", "true") == 255
    row = Run.objects.get().invocations.get()
    assert (row.status, row.reason) == ("unreachable", "auth_failed")
    assert "unreachable" in capfd.readouterr().err
