"""``manage.py run`` with script files, their arguments, variables and secrets."""

import hashlib
import io
import os
import pwd

import pytest

from console.runs.models import Run, RunSecrets
from tests.support.command_line import typed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("localhost_allowed")]


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
