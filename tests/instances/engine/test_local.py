import os
from collections.abc import Callable
from pathlib import Path

import pytest

from instances.engine.check import check
from instances.engine.errors import ConnectionLost
from instances.engine.local import LocalTransport
from instances.engine.transport import ask
from instances.engine.types import Target
from tests.instances.engine.conftest import Bench, Recorder

HERE = Target("local", "here", "localhost", 0, None, (), is_local=True)


async def test_the_consoles_own_environment_stays_here(
    bench_for: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_ADMIN_PASSWORD", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    _, going = await bench_for(HERE).run("env")
    assert b"secret" not in going.stdout
    assert b"HOME=" in going.stdout


async def test_a_command_has_a_session_of_its_own(bench_for: Callable[..., Bench]) -> None:
    _, going = await bench_for(HERE).run("echo $$; ps -o sid= -o pgid= -p $$")
    assert len(set(going.stdout.split())) == 1


async def test_check_works_without_ssh() -> None:
    facts = await check(await LocalTransport().connect(HERE))
    assert (facts.banner, bool(facts.os), bool(facts.user)) == ("local", True, True)


async def test_a_closed_connection_starts_nothing() -> None:
    connection = await LocalTransport().connect(HERE)
    connection.close()
    with pytest.raises(ConnectionLost) as raised:
        await connection.start("true", stdin=b"", sink=Recorder())
    assert not raised.value.is_sent


async def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    connection = await LocalTransport().connect(HERE)
    with pytest.raises(ConnectionLost):
        # Until somebody writes.
        await ask(connection, f"exec cat {pipe}", timeout_s=0.1)
    await ask(connection, f"echo now >{pipe}; sleep 0.1", timeout_s=60)
