"""Dry runs: real sshd and sudo, and a server that writes down everything it is sent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from instances.engine.shells import deliver
from instances.engine.types import Command, CommandType, Outcome, StopCause
from tests.instances.engine.conftest import Bench, Going
from tests.support.sshd import Sshd, ordinary_user, running_sshd
from tests.support.sudoers import sudoers

pytestmark = pytest.mark.sshd
CANARY = "k4nary-of-a-dry-run"


@pytest.fixture(scope="module")
def login() -> Iterator[str]:
    with ordinary_user("mustdry") as name:
        yield name


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[Sshd, Path]]:
    """A server that keeps each command line and each byte of stdin in a file."""
    with running_sshd(ForceCommand="none") as server:
        server.stop()
        heard, tap = server.folder / "heard", server.folder / "tap.sh"
        heard.touch()
        heard.chmod(0o666)
        tap.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$SSH_ORIGINAL_COMMAND" >>{heard}\n'
            f'tee -a {heard} | /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        tap.chmod(0o755)
        server._options["ForceCommand"] = str(tap)
        server.start()
        yield server, heard


def close_home(name: str) -> None:
    Path(f"/home/{name}").chmod(0o700)


def exists(path: str) -> bool:
    return Path(path).exists()


def secret_command(**fields: object) -> dict[str, object]:
    return {"arguments": (f"{CANARY}-argument",), "environment": (("NAME", f"{CANARY}-variable"),), **fields}


@pytest.mark.parametrize("interpreter", ["", "bash -x", "python3", "/usr/bin/env python3"])
async def test_where_all_is_in_place_nothing_of_the_command_arrives(
    listening: tuple[Sshd, Path], login: str, bench_for: Callable[..., Bench], tmp_path: Path, interpreter: str
) -> None:
    server, heard = listening
    proof = f"/tmp/muster-ran-{uuid4()}"
    before = len(heard.read_bytes())
    bench = bench_for(server.target(user=login))
    fields = secret_command(interpreter=interpreter, working_directory="/tmp", run_as=login, is_dry_run=True)
    ended, going = await bench.run(f"touch {proof}; echo {CANARY}", **fields)
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 0)
    assert "Nothing was executed" in ended.message
    # It never counts as started: a worker that dies may simply do it again.
    assert (going.calls, going.stdout, going.stderr) == ([], b"", b"")
    assert not exists(proof)
    said = heard.read_bytes()[before:]
    assert b"MUSTER_INVOCATION" in said
    assert CANARY.encode() not in said
    assert b"touch" not in said
    # The same server hears a real run, so it would have heard this one.
    await bench.run(f"echo {CANARY}")
    assert CANARY.encode() in heard.read_bytes()[before:]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"interpreter": "nothing-like-it"}, "interpreter_missing"),
        ({"text": "#!/usr/bin/nothing-like-it\n"}, "interpreter_missing"),
        ({"working_directory": "/nowhere"}, "cwd_missing"),
        ({"working_directory": "/root"}, "cwd_missing"),
        ({"run_as": "nobody-of-that-name"}, "run_as_user_missing"),
        ({"run_as": "root"}, "run_as_denied"),
    ],
    ids=["interpreter", "first-line", "directory", "forbidden-directory", "no-such-user", "refused-user"],
)
async def test_what_is_missing_is_told_as_in_a_real_run(
    sshd: Sshd, login: str, bench_for: Callable[..., Bench], fields: dict[str, str], reason: str
) -> None:
    proof = f"/tmp/muster-ran-{uuid4()}"
    given = {**secret_command(is_dry_run=True), **fields}
    text = f"{given.pop('text', '')}touch {proof}"
    ended, _ = await bench_for(sshd.target(user=login)).run(text, **given)
    assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, reason)
    assert not exists(proof)


async def test_another_user_s_directory_and_interpreter_are_looked_for_as_that_user(
    sshd: Sshd, login: str, bench_for: Callable[..., Bench]
) -> None:
    bench = bench_for(sshd.target(user=login))
    with ordinary_user("mustdryas") as other, sudoers(f"{login} ALL=({other}) NOPASSWD: /bin/sh"):
        close_home(other)
        ready, _ = await bench.run(CANARY, run_as=other, working_directory=f"/home/{other}", is_dry_run=True)
        assert (ready.outcome, ready.exit_status) == (Outcome.EXITED, 0)
        refused, _ = await bench.run(CANARY, working_directory=f"/home/{other}", is_dry_run=True)
        assert refused.reason == "cwd_missing"


async def test_a_stop_ends_it_before_it_began(sshd: Sshd, login: str, bench_for: Callable[..., Bench]) -> None:
    going = Going()
    going.stop.request(StopCause.USER)
    ended, _ = await bench_for(sshd.target(user=login)).run(CANARY, going, is_dry_run=True)
    assert (ended.outcome, ended.reason) == (Outcome.STOPPED, "not_started")


@pytest.mark.parametrize("kind", list(CommandType))
def test_neither_family_is_sent_the_command(kind: CommandType) -> None:
    """There is no Windows here: what would be sent is looked at."""
    command = Command(CANARY, uuid4(), command_type=kind, is_dry_run=True)
    delivery = deliver(command)
    assert CANARY.encode() not in delivery.opening + delivery.exec_request.encode()
    assert CANARY.encode() in deliver(Command(CANARY, uuid4(), command_type=kind)).opening
