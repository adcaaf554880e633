"""Stop in kept shells, and their end, on a real sshd: judged by the machine's own view of what runs there."""

import asyncio
import os
import signal
from uuid import uuid4

import pytest

from instances.engine.kept_shell import KeptShell
from instances.engine.types import Ended, Outcome, StopCause
from tests.instances.engine.conftest import Going, Keeping
from tests.instances.engine.keeping import SHELLS, printed, run
from tests.instances.engine.test_stop import sleeps
from tests.support.sshd import marked_by

pytestmark = pytest.mark.sshd


async def stopped(shell: KeptShell, text: str) -> tuple[Ended, Going]:
    """Run it and press Stop once it says that it is ready."""
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(shell, text, going))
        await going.sink.until(b"ready\n")
        going.stop.request(StopCause.USER)
    return running.result()


DEAF = "trap '' INT TERM; "
SHAPES = {
    "plain": "echo ready; sleep 600",
    "loop": "echo ready; while :; do sleep 1; done",
    "child": f'echo ready; sh -c "{DEAF}while :; do sleep 1; done"',
    "fork": f"echo ready; ({DEAF}while :; do sleep 600; done)",
    "daemon": "setsid sleep 600 & (while :; do sleep 600; done) & echo ready; wait",
}


@pytest.mark.parametrize("name", SHELLS)
async def test_stop_leaves_nothing_of_a_command_and_keeps_the_session(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    _, former = await run(shell, "kept=yes; sleep 601 & (sleep 602; true) & echo $!")
    for shape, text in SHAPES.items():
        ended, going = await stopped(shell, text)
        assert (shape, ended.outcome, ended.message) == (
            shape,
            Outcome.STOPPED,
            "Stopped; nothing of it is left running. The session goes on.",
        )
        assert marked_by("MUSTER_INVOCATION", str(going.marker)) == []
        assert going.calls[-1] is StopCause.USER
    assert await printed(shell, "echo $kept") == "yes\n"
    assert len(marked_by("MUSTER_INVOCATION", str(former.marker))) == 2


async def test_a_process_with_a_line_end_in_its_name_is_stopped(keeping: Keeping) -> None:
    shell = await keeping.open()
    named = f"printf 'a\\nb) S 1' >/proc/$$/comm; {DEAF}echo ready; while :; do sleep 300; done"
    ended, going = await stopped(shell, f"sh <<'END'\n{named}\nEND")
    assert (ended.outcome, shell.is_open) == (Outcome.STOPPED, True)
    assert marked_by("MUSTER_INVOCATION", str(going.marker)) == []


@pytest.mark.parametrize("name", ["bash", "dash"])
async def test_a_shell_that_is_itself_at_work_is_interrupted(keeping: Keeping, name: str) -> None:
    # ash may hang when it is interrupted in the middle of malloc (busybox leaves a signal handler by longjmp).
    shell = await keeping.open(SHELLS[name])
    ended, _ = await stopped(shell, "echo ready; while :; do :; done")
    assert (ended.outcome, ended.exit_status, shell.is_open) == (Outcome.STOPPED, 130, True)


@pytest.mark.parametrize("loop", [":", "sleep 1"], ids=["alone", "with new children"])
async def test_a_shell_that_does_not_come_back_is_ended_too(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr("instances.engine.kept_command.BACK_S", 0.3)
    monkeypatch.setattr("instances.engine.kept_command.KILL_S", 0.3)
    shell = await keeping.open()
    await run(shell, "sleep 601 &")
    ended, going = await stopped(shell, f"trap '' INT TERM; echo ready; while :; do {loop}; done")
    assert ended.outcome is Outcome.STOPPED
    assert "so the session was closed" in ended.message
    assert (shell.is_open, shell.reason) == (False, "stop_needed_it")
    assert keeping.left() == marked_by("MUSTER_INVOCATION", str(going.marker)) == []


async def test_a_shell_that_goes_on_starting_children_is_not_said_to_live_after_its_end(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instances.engine.kept_command.BACK_S", 0.3)
    monkeypatch.setattr("instances.engine.kept_command.KILL_S", 0.3)
    shell = await keeping.open()
    # What it starts elsewhere cannot be told by its marker, nor by its session.
    own = str(uuid4())
    elsewhere = f"env -i OWN={own} setsid /bin/sleep 600 & echo ready"
    ended, going = await stopped(shell, f"trap '' INT TERM; {elsewhere}; while :; do sleep 1; done")
    assert (ended.outcome, ended.survivors) == (Outcome.STOPPED, ())
    assert ended.message.startswith("Stopped; nothing of it is left running. The shell did not come back")
    assert keeping.left() == marked_by("MUSTER_INVOCATION", str(going.marker)) == []
    assert marked_by("OWN", own) == []


async def test_the_time_limit_stops_as_well(keeping: Keeping) -> None:
    shell = await keeping.open()
    ended, going = await run(shell, "sleep 600; echo on", timeout_s=0.2)
    assert (ended.outcome, going.stdout, shell.is_open) == (Outcome.TIMED_OUT, b"", True)
    assert going.calls[-1] is StopCause.TIMEOUT
    assert "time limit" in ended.message


async def test_a_stop_reaches_a_command_whose_output_is_held_back(keeping: Keeping) -> None:
    shell = await keeping.open()
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(shell, "yes", going))
        await going.sink.until(b"y\n")
        assert going.sink.flow is not None
        going.sink.flow.pause()
        going.stop.request()
        asyncio.get_running_loop().call_later(0.5, going.sink.flow.resume)
    assert (running.result()[0].outcome, shell.is_open) == (Outcome.STOPPED, True)
    assert await printed(shell, "echo on") == "on\n"


async def test_a_stop_before_the_start_sends_nothing(keeping: Keeping) -> None:
    shell = await keeping.open()
    going = Going()
    going.stop.request()
    ended, _ = await run(shell, "echo sent", going)
    assert (ended.outcome, ended.reason, going.calls, going.stdout) == (Outcome.STOPPED, "not_started", [], b"")


async def test_a_lost_line_is_lost_and_says_what_still_runs(keeping: Keeping) -> None:
    shell = await keeping.open()
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(shell, "echo ready; sleep 600", going))
        await sleeps(going, 1)
        keeping.connection.close()
    ended, _ = running.result()
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "connection_lost")
    assert set(marked_by("MUSTER_INVOCATION", str(going.marker))) < set(ended.survivors)
    assert "It still ran" in ended.message
    assert ended.message.endswith("and is ended with its session.")
    assert (shell.is_open, shell.reason) == (False, "connection_lost")
    await asyncio.wait_for(shell.wait_closed(), 60)
    assert (await shell.close()).is_clean
    assert keeping.left() == []


async def test_a_shell_ended_from_outside_is_noticed(keeping: Keeping) -> None:
    shell = await keeping.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.wait_for(shell.wait_closed(), 60))
        os.kill(shell.started.pid, signal.SIGKILL)
    assert (shell.is_open, shell.reason) == (False, "ended_on_instance")
    assert "by signal KILL" in shell.why_closed


async def test_closing_ends_the_shell_and_what_runs_in_it(keeping: Keeping) -> None:
    shell = await keeping.open()
    _, former = await run(shell, "sleep 601 & (sleep 602; true) &")
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(shell, "echo ready; sleep 600", going))
        await going.sink.until(b"ready\n")
        left = await shell.close("It is too old.")
    assert left.is_clean
    ended, _ = running.result()
    assert (ended.outcome, ended.reason) == (Outcome.STOPPED, "session_closed")
    assert ended.message == "Stopped with its session; nothing of it is left running. It is too old."
    assert keeping.left() == marked_by("MUSTER_INVOCATION", str(former.marker)) == []
    assert (shell.is_open, shell.reason, shell.why_closed) == (False, "session_closed", "The session was closed.")
    await shell.wait_closed()
