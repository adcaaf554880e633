"""The life of a command on a pretended machine: what is hard to bring about on a real one."""

import asyncio
from uuid import uuid4

import pytest

from instances.engine.errors import AuthFailed
from instances.engine.testing import Machine, Say, Scene, ScriptedConnection, ScriptedTransport
from instances.engine.transport import Connection, Process
from instances.engine.trees import tree_of
from instances.engine.types import CommandType, Ended, Outcome, Sink, Started, StopCause, Stream, Target
from tests.instances.engine.conftest import Going, has_started


async def test_a_command_runs_to_its_end(scripted) -> None:
    scene = Scene((Say(b"out"), Say(b"err", Stream.STDERR)), exit_status=3, greeting=b"Welcome!\n")
    bench, transport = scripted(scene)
    ended, going = await bench.run("echo ü")
    assert ended == Ended(Outcome.EXITED, exit_status=3)
    assert (going.stdout, going.stderr) == (b"out", b"err")
    assert going.calls == ["before_start", Started(1001, "7")]
    assert transport.machines["one"].scripts == ["echo ü".encode()]


async def test_large_output_waits_while_it_is_held_back(scripted) -> None:
    bench, _ = scripted(Scene((Say(b"x" * 65536, times=100),)))
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run("echo", going))
        await going.sink.until(b"x")
        going.sink.flow.pause()
        held = len(going.stdout)
        await asyncio.sleep(0.05)
        assert len(going.stdout) == held < 6_553_600
        going.sink.flow.resume()
    assert running.result()[0].outcome is Outcome.EXITED
    assert len(going.stdout) == 6_553_600


@pytest.mark.parametrize("verdict", ["cwd_missing", "interpreter_missing", "no_space", "incomplete"])
async def test_what_did_not_start_did_not_run(scripted, verdict: str) -> None:
    bench, transport = scripted(Scene(verdict=verdict))
    ended, going = await bench.run("echo")
    assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, verdict)
    assert "did not run" in ended.message
    assert going.calls == ["before_start"]
    assert transport.machines["one"].scripts == []


async def test_a_command_deaf_to_term_is_killed(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=None, is_deaf=True))
    ended, _ = await bench.stopped_after("sleep", has_started)
    assert (ended.outcome, ended.exit_signal) == (Outcome.STOPPED, "KILL")
    assert transport.machines["one"].signals[0] == "TERM"
    assert transport.machines["one"].living == {}


async def test_what_cannot_be_stopped_is_lost_and_named(scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instances.engine.stop.KILL_S", 0.2)
    bench, _ = scripted(Scene(ends_after_s=None, is_immortal=True))
    ended, _ = await bench.stopped_after("sleep", has_started)
    assert (ended.outcome, ended.reason, ended.survivors) == (Outcome.LOST, "stop_unconfirmed", (1001,))
    assert "1001" in ended.message


class SlowToAnswer(ScriptedConnection):
    """A machine so busy that a look takes longer than the patience after a signal."""

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        process = await super().start(exec_request, stdin=stdin, sink=sink)
        await asyncio.sleep(0.1)
        return process


@pytest.mark.parametrize("kind", [CommandType.SHELL, CommandType.BAT])
async def test_what_a_busy_machine_ended_is_looked_for_once_more(
    kind: CommandType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look tells what there was before its signal."""
    for module in ("stop", "windows_stop"):
        monkeypatch.setattr(f"instances.engine.{module}.KILL_S", 0.05)
    machine, marker = Machine(Scene(is_deaf=True)), uuid4()
    machine.spawn(None, str(marker))
    left = await tree_of(kind, marker, None).stop(SlowToAnswer(machine), grace_s=0.01)
    assert (left.is_clean, machine.living) == (True, {})


async def test_children_left_behind_are_swept_when_the_stop_comes_late(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=0.1, bystanders=3))
    going = Going()

    async def ask_at_once(*_: object) -> None:
        going.stop.request(StopCause.USER)

    async def write_down(*_: object) -> None:
        # The end comes while the stop is being written down.
        await asyncio.sleep(0.2)

    going.started, going.stopping = ask_at_once, write_down  # type: ignore[method-assign]
    ended, _ = await bench.run("x", going)
    assert (ended.outcome, ended.exit_status, ended.message) == (Outcome.EXITED, 0, "Finished before the stop.")
    assert transport.machines["one"].living == {}


async def test_a_dropped_line_is_lost_and_the_rest_is_looked_up(scripted) -> None:
    bench, transport = scripted(Scene((Say(b"begin"),), ends_after_s=None, drops_after_s=0.05))
    ended, going = await bench.run("sleep")
    assert (ended.outcome, ended.reason, ended.survivors) == (Outcome.LOST, "connection_lost", (1001,))
    assert going.stdout == b"begin"
    assert list(transport.machines["one"].living) == [1001]


async def test_a_stop_over_a_dropped_line_uses_a_new_one(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=None, drops_after_s=0.05, is_deaf=True))

    async def once_started(going: Going) -> None:
        await has_started(going)

    ended, _ = await bench.stopped_after("sleep", once_started)
    assert ended.outcome is Outcome.STOPPED
    assert transport.machines["one"].living == {}


async def test_a_refused_sign_in_is_not_repeated_to_confirm_a_stop(scripted) -> None:
    asked = []

    class Once(ScriptedTransport):
        async def connect(self, target: Target, through: Connection | None = None):
            asked.append(target)
            if len(asked) > 1:
                raise AuthFailed
            return await super().connect(target)

    bench, _ = scripted(Scene())
    transport = Once(lambda _: Scene(ends_after_s=None, drops_after_s=0.05))
    bench.pool._transport_for = lambda _: transport
    ended, _ = await bench.run("sleep")
    assert (ended.outcome, ended.reason, len(asked)) == (Outcome.LOST, "connection_lost", 2)
    assert "may still be running" in ended.message


async def test_the_time_limit_counts_from_the_start(scripted) -> None:
    bench, _ = scripted(Scene(ends_after_s=None, connect_after_s=0.2))
    ended, going = await bench.run("sleep", timeout_s=0.1)
    assert (ended.outcome, ended.exit_signal) == (Outcome.TIMED_OUT, "TERM")
    assert going.calls[-1] is StopCause.TIMEOUT


async def test_an_end_at_the_time_limit_gives_one_ending(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=0.05))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(bench.run("x", timeout_s=0.05)) for _ in range(100)]
    assert {task.result()[0].outcome for task in running} <= {Outcome.EXITED, Outcome.TIMED_OUT}
    assert transport.machines["one"].living == {}


async def test_a_stop_asked_for_while_the_start_is_written_down_sends_nothing(scripted) -> None:
    bench, transport = scripted(Scene())
    going = Going()

    async def before_start() -> None:
        going.stop.request(StopCause.USER)

    going.before_start = before_start  # type: ignore[method-assign]
    ended, _ = await bench.run("x", going)
    assert (ended.outcome, ended.reason) == (Outcome.STOPPED, "not_started")
    assert transport.machines["one"].scripts == []
