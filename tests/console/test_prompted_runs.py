"""A password entered for one run, through a whole console and a real server that takes nothing else."""

import base64
import itertools
import os
import pty
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.console import ROOT, Console, prepared_console, running_console
from tests.support.sshd import Sshd, ordinary_user, running_sshd, set_password
from tests.support.until import WITHIN_S, until
from tests.support.visitor import Records, Visitor, contents_in

pytestmark = [pytest.mark.slow, pytest.mark.sshd]
CANARY = "canary 77b2 + entered/once"
_nets = itertools.count(1)
FORMS = [
    CANARY,
    urllib.parse.quote(CANARY),
    urllib.parse.quote_plus(CANARY),
    base64.b64encode(CANARY.encode()).decode(),
    CANARY.encode().hex(),
]
SEED = """
from console.members.models import User
from instances.engine.types import HostKey
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
for number in range(1, 4):
    one = Instance.objects.create(name=f"bare-{net}-{{number}}", address=f"127.7.{net}.{{number}}", port={port})
    row = host_keys.note_presented(one, HostKey.parse({host_key!r}))
    host_keys.trust(admin, host_keys=[row])
    print(one.pk)
"""


@pytest.fixture(scope="module")
def someone() -> Iterator[str]:
    with ordinary_user("musterprompt") as name:
        set_password(name, CANARY)
        yield name


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running_sshd(UsePAM="yes", PasswordAuthentication="yes", PubkeyAuthentication="no") as server:
        yield server


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    with running_console() as running:
        yield running


@pytest.fixture
def net() -> int:
    """What names the instances of one test."""
    return next(_nets)


@pytest.fixture
def ids(console: Console, sshd: Sshd, net: int) -> list[int]:
    return seeded(console, sshd, net)


def seeded(console: Console, sshd: Sshd, net: int) -> list[int]:
    """Three instances without a credential, whose host key is trusted."""
    script = SEED.format(port=sshd.port, host_key=sshd.host_key.line, net=net)
    return [int(word) for word in console.shell(script).split()]


def ended(records: Records, run: int) -> list[tuple[str, str]]:
    until(lambda: records.run(run)["finished_at"] is not None)
    return [(row["status"], row["reason"]) for row in records.invocations(run)]


def found_in(console: Console) -> list[str]:
    """Where the password is to be seen, in any form: the console's files, and what is known of its processes."""
    places = contents_in(console.folder)
    for pid in [console.process.pid, *console.children()]:
        for file in (Path(f"/proc/{pid}/cmdline"), Path(f"/proc/{pid}/environ")):
            with suppress(OSError):
                places[str(file)] = file.read_bytes()
    needles = [form.encode() for form in FORMS]
    return [path for path, content in places.items() if any(needle in content for needle in needles)]


def test_it_signs_in_for_this_run_alone_and_is_found_nowhere(console, sshd, someone, ids):
    visitor, records = Visitor(console), Records(console.folder)
    before = sshd.accepted
    gate = console.folder / "gate"
    console.folder.chmod(0o711)
    command = f"until [ -e {gate} ]; do sleep 0.1; done; id -un"
    run = visitor.send(command, ids, prompt_user=someone, prompt_password=CANARY, max_concurrency=2)
    until(lambda: "running" in records.statuses(run))
    # The first claim has taken the box away; what is left in the files was sealed to a key in memory.
    assert records.rows("SELECT * FROM console_promptedpassword") == []
    assert found_in(console) == []
    gate.touch()
    assert ended(records, run) == [("succeeded", "")] * 3
    assert {records.output(row["id"]) for row in records.invocations(run)} == {f"{someone}\n".encode()}
    assert sshd.accepted == before + 3
    assert CANARY not in visitor.get(f"/runs/{run}/").body.decode()
    # Another run right behind it is not lent the connections that are still open.
    again = visitor.send("true", ids)
    assert ended(records, again) == [("unreachable", "credentials_missing")] * 3
    assert found_in(console) == []


def test_a_wrong_one_is_told_and_suspends_nothing(console, sshd, someone, ids):
    visitor, records = Visitor(console), Records(console.folder)
    # As often as suspends a stored one.
    for _ in range(2):
        run = visitor.send("true", ids[:1], prompt_user=someone, prompt_password="wrong")
        assert ended(records, run) == [("unreachable", "auth_failed")]
    run = visitor.send("true", ids[:1], prompt_user=someone, prompt_password=CANARY)
    assert ended(records, run) == [("succeeded", "")]


def test_a_worker_that_dies_takes_it_along(console, sshd, someone, ids):
    visitor, records = Visitor(console), Records(console.folder)
    run = visitor.send("sleep 60", ids, prompt_user=someone, prompt_password=CANARY, max_concurrency=1)
    until(lambda: "running" in records.statuses(run))
    owner = records.rows("SELECT process_id FROM console_workerlease")[0]["process_id"]
    os.kill(owner, 9)
    first, second, third = ended(records, run)
    # Nobody can look for the first one either.
    assert first[0] == "lost"
    assert (second, third) == (("unreachable", "credentials_missing"),) * 2
    assert found_in(console) == []


def test_remembered_it_becomes_a_credential(console, sshd, someone, ids):
    visitor, records = Visitor(console), Records(console.folder)
    fields = {"prompt_user": someone, "prompt_password": CANARY, "remember": "on"}
    assert ended(records, visitor.send("true", ids, **fields)) == [("succeeded", "")] * 3
    assert ended(records, visitor.send("true", ids)) == [("succeeded", "")] * 3
    assert found_in(console) == []


def test_a_shell_asks_on_the_terminal(console, sshd, someone, ids, net):
    asked_in_a_shell(console, someone, net)


def test_a_shell_that_becomes_the_worker_asks_too(sshd, someone, net, tmp_path):
    with prepared_console(tmp_path) as console:
        seeded(console, sshd, net)
        asked_in_a_shell(console, someone, net)


def asked_in_a_shell(console: Console, someone: str, net: int) -> None:
    arguments = ["run", "--on", f"bare-{net}-1", "--on", f"bare-{net}-2", "id -un"]
    told, status = on_a_terminal(console, arguments, [("User name: ", someone), ("assword: ", CANARY)])
    assert status == 0, told
    assert told.count(someone) >= 2
    assert CANARY not in told


def on_a_terminal(console: Console, arguments: list[str], answers: list[tuple[str, str]]) -> tuple[str, int]:
    """Run manage.py on a terminal of its own, answer its questions; return what it showed and its exit status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "manage.py", *arguments], console.environment)
    told, ends_at = "", time.monotonic() + WITHIN_S
    for question, answer in [*answers, ("\0", "")]:
        asked_from = len(told)
        while question not in told[asked_from:] and time.monotonic() < ends_at:
            try:
                told += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                break
        if answer:
            os.write(terminal, f"{answer}\n".encode())
    os.close(terminal)
    return told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
