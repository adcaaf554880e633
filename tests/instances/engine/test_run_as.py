"""Commands as another user: real sshd, real sudo, judged by the machine's own view of what runs there."""

import asyncio
import os
import pwd
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from instances.engine.stop import look, stop_tree
from instances.engine.types import Outcome, StopCause
from tests.instances.engine.conftest import Bench, Going
from tests.instances.engine.test_stop import SHAPES, is_ready, left_of, sleeps
from tests.support.sshd import Sshd, ordinary_user, running_sshd
from tests.support.sudoers import Sudoers, sudoers
from tests.support.until import until, wait_until

pytestmark = pytest.mark.sshd
SECRET = "k4nary-in-the-c0al-mine"


@dataclass
class People:
    """Who signs in, and as whom commands run."""

    login: str
    other: str
    rights: Sudoers


@pytest.fixture(scope="module")
def accounts() -> Iterator[tuple[str, str]]:
    with ordinary_user("mustlogin") as login, ordinary_user("mustother") as other:
        yield login, other


@pytest.fixture
def people(accounts: tuple[str, str]) -> Iterator[People]:
    login, other = accounts
    with sudoers(f"{login} ALL=({other}) NOPASSWD: /bin/sh") as rights:
        yield People(login, other, rights)


@pytest.fixture
def bench(sshd: Sshd, people: People, bench_for: Callable[..., Bench]) -> Bench:
    return bench_for(sshd.target(user=people.login))


async def test_it_runs_as_the_other_user_at_home(bench: Bench, people: People) -> None:
    script = 'id -un; pwd; echo "$HOME"; echo "$1|$A"; tr "\\0" "\\n" </proc/$$/environ | grep -c MUSTER_INV; exit 7'
    for interpreter in ("", "bash", "/bin/sh -e"):
        ended, going = await bench.run(
            script, run_as=people.other, arguments=("x y",), environment=(("A", "é\n"),), interpreter=interpreter
        )
        home = f"/home/{people.other}"
        assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 7)
        assert going.stdout.decode() == f"{people.other}\n{home}\n{home}\nx y|é\n\n1\n"
        assert going.stderr == b""


async def test_a_file_of_the_other_user_is_gone_afterwards(bench: Bench, people: People) -> None:
    script = '#!/usr/bin/env python3\nimport os, sys\nprint(sys.argv[0], os.getuid(), os.environ["A"], sys.argv[1:])'
    ended, going = await bench.run(script, run_as=people.other, arguments=("a\nb",), environment=(("A", "1"),))
    path, uid, rest = going.stdout.decode().split(" ", 2)
    assert (ended.exit_status, rest) == (0, "1 ['a\\nb']\n")
    assert int(uid) == pwd.getpwnam(people.other).pw_uid
    assert not exists(path.removesuffix("/script"))


@pytest.mark.parametrize("login", ["login", "root"])
async def test_a_user_may_be_the_one_who_signed_in(
    sshd: Sshd, people: People, bench_for: Callable[..., Bench], login: str
) -> None:
    """Then sudo is not asked at all."""
    name = people.login if login == "login" else "root"
    people.rights.remove()
    ended, going = await bench_for(sshd.target(user=name)).run("id -un", run_as=name)
    assert (ended.exit_status, going.stdout.decode()) == (0, f"{name}\n")


# ------------------------------------------------------------------ what keeps it from running


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({"run_as": "nobody-of-that-name"}, "run_as_user_missing", "does not exist"),
        ({"run_as": "root"}, "run_as_denied", "sudo"),
        ({"working_directory": "/nowhere"}, "cwd_missing", "working directory"),
        ({"working_directory": "/root"}, "cwd_missing", "working directory"),
        ({"interpreter": "nothing-like-it"}, "interpreter_missing", "interpreter"),
    ],
)
async def test_each_reason_is_told_apart_and_nothing_ran(
    bench: Bench, people: People, fields: dict[str, str], reason: str, says: str
) -> None:
    proof = f"/tmp/muster-ran-{uuid4()}"
    ended, going = await bench.run(f"touch {proof}; echo ran", **({"run_as": people.other} | fields))
    assert (ended.outcome, ended.reason, going.stdout) == (Outcome.NOT_STARTED, reason, b"")
    assert says in ended.message
    assert "did not run" in ended.message
    assert not exists(proof)


async def test_sudo_that_wants_a_password_is_a_refusal_with_its_own_words(bench: Bench, people: People) -> None:
    people.rights.write(f"{people.login} ALL=({people.other}) ALL")
    ended, _ = await bench.run("echo ran", run_as=people.other)
    assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, "run_as_denied")
    assert "a password is required" in ended.message


async def test_a_machine_without_sudo_says_so(bench: Bench, people: People, without_sudo: None) -> None:
    ended, _ = await bench.run("echo ran", run_as=people.other)
    assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, "sudo_missing")


@pytest.fixture
def without_sudo(people: People) -> Iterator[None]:
    """Give the login a PATH with the few programs it needs."""
    home = Path(f"/home/{people.login}")
    tools, profile = home / "few", home / ".bashrc"
    tools.mkdir()
    for name in ("id", "sh", "cat"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    profile.write_text(f"export PATH={tools}\n")
    yield
    profile.unlink()


# ------------------------------------------------------------------ stop


@pytest.mark.slow
async def test_stop_leaves_nothing_of_any_shape(bench: Bench, people: People) -> None:
    async with asyncio.TaskGroup() as group:
        stopped = {
            name: group.create_task(bench.stopped_after(text, is_ready, run_as=people.other))
            for name, text in SHAPES.items()
            if name != "frozen"
        }
    for name, task in stopped.items():
        ended, going = task.result()
        assert (name, ended.outcome, left_of(going)) == (name, Outcome.STOPPED, [])
        assert "nothing of it is left" in ended.message
    await wait_until(lambda: not owned_by(people.other))


async def has_frozen_sudo(going: Going) -> None:
    """The command stops itself at once, sudo only when it is told so: a Stop between the two finds nothing odd."""
    await is_ready(going)
    await asyncio.to_thread(until, lambda: any(is_sudo(pid) and is_frozen(pid) for pid in left_of(going)), 60)


def is_sudo(pid: int) -> bool:
    return command_lines().get(pid, b"").startswith(b"sudo\0")


def is_frozen(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@pytest.mark.slow
async def test_a_sudo_that_froze_with_its_command_is_named(bench: Bench, people: People) -> None:
    """sudo stops itself with a command that was stopped, and then only root can wake it."""
    bench.grace_s = 0.2
    ended, going = await bench.stopped_after(SHAPES["frozen"], has_frozen_sudo, run_as=people.other)
    left = left_of(going)
    assert (ended.outcome, ended.reason, list(ended.survivors)) == (Outcome.LOST, "stop_unconfirmed", left)
    assert [command_lines()[pid][:4] for pid in left] == [b"sudo"]
    assert f"process {left[0]}" in ended.message
    os.kill(left[0], signal.SIGCONT)
    await wait_until(lambda: not left_of(going))


async def test_a_trap_of_the_other_user_may_tidy_up(bench: Bench, people: People) -> None:
    bench.grace_s = 60.0
    script = "trap 'echo tidy; exit 9' TERM; echo ready; sleep 300 & wait"
    ended, going = await bench.stopped_after(script, is_ready, run_as=people.other)
    assert (ended.outcome, ended.exit_status) == (Outcome.STOPPED, 9)
    assert b"tidy\n" in going.stdout


@pytest.mark.slow
async def test_root_sees_and_stops_what_runs_as_another(
    sshd: Sshd, people: People, bench_for: Callable[..., Bench]
) -> None:
    bench = bench_for(sshd.target())
    for name in ("daemon", "deaf"):
        ended, going = await bench.stopped_after(SHAPES[name], is_ready, run_as=people.other)
        assert (ended.outcome, left_of(going)) == (Outcome.STOPPED, [])
    await wait_until(lambda: not owned_by(people.other))


@pytest.mark.slow
async def test_the_time_limit_is_a_stop_too(bench: Bench, people: People) -> None:
    ended, going = await bench.run(SHAPES["daemon"], run_as=people.other, timeout_s=1.0)
    assert (ended.outcome, left_of(going)) == (Outcome.TIMED_OUT, [])


@pytest.mark.slow
async def test_a_stop_that_sudo_refuses_is_never_called_stopped(
    bench: Bench, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right is taken back while it runs: what is seen is named, and the truth is that nobody knows."""
    monkeypatch.setattr("instances.engine.stop.KILL_S", 0.5)

    async def taken_back(going: Going) -> None:
        await is_ready(going)
        people.rights.remove()

    # The shell dies of the TERM that sudo passes on, maybe before it came to the sleep after "ready".
    ended, going = await bench.stopped_after(f"sleep 300 & {SHAPES['daemon']}", taken_back, run_as=people.other)
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "stop_unconfirmed")
    assert f"sudo refused to stop it as {people.other}" in ended.message
    left = left_of(going)
    assert len(left) > 1
    assert set(ended.survivors) & set(left)
    people.rights.write(f"{people.login} ALL=({people.other}) NOPASSWD: ALL")
    started = going.began
    async with bench.pool.borrow(bench.target, for_stop=True) as connection:
        assert (await stop_tree(connection, None, going.marker, started, run_as=people.other)).is_clean
    assert left_of(going) == []


async def test_a_stop_that_sudo_refuses_claims_nothing_when_nothing_can_be_seen(bench: Bench, people: People) -> None:
    """The shell is gone and what it left is in no session of its: without the right that looks like a clean machine."""

    async def taken_back(going: Going) -> None:
        await is_ready(going)
        people.rights.remove()

    script = "setsid sh -c 'echo ready; exec sleep 300 >/dev/null 2>&1' </dev/null & wait"
    ended, going = await bench.stopped_after(script, taken_back, run_as=people.other)
    assert (ended.outcome, ended.reason, ended.survivors) == (Outcome.LOST, "stop_unconfirmed", ())
    assert f"It may still be running: sudo refused to stop it as {people.other}" in ended.message
    assert len(left_of(going)) == 1
    people.rights.write(f"{people.login} ALL=({people.other}) NOPASSWD: ALL")
    started = going.began
    async with bench.pool.borrow(bench.target, for_stop=True) as connection:
        assert (await stop_tree(connection, None, going.marker, started, run_as=people.other)).is_clean
    assert left_of(going) == []


async def test_a_look_without_the_right_proves_nothing(bench: Bench, people: People) -> None:
    _, going = await bench.run("setsid sleep 300 </dev/null >/dev/null 2>&1 & exit 0", run_as=people.other)
    started = going.began
    await sleeps(going, 1)
    async with bench.pool.borrow(bench.target, for_stop=True) as connection:
        people.rights.remove()
        blind = await look(connection, going.marker, started, run_as=people.other)
        assert (blind.is_blind, blind.is_verified, blind.is_clean) == (True, False, False)
        people.rights.write(f"{people.login} ALL=({people.other}) NOPASSWD: ALL")
        assert list((await look(connection, going.marker, started, run_as=people.other)).pids) == left_of(going)
        assert (await stop_tree(connection, None, going.marker, started, run_as=people.other)).is_clean
    assert left_of(going) == []


# ------------------------------------------------------------------ what others on the machine can see


async def test_no_command_line_holds_the_script_or_a_value_while_it_runs(bench: Bench, people: People) -> None:
    script = f"echo ready; sleep 300 # {SECRET}"
    going = Going()
    async with asyncio.TaskGroup() as group:
        fields = {"run_as": people.other, "environment": (("TOKEN", SECRET),), "arguments": (SECRET,)}
        task = group.create_task(bench.run(script, going, **fields))
        await is_ready(going)
        holders = await asyncio.to_thread(holders_of, SECRET)
        lines = command_lines()
        assert any(line.startswith(b"sudo\0-n") for line in lines.values())
        assert [line for line in lines.values() if SECRET.encode() in line] == []
        assert holders <= set(owned_by(people.other))
        going.stop.request(StopCause.USER)
    assert task.result()[0].outcome is Outcome.STOPPED


def holders_of(secret: str) -> set[int]:
    """The processes whose environment holds the secret, once there is one: the script has only just begun."""
    return until(lambda: {pid for pid in command_lines() if secret.encode() in environment_of(pid)}, 60)


def exists(path: str) -> bool:
    return Path(path).exists()


def command_lines() -> dict[int, bytes]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def owned_by(user: str) -> list[int]:
    uid = pwd.getpwnam(user).pw_uid
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if folder.stat().st_uid == uid and state not in "ZX":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


# ------------------------------------------------------------------ what is left on disk


@pytest.mark.slow
@pytest.mark.parametrize("who", ["login", "other"])
async def test_a_script_takes_its_file_away_when_the_connection_was_cut(
    people: People, bench_for: Callable[..., Bench], who: str
) -> None:
    with running_sshd() as server:
        bench = bench_for(server.target(user=people.login))
        going = Going()
        may_end = server.folder / "may-end"
        script = f"#!/bin/bash\necho ready; until [ -e {may_end} ] || [ $SECONDS -gt 300 ]; do sleep 0.1; done"
        async with asyncio.TaskGroup() as group:
            run_as = people.other if who == "other" else ""
            task = group.create_task(bench.run(script, going, run_as=run_as))
            await is_ready(going)
            folder = f"/tmp/muster.{going.marker}"
            assert exists(folder)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        assert (task.result()[0].outcome, task.result()[0].reason) == (Outcome.LOST, "connection_lost")
        assert exists(folder)
        await asyncio.to_thread(may_end.touch)
        await wait_until(lambda: not exists(folder))
        await bench.pool.close()
