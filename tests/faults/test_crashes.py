"""kill -9 of a worker: nothing runs twice, nothing stays open, and what is known is kept."""

import random
import signal
import time

import pytest

from tests.support import dying_worker
from tests.support.processes import Part, start_worker
from tests.support.sshd import marked_by
from tests.support.until import WITHIN_S, until
from tests.support.visitor import marker_of

NOTHING_SENT = {"claimed", "prepared", "connected"}
SENT_NOT_RUN = {"start_committed", "request_sent", "pid_read"}
ENDS = {"succeeded", "lost"}


def resolved(stage, run):
    """The statuses once the run has ended and every lost one has been looked for."""
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.unresolved() == []
    until(lambda: all(row["reason"] != "console_restarted" for row in stage.records.invocations(run)))
    return stage.records.statuses(run)


@pytest.mark.parametrize("point", dying_worker.NAMES)
def test_a_worker_that_dies_at_any_point_leaves_the_truth(stage, point):
    run, notes = stage.send("echo one; sleep 0.3; echo two", 3)
    dead = Part(stage.console, "-m", "tests.support.dying_worker", point)
    assert dead.process.wait(WITHIN_S) == dying_worker.STATUS
    worker = start_worker(stage.console)
    statuses = resolved(stage, run)
    assert worker.end() == 0
    ran = stage.times_ran(run, notes)
    assert max(ran) <= 1
    assert set(statuses) <= ENDS
    if point in NOTHING_SENT:
        assert (statuses, ran) == (["succeeded"] * 3, [1, 1, 1])
    elif point in SENT_NOT_RUN:
        assert "lost" in statuses
    for row, times in zip(stage.records.invocations(run), ran, strict=True):
        if row["status"] == "succeeded":
            assert (times, stage.records.output(row["id"])) == (1, b"one\ntwo\n")
        else:
            assert b"one\ntwo\n".startswith(stage.records.output(row["id"]))
    stage.records.assert_sound()


@pytest.mark.parametrize("seed", range(4))
def test_workers_killed_at_any_moment_run_nothing_twice(stage, seed):
    chance = random.Random(seed)
    lines = "".join(f"{number}\n" for number in range(30)).encode()
    run, notes = stage.send("i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); sleep 0.02; done", 20)
    for _ in range(2):
        worker = start_worker(stage.console)
        time.sleep(chance.uniform(0.9, 2.0))
        worker.kill()
    worker = start_worker(stage.console)
    statuses = resolved(stage, run)
    # The others may have done all of it before this one was up.
    assert worker.end() in {0, -signal.SIGTERM}
    ran = stage.times_ran(run, notes)
    assert max(ran) <= 1
    assert set(statuses) <= ENDS
    for row, times in zip(stage.records.invocations(run), ran, strict=True):
        stored = stage.records.output(row["id"])
        assert lines.startswith(stored)
        assert row["status"] != "succeeded" or (times, stored) == (1, lines)
    stage.records.assert_sound()


def test_a_worker_that_slept_past_its_lease_writes_nothing_more(stage):
    # Longer than any lease, however long it takes to see that one is over.
    gate = stage.folder / "slept"
    run, notes = stage.send(f"echo one; until [ -e {gate} ]; do sleep 0.2; done; echo two", 3)
    sleeper = start_worker(stage.console)
    until(lambda: stage.records.statuses(run) == ["running"] * 3)
    # In the middle of a write it would hold up the other, too, for as long as it sleeps.
    with stage.records.held():
        sleeper.stand_still()
    other = start_worker(stage.console)
    assert set(resolved(stage, run)) == {"lost"}
    before = [dict(row) for row in stage.records.invocations(run)]
    assert {row["reason"] for row in before} == {"still_running"}
    gate.touch()
    sleeper.signal(signal.SIGCONT)
    # It sees its commands end, and their rows are no longer its own.
    until(lambda: not any(marked_by("MUSTER_INVOCATION", marker_of(row)) for row in before))
    second, _ = stage.send("sleep 2", 2)
    assert resolved(stage, second) == ["succeeded"] * 2
    assert [dict(row) for row in stage.records.invocations(run)] == before
    assert stage.times_ran(run, notes) == [1, 1, 1]
    assert (sleeper.end(), other.end()) == (0, 0)
    stage.records.assert_sound()
