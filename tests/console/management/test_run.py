"""``manage.py run`` with a worker of its own and real commands on this machine."""

import io
import json
import os
import pwd
import signal
import sys
import threading

import pytest
from django.db import connection

from console.runs import queue
from console.runs.models import Run
from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.credentials.models import CredentialKind
from instances.credentials.services import add_credential
from instances.host_keys.models import HostKey
from instances.host_keys.services import trust
from tests.support import factories
from tests.support.command_line import status_of
from tests.support.runs import enlisted_worker, send
from tests.support.sshd import marked_by, running_sshd
from tests.support.until import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("localhost_allowed")]


def when_running(action):
    """Do something as soon as a run's command runs."""

    def watch():
        try:
            until(lambda: Run.objects.filter(invocations__status="running").exists())
            action()
        finally:
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


def test_it_is_no_worker_to_those_who_send_something_else_meanwhile(local, tmp_path):
    go_on, seen = tmp_path / "go-on", []

    def ask():
        seen.append(queue.a_worker_is_alive())
        go_on.touch()

    thread = when_running(ask)
    command = f"until [ -e '{go_on}' ]; do sleep 0.05; done"
    assert status_of("--on", "here", "--timeout", "120", command) == 0
    thread.join()
    assert seen == [False]


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
        try:
            until(Run.objects.exists)
            # Something is active that nobody stops.
            Run.objects.get().invocations.update(status="running")
            # Until then nobody listens, and after the second nobody does any more.
            until(lambda: signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: Run.objects.filter(stop_requested_at__isnull=False).exists())
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            connection.close()

    thread = threading.Thread(target=twice)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    thread.start()
    assert status_of("--on", "here", "sleep 62") == 130
    thread.join()
    signal.signal(signal.SIGINT, before)
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
        (["--on", "here", "--file", "/nonexistent"], "/nonexistent cannot be used: No such file or directory.\n"),
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
