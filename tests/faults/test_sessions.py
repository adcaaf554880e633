"""Sessions through a whole console to a real sshd: one connection, one shell, and an end that is told."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.console import words_of
from tests.support.fleet import register
from tests.support.room import Room
from tests.support.until import until
from tests.support.visitor import Records, Visitor

OPEN = """
from console.members.models import User
from console.sessions import services
from console.sessions.services import Wish
from instances.inventory.models import Instance
done = services.open_sessions(User.objects.get(username="admin"), list(Instance.objects.filter(pk__in={ids})),
                              Wish(name="deploy"), request_key={key!r})
print(*(row.pk for row in done.sessions))
"""
SEND = """
from console.members.models import User
from console.runs import services
from console.sessions.models import Session
sessions = Session.objects.filter(pk__in={ids}).order_by("pk")
run = services.send_command(User.objects.get(username="admin"), sessions=list(sessions), command={command!r},
                            request_key={key!r}, options=services.Options(secrets={secrets!r}))
print(run.pk)
"""
CLOSE = """
from console.members.models import User
from console.sessions import services
from console.sessions.models import Session
services.close_sessions(User.objects.get(username="admin"), Session.objects.filter(pk__in={ids}))
"""


class Fleet:
    """A console, its instances, and sessions on them."""

    def __init__(self, console, instances):
        self.console = console
        self.instances = instances
        self.records = Records(console.folder)
        self.visitor = Visitor(console)
        self._keys = 0

    def shell(self, script, **values):
        self._keys += 1
        return self.console.shell(script, key=f"key-{self._keys}", **values)

    def open(self, *instances):
        ids = [int(word) for word in self.shell(OPEN, ids=list(instances)).split()]
        until(lambda: all(self.session(pk)["state"] != "opening" for pk in ids))
        return ids

    def session(self, pk):
        return self.records.rows(f"SELECT * FROM console_session WHERE id = {pk}")[0]

    def send(self, ids, command, secrets=()):
        return int(self.shell(SEND, ids=list(ids), command=command, secrets=tuple(secrets)))

    def ended(self, run, within_s=60):
        until(lambda: self.records.run(run)["finished_at"], within_s)
        return self.records.invocations(run)

    def run(self, ids, command, secrets=()):
        """Send a command and return what each session answered: status, exit status and stdout."""
        run = self.send(ids, command, secrets)
        rows = self.ended(run)
        return [(row["status"], row["exit_status"], self.records.output(row["id"])) for row in rows]


@pytest.fixture(scope="module")
def fleet(console, sshd, remote_user):
    return Fleet(console, register(console, sshd, remote_user, 7, net="127.9.0"))


def test_one_shell_per_session_keeps_what_commands_leave(fleet, sshd):
    # On instances of its own: a connection that another test left may be shared.
    accepted = sshd.accepted
    both = fleet.open(*fleet.instances[:2])
    assert [fleet.session(pk)["state"] for pk in both] == ["ready", "ready"]
    fleet.run(both, "p=$(ps -e); f() { echo F $1; }; alias g='echo G'; cd /usr; export E=e")
    assert (
        fleet.run(both, 'f 1; g; pwd; echo $E; test -n "$p" && echo kept')
        == [("succeeded", 0, b"F 1\nG\n/usr\ne\nkept\n")] * 2
    )
    assert fleet.run(both[:1], "only=1; (exit 7)") == [("failed", 7, b"")]
    assert fleet.run(both, "echo ${only-unset}") == [("succeeded", 0, b"1\n"), ("succeeded", 0, b"unset\n")]
    assert fleet.run(both[:1], "if")[0][:2] == ("failed", 2)
    fleet.run(both[:1], "true", secrets=[("TOKEN", "k4nary-of-the-shell")])
    # The shell still has it; what is stored of a later command has not.
    assert fleet.run(both, 'echo "${TOKEN-unset} ${#TOKEN}"') == [
        ("succeeded", 0, b"*** 19\n"),
        ("succeeded", 0, b"unset 0\n"),
    ]
    assert sshd.accepted - accepted == 2
    fleet.shell(CLOSE, ids=both)
    until(lambda: all(fleet.session(pk)["state"] == "closed" for pk in both))
    assert fleet.session(both[0])["message"] == "Closed by admin."
    assert fleet.run(both, "echo late")[0][0] == "skipped"


def test_stop_ends_the_command_and_keeps_the_session(fleet, remote_user):
    (one,) = fleet.open(fleet.instances[2])
    fleet.run([one], "x=kept")
    run = fleet.send([one], "echo begun; while :; do sleep 1; done")
    until(lambda: fleet.records.invocations(run)[0]["status"] == "running")
    assert fleet.session(one)["state"] == "busy"
    waiting = fleet.send([one], "echo $x")
    fleet.visitor.stop(run)
    assert fleet.ended(run)[0]["status"] == "stopped"
    assert fleet.records.output(fleet.ended(waiting)[0]["id"]) == b"kept\n"
    # Its command has ended first.
    until(lambda: fleet.session(one)["state"] == "ready")
    left = [words_of(pid) for pid in Room(fleet.console, remote_user, [], fleet.visitor).processes(one)]
    assert left
    assert not any(b"sleep" in words for words in left)


def test_a_command_that_ends_the_shell_says_so_and_so_does_what_waits(fleet, remote_user):
    (one,) = fleet.open(fleet.instances[3])
    run = fleet.send([one], "until [ -e ~/go ]; do sleep 0.1; done; exit 9")
    waiting = fleet.send([one], "echo never")
    Path(f"~{remote_user}/go").expanduser().touch()
    (ended,) = fleet.ended(run)
    assert (ended["status"], ended["exit_status"], ended["message"]) == ("failed", 9, "It ended the session.")
    until(lambda: fleet.session(one)["state"] == "closed")
    assert fleet.session(one)["reason"] == "ended_by_command"
    (skipped,) = fleet.ended(waiting)
    assert (skipped["status"], skipped["reason"]) == ("skipped", "session_closed")
    assert "A command ended the shell of the session with exit status 9." in skipped["message"]


def test_a_worker_that_dies_breaks_its_sessions_and_says_so(fleet):
    (one,) = fleet.open(fleet.instances[4])
    os.kill(fleet.console.child("worker"), signal.SIGKILL)
    until(lambda: fleet.session(one)["state"] == "broken")
    assert fleet.session(one)["reason"] == "console_restarted"
    assert fleet.run([one], "echo x")[0][0] == "skipped"


def test_a_shell_opens_some_and_sends_to_them(fleet, remote_user):
    names = [f"{remote_user}-127.9.0-{number}" for number in (6, 7)]
    said = fleet.console.manage("session", "open", *names, "--name", "cli", "--directory", "/usr", "--wait")
    assert [line.split("\t")[1:] for line in said.splitlines()] == [[name, "Ready"] for name in names]
    ids = [line.split("\t")[0] for line in said.splitlines()]
    with pytest.raises(subprocess.CalledProcessError) as ended:
        fleet.console.manage("session", "run", ids[0], "--", "pwd;", "exit", "7")
    assert (ended.value.returncode, ended.value.stdout) == (7, "/usr\n")
    until(lambda: fleet.session(ids[0])["state"] == "closed")
    assert fleet.console.manage("session", "close", *ids) == "1 is being closed.\n"
    until(lambda: all(fleet.session(pk)["state"] == "closed" for pk in ids))
