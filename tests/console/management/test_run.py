"""``manage.py run`` with a worker of its own and real commands on this machine."""

import dataclasses
import hashlib
import io
import json
import os
import pwd
import signal
import sys
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection

from console.management.commands.run import Command
from console.runs.models import Run, RunSecrets
from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.credentials.models import CredentialKind
from instances.credentials.services import add_credential
from instances.host_keys.models import HostKey
from instances.host_keys.services import note_presented, trust
from tests.support import factories
from tests.support.runs import enlisted_worker, send
from tests.support.sshd import marked_by, running_sshd

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _localhost(settings):
    factories.allow_localhost(settings)


@pytest.fixture
def local():
    return factories.InstanceFactory(name="here", address="localhost", is_local=True)


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        call_command("run", *arguments)
    return ended.value.code


def typed(*words):
    """As from a shell: with what stands behind ``--``."""
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "run", *words])
    return ended.value.code


def when_running(action):
    """Do something as soon as a run's command runs."""

    def watch():
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at:
            if Run.objects.filter(invocations__status="running").exists():
                action()
                break
            time.sleep(0.02)
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_the_command_s_output_and_exit_status_come_out_here(local, capfdbinary):
    assert status_of("--on", "here", "printf 'a\\377'; printf b >&2; exit 3") == 3
    out, err = capfdbinary.readouterr()
    assert (out, err) == (b"a\xff", b"b")
    assert Run.objects.get().actor_name == "cli"


def test_who_typed_it_is_in_the_audit_entry(local, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    assert status_of("--on", "here", "true") == 0
    assert AuditEntry.objects.get(action="run.send").details["os_user"] == "ada"


def test_the_own_machine_needs_no_registration(capfdbinary):
    assert status_of("--on", ".", "echo hello") == 0
    assert capfdbinary.readouterr().out == b"hello\n"


def test_several_instances_by_filter(local, capfdbinary):
    factories.InstanceFactory(name="there", address="localhost", is_local=True)
    assert status_of("--filter", "here", "--on", "there", "echo hello") == 0
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [b"here: hello", b"there: hello"]


def test_json(local, capfdbinary):
    assert status_of("--json", "--on", "here", "echo hello") == 0
    types = [json.loads(line)["type"] for line in capfdbinary.readouterr().out.splitlines()]
    assert types == ["output", "end"]


def test_the_command_comes_from_a_file_or_standard_input(local, tmp_path, monkeypatch, capfdbinary):
    script = tmp_path / "script"
    script.write_text("echo from a file")
    assert status_of("--on", "here", "--file", str(script)) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("echo from standard input"))
    assert status_of("--on", "here", "-") == 0
    assert capfdbinary.readouterr().out == b"from a file\nfrom standard input\n"


def test_another_interpreter(local, capfdbinary):
    assert status_of("print(6 * 7)", "--on", "here", "--interpreter", "python3") == 0
    assert capfdbinary.readouterr().out == b"42\n"


@pytest.mark.parametrize("command_type", ["bat", "powershell"])
def test_nothing_reaches_an_instance_of_another_os_family(local, capfdbinary, command_type):
    assert status_of("hostname", "--on", "here", "--type", command_type) == 255
    assert b"does not run on Linux. The command did not run." in capfdbinary.readouterr().err
    skipped = Run.objects.get().invocations.get()
    assert (skipped.status, skipped.reason, skipped.start_sent_at) == ("skipped", "os_mismatch", None)


def test_a_shell_command_skips_the_windows_instances_of_a_filter(local, capfdbinary):
    factories.InstanceFactory(name="win", os="windows")
    assert status_of("echo here", "--all") == 1
    shown = capfdbinary.readouterr()
    assert b"here: here\n" in shown.out
    assert b"Shell does not run on Windows" in shown.err


def test_a_time_limit_ends_with_124(local):
    assert status_of("--on", "here", "--timeout", "1", "sleep 60") == 124


def test_one_that_cannot_run_says_why(local, capfdbinary):
    local.is_disabled = True
    local.save()
    assert status_of("--on", "here", "true") == 255
    assert b"disabled" in capfdbinary.readouterr().err


def test_it_works_for_its_own_run_alone(local):
    other = send(instances=[local])
    assert status_of("--on", "here", "true") == 0
    assert other.invocations.get().status == "queued"


@pytest.mark.slow
def test_ctrl_c_stops_the_run(local, capfdbinary):
    thread = when_running(lambda: os.kill(os.getpid(), signal.SIGINT))
    assert status_of("--on", "here", "sleep 61") == 130
    thread.join()
    invocation = Run.objects.get().invocations.get()
    assert invocation.status == "stopped"
    assert marked_by("MUSTER_INVOCATION", str(invocation.marker)) == []
    assert b"Stopping run" in capfdbinary.readouterr().err


def test_a_second_ctrl_c_leaves_it_and_says_so(local, capfdbinary):
    enlisted_worker()  # alive, but it claims nothing

    def twice():
        ends_at = time.monotonic() + 20
        while not Run.objects.exists() and time.monotonic() < ends_at:
            time.sleep(0.02)
        # Something is active that nobody stops.
        Run.objects.get().invocations.update(status="running")
        while not Run.objects.filter(stop_requested_at__isnull=False).exists() and time.monotonic() < ends_at:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        connection.close()

    thread = threading.Thread(target=twice)
    before = [signal.signal(signal.SIGINT, signal.SIG_IGN)]
    thread.start()
    assert status_of("--on", "here", "sleep 62") == 130
    thread.join()
    signal.signal(signal.SIGINT, before[0])
    assert b"may still be running" in capfdbinary.readouterr().err


@pytest.mark.sshd
@pytest.mark.slow
def test_a_typed_address_is_signed_in_to_with_the_credential_named(settings, tmp_path, capfdbinary):
    settings.DATA_DIR = tmp_path
    user = pwd.getpwuid(os.geteuid()).pw_name
    with running_sshd() as sshd:
        add_credential(
            factories.UserFactory(),
            name="deploy key",
            kind=CredentialKind.KEY,
            user_name="nobody",
            secret=sshd.user_key.decode(),
            passphrase="",
        )
        there = ["--on", f"{user}@127.0.0.1:{sshd.port}", "--credential", "deploy key", "echo hello"]
        assert status_of(*there) == 255
        assert b"host key" in capfdbinary.readouterr().err
        trust(factories.UserFactory(), host_keys=list(HostKey.objects.all()))
        assert status_of(*there) == 0
    assert capfdbinary.readouterr().out == b"hello\n"
    assert Run.objects.first().invocations.get().instance.credential.name == "deploy key"


def test_an_operator_may_not_name_a_credential(capfd):
    factories.UserFactory(username="olga", role=Role.OPERATOR)
    factories.CredentialFactory(name="deploy key")
    assert status_of("--as", "olga", "--on", "ann@10.0.0.9", "--credential", "deploy key", "true") == 2
    assert "not allowed" in capfd.readouterr().err
    assert not Run.objects.exists()


def test_a_credential_is_not_named_for_an_instance_that_has_its_own(capfd):
    factories.CredentialFactory(name="deploy key")
    factories.InstanceFactory(name="db", address="10.0.0.9", user_name="ann")
    assert status_of("--on", "ann@10.0.0.9", "--credential", "deploy key", "true") == 2
    assert "is in the list as db" in capfd.readouterr().err


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--on", "nowhere", "true"], "There is no instance nowhere."),
        (["true"], "No instance was named"),
        (["--on", "here"], "Give the command once"),
        (["--on", "here", "--file", "/nonexistent", "true"], "Give the command once"),
        (["--on", "here", "--file", "/nonexistent"], "No such file"),
        (["--on", "here", ""], "Enter a command."),
        (["--on", "here", "--timeout", "0", "true"], "The time limit"),
        (["--on", "here", "--as", "nobody-here", "true"], "There is no active user"),
        (["--on", "a@10.0.0.9", "--credential", "nothing", "true"], "There is no credential nothing."),
    ],
)
def test_what_cannot_be_sent_ends_with_2_and_one_sentence(local, capfd, arguments, sentence):
    assert status_of(*arguments) == 2
    err = capfd.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_a_credential_for_nothing_is_refused(local, capfd):
    factories.CredentialFactory(name="deploy key")
    assert status_of("--on", "here", "--credential", "deploy key", "true") == 2
    assert "--credential is for" in capfd.readouterr().err


def test_a_viewer_may_not_send(local, capfd):
    factories.UserFactory(username="vera", role=Role.VIEWER)
    assert status_of("--as", "vera", "--on", "here", "true") == 2
    assert not Run.objects.exists()


# ------------------------------------------------------------------ script files, arguments, variables


def test_a_script_file_runs_with_its_arguments_and_is_known_by_name_and_hash(local, tmp_path, capfdbinary):
    script = tmp_path / "say it.py"
    script.write_bytes(b"#!/usr/bin/env python3\nimport os, sys\nprint(sys.argv[1:], os.environ['A'], __file__)\n")
    assert typed("--on", "here", "--file", str(script), "--env", "A=1=2", "--", "-x", "a b") == 0
    said, _, path = capfdbinary.readouterr().out.decode().strip().rpartition(" ")
    assert said == "['-x', 'a b'] 1=2"
    assert not os.path.lexists(path)
    run = Run.objects.get()
    assert (run.script_name, run.arguments, run.environment) == ("say it.py", ["-x", "a b"], [["A", "1=2"]])
    assert run.command_sha256 == hashlib.sha256(script.read_bytes()).hexdigest()


def test_a_command_may_stand_behind_the_dashes(local, capfdbinary):
    assert typed("--on", "here", "--", 'echo "$1"', "--on") == 0
    assert typed("--on", "here", 'echo "$1"', "--", "--file") == 0
    assert capfdbinary.readouterr().out == b"--on\n--file\n"


def test_a_secret_of_this_shell_is_masked_and_forgotten(local, capfdbinary, monkeypatch):
    monkeypatch.setenv("TOKEN", "k4nary-of-the-shell")
    script = 'printf "%s|" "$TOKEN"; printf k4nary-; sleep 0.2; echo of-the-shell; [ ${#TOKEN} = 19 ]'
    assert typed("--on", "here", "--secret-env", "TOKEN", script) == 0
    assert capfdbinary.readouterr().out == b"***|***\n"
    assert Run.objects.get().invocations.get().last_line == "***|***"
    assert Run.objects.get().secret_names == ["TOKEN"]
    assert not RunSecrets.objects.exists()


def test_run_as_this_user_needs_no_sudo(local, capfdbinary):
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert typed("--on", "here", "--run-as", name, "id -un") == 0
    assert capfdbinary.readouterr().out.decode() == f"{name}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--env", "A", "true"], "NAME=VALUE"),
        (["--secret-env", "A=b", "true"], "a name alone"),
        (["--secret-env", "NOT_SET_HERE", "true"], "on a terminal"),
        (["--run-as", "a b", "true"], "A user name has"),
        (["--env", "IFS=x", "true"], "cannot be used"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence(local, words, says, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert typed("--on", "here", *words) == 2
    assert says in capsys.readouterr().err
    assert not Run.objects.exists()


@pytest.mark.parametrize(("data", "says"), [(b"\x7fELF\0", "binary"), (b"\xff\xfe", "UTF-8"), (b" \n", "empty")])
def test_a_file_that_is_no_script_is_refused(local, data, says, tmp_path, capsys):
    (tmp_path / "f").write_bytes(data)
    assert typed("--on", "here", "--file", str(tmp_path / "f")) == 2
    assert says in capsys.readouterr().err


# ------------------------------------------------------------------ choosing, confirming, trying without running


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
