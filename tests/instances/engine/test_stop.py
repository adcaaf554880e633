"""Stop on real machines, judged by the machine's own view of what runs there."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from instances.engine.execute import execute
from instances.engine.ssh import SSHTransport
from instances.engine.stop import _TABLE, Row, Snapshot, Tree, look, stop_tree
from instances.engine.transport import ask
from instances.engine.types import Command, Outcome, Started, StopCause, StopSignal
from tests.instances.engine.conftest import Bench, Going
from tests.support.sshd import Sshd, marked_by
from tests.support.until import wait_until

SHAPES = {
    "plain": "echo ready; sleep 300",
    "children": "sleep 300 & sh -c 'sleep 300 & sleep 300' & echo ready; wait",
    "daemon": "setsid sh -c 'sleep 300; true' </dev/null >/dev/null 2>&1 & echo ready; sleep 300",
    "file": "#!/bin/bash\nsleep 300 & echo ready; wait",
    "deaf": "trap '' TERM INT HUP; sleep 300 & setsid sleep 300 & echo ready; sleep 300",
    "frozen": "echo ready; kill -s STOP $$",
}


async def is_ready(going: Going) -> None:
    await going.sink.until(b"ready\n")


async def sleeps(going: Going, count: int) -> None:
    """Wait until so many of its processes live, a sleep among them, which a shell starts after it said "ready"."""
    await wait_until(lambda: len(pids := left_of(going)) == count and any(map(is_sleep, pids)))


def is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False


def left_of(going: Going) -> list[int]:
    return marked_by("MUSTER_INVOCATION", str(going.marker))


@pytest.mark.slow
async def test_stop_leaves_nothing_of_any_shape_and_spares_the_neighbour(bench: Bench) -> None:
    neighbour = Going()
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(bench.run("echo ready; sleep 300", neighbour))
        await sleeps(neighbour, 2)
        stopped = {name: group.create_task(bench.stopped_after(text, is_ready)) for name, text in SHAPES.items()}
        await asyncio.wait(stopped.values())
        assert len(left_of(neighbour)) == 2
        neighbour.stop.request(StopCause.USER)
    for name, task in stopped.items():
        ended, going = task.result()
        assert (name, ended.outcome, left_of(going)) == (name, Outcome.STOPPED, [])
        assert "nothing of it is left" in ended.message
    assert beside.result()[0].outcome is Outcome.STOPPED
    assert left_of(neighbour) == []


async def test_an_obedient_command_is_not_given_the_time_to_tidy_up(bench: Bench) -> None:
    bench.grace_s = 600.0
    began_at = monotonic()
    ended, going = await bench.stopped_after("echo ready; sleep 300", is_ready)
    assert (ended.outcome, ended.exit_signal) == (Outcome.STOPPED, "TERM")
    assert going.calls[-1] is StopCause.USER
    # A tenth of a second where nothing else runs.
    assert monotonic() - began_at < 300


async def test_a_command_that_cleans_up_on_term_is_stopped_with_its_own_status(bench: Bench) -> None:
    bench.grace_s = 60.0
    script = "trap 'echo tidy; exit 9' TERM; echo ready; sleep 300 & wait"
    ended, going = await bench.stopped_after(script, is_ready)
    assert (ended.outcome, ended.exit_status) == (Outcome.STOPPED, 9)
    assert b"tidy\n" in going.stdout


async def test_asking_twice_and_for_another_cause_changes_nothing(bench: Bench) -> None:
    async def ask_often(going: Going) -> None:
        await is_ready(going)
        going.stop.request(StopCause.USER)
        going.stop.request(StopCause.OUTPUT_CAP)

    ended, going = await bench.stopped_after("echo ready; sleep 300", ask_often)
    assert (ended.outcome, ended.reason) == (Outcome.STOPPED, "")
    assert [call for call in going.calls if isinstance(call, StopCause)] == [StopCause.USER]


@pytest.mark.parametrize(("cause", "reason"), [("shutdown", "console_shutdown"), ("output_cap", "output_cap")])
async def test_other_causes_are_named(bench: Bench, cause: str, reason: str) -> None:
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run("echo ready; sleep 300", going))
        await is_ready(going)
        going.stop.request(StopCause(cause))
    assert (running.result()[0].outcome, running.result()[0].reason) == (Outcome.STOPPED, reason)


async def test_children_of_a_command_that_finished_first_are_swept_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instances.engine.execute.DRAIN_S", 0.2)

    async def after_the_end(going: Going) -> None:
        await is_ready(going)
        # The child holds the output open, so the end is known while the output is still waited for; as long as it is
        # held back here, for ever.
        flow = going.sink.flow
        assert flow is not None
        flow.pause()
        os.kill(going.began.pid, signal.SIGUSR1)
        await sleeps(going, 1)
        async with bench.pool.borrow(bench.target, for_stop=True) as connection:
            # Nothing overtakes the news of the end on the same connection.
            await ask(connection, "exec true", timeout_s=60)
        asyncio.get_running_loop().call_soon(flow.resume)

    # It ends only once its output is held back.
    script = "trap 'exit 4' USR1; sleep 300 & echo ready; wait"
    ended, going = await bench.stopped_after(script, after_the_end)
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 4)
    assert ended.message == "Finished before the stop."
    assert left_of(going) == []


async def test_what_a_former_worker_left_can_be_seen_and_stopped(bench: Bench) -> None:
    """Stop what is left: only the marker and the pid are known."""
    script = "setsid sleep 300 </dev/null >/dev/null 2>&1 & exit 0"
    _, going = await bench.run(script)
    started = going.began
    async with bench.pool.borrow(bench.target, for_stop=True) as connection:
        await sleeps(going, 1)
        seen = await look(connection, going.marker, started)
        assert list(seen.pids) == left_of(going)
        assert len(seen.pids) == 1
        assert (await look(connection, uuid4(), None)).is_clean
        assert (await stop_tree(connection, None, going.marker, started)).is_clean
    assert left_of(going) == []


async def test_a_child_without_the_marker_is_found_by_its_session(bench: Bench) -> None:
    async def has_wiped_it(going: Going) -> None:
        await is_ready(going)
        await wait_until(lambda: len(left_of(going)) == 1)

    ended, going = await bench.stopped_after("env -i sleep 301 & echo ready; wait", has_wiped_it)
    assert ended.outcome is Outcome.STOPPED
    started = going.began
    _, after = await bench.run(f"ps -o stat= -s {started.pid} | grep -v Z")
    assert after.stdout == b""


async def test_a_stop_at_the_very_end_gives_one_true_ending(bench: Bench) -> None:
    async def soon(going: Going) -> None:
        await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(bench.stopped_after("sleep 0.1; exit 5", soon)) for _ in range(8)]
    for task in running:
        ended, going = task.result()
        assert ended.outcome in (Outcome.STOPPED, Outcome.EXITED)
        assert ended.outcome is not Outcome.EXITED or ended.exit_status == 5
        assert left_of(going) == []


@pytest.mark.sshd
async def test_stop_works_over_a_new_connection_when_the_first_is_gone(sshd: Sshd, bench_for) -> None:
    bench = bench_for(sshd.target(77))
    going = Going()
    command = Command("echo ready; sleep 300", going.marker)

    async def cut(cause: StopCause) -> None:
        connection.close()

    connection = await SSHTransport().connect(bench.target)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            execute(
                connection,
                command,
                sink=going.sink,
                before_start=going.before_start,
                started=going.started,
                stopping=cut,
                stop=going.stop,
                reconnect=lambda: bench.pool.borrow(bench.target, for_stop=True),
            )
        )
        await is_ready(going)
        going.stop.request(StopCause.USER)
    assert running.result().outcome is Outcome.STOPPED
    assert left_of(going) == []


@pytest.mark.sshd
async def test_a_lost_line_is_lost_and_says_what_still_runs(sshd: Sshd, bench_for) -> None:
    bench = bench_for(sshd.target(78))
    going = Going()
    connection = await SSHTransport().connect(bench.target)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            execute(
                connection,
                Command("echo ready; sleep 300", going.marker),
                sink=going.sink,
                before_start=going.before_start,
                started=going.started,
                stopping=going.stopping,
                stop=StopSignal(),
                reconnect=lambda: bench.pool.borrow(bench.target, for_stop=True),
            )
        )
        await sleeps(going, 2)
        connection.close()
    ended = running.result()
    assert (ended.outcome, ended.reason) == (Outcome.LOST, "connection_lost")
    assert sorted(ended.survivors) == sorted(left_of(going))
    assert "still runs" in ended.message
    async with bench.pool.borrow(bench.target) as connection:
        assert (await stop_tree(connection, None, going.marker, None)).is_clean


def rows(*described: str) -> Snapshot:
    """Each: pid state parent session start."""
    found = {}
    for text in described:
        pid, state, parent, session, start = text.split()
        found[int(pid)] = Row(int(pid), state, int(parent), int(session), int(session), start)
    return Snapshot(found, frozenset())


def test_a_pid_that_was_used_again_is_not_ours() -> None:
    tree = Tree(uuid4(), Started(50, "7"))
    assert tree.living(rows("1 S 0 1 1", "50 S 1 50 7", "51 S 50 50 8")) == {50: "7", 51: "8"}
    tree = Tree(uuid4(), Started(50, "7"))
    assert tree.living(rows("1 S 0 1 1", "50 S 1 50 99", "51 S 50 50 100")) == {}


def test_a_dead_leaders_session_and_descendants_in_other_sessions_are_ours() -> None:
    tree = Tree(uuid4(), Started(50, "7"))
    snapshot = rows("1 S 0 1 1", "51 S 1 50 8", "60 S 51 60 9", "61 Z 60 60 9", "70 S 1 70 9")
    assert tree.living(snapshot) == {51: "8", 60: "9"}


def table(stats: str, session: int = 0, wanted: str = "0") -> set[int]:
    """What the machine's side prints of these lines of /proc/*/stat: the pids."""
    words = ["awk", "-v", f"session={session}", "-v", f"wanted={wanted}", _TABLE]
    said = subprocess.run(words, input=stats.encode("latin-1"), capture_output=True, check=True).stdout.decode()
    found = Snapshot.read(said + "marked\nend").rows
    assert all(row.start == "900" for row in found.values())
    return set(found)


def stat(pid: int, name: str, parent: int, session: int) -> str:
    rest = "0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 900 2 3 4"
    return f"{pid} ({name}) S {parent} {session} {session} {rest}\n"


def test_the_machine_prints_only_what_may_be_ours() -> None:
    stats = stat(1, "init", 0, 1) + stat(2, "kthreadd", 0, 0) + stat(50, "sh", 1, 50) + stat(51, "sleep", 50, 50)
    stats += stat(60, "left the session", 51, 60) + stat(61, "its child", 60, 60) + stat(70, "seen before", 1, 70)
    stats += stat(71, "its child", 70, 70) + stat(80, "somebody's", 1, 80)
    assert table(stats, session=50) == {50, 51, 60, 61}
    assert table(stats, session=50, wanted="50 70") == {50, 51, 60, 61, 70, 71}
    assert table(stats, wanted="0 80") == {80}
    assert table(stats) == set()


@pytest.mark.parametrize("name", ["a b", ") S 1 1 1", "a\nb", "\n1 (x) S 1 1", "\xff\xfe", "((", "))", "\n\n"])
def test_no_name_hides_a_process(name: str) -> None:
    stats = stat(10, "sh", 1, 10) + stat(50, name, 1, 50) + stat(51, name, 50, 50) + stat(90, "sh", 1, 90)
    assert table(stats, session=50) == {50, 51}
    assert table(stats, session=90) == {90}


async def test_a_process_with_a_line_end_in_its_name_is_stopped(bench: Bench) -> None:
    going = Going()
    script = "printf 'a\\nb) S 1' >/proc/$$/comm; trap '' TERM; echo ready; while :; do sleep 300; done"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run(script, going))
        await going.has_started.wait()
        await is_ready(going)
        async with bench.pool.borrow(bench.target, for_stop=True) as connection:
            # Not by way of the run, which asks again where an answer is not complete.
            assert (await stop_tree(connection, None, going.marker, going.began, grace_s=0.2)).is_clean
    assert (running.result()[0].outcome, left_of(going)) == (Outcome.SIGNALLED, [])


@pytest.mark.parametrize(
    "answer", ["", "table 0\nmarked\nend\n", "1 S 0 1 1 1\nmarked\n", "1 S 0 1 1 1\nend", "marked\nend\n", "no\n"]
)
def test_half_an_answer_is_never_a_clean_machine(answer: str) -> None:
    with pytest.raises(ValueError, match="not complete"):
        Snapshot.read(answer)


def test_a_machine_without_proc_is_read_too() -> None:
    snapshot = Snapshot.read("    1 Ss       0     1\n   50 S+      1    50\nmarked 50\nend\n")
    assert snapshot.rows[50] == Row(50, "S+", 1, 50, 50, "")
    assert snapshot.marked == {50}
