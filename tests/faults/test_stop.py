"""Stop through the product, judged by the machine: after "stopped" nothing of the command is left, and only of it."""

import socket
from datetime import datetime

import pytest

from instances.engine.ssh import LOGIN_S
from tests.faults.conftest import Stage
from tests.support.fleet import register
from tests.support.processes import start_worker
from tests.support.sshd import marked_by
from tests.support.until import until
from tests.support.visitor import Visitor, marker_of

# One run, another shape on each instance.
SHAPES = {
    "plain": "echo ready; sleep 300",
    "children": "sleep 300 & sh -c 'sleep 300 & sleep 300' & echo ready; wait",
    "deaf": "trap '' TERM INT HUP; sleep 300 & echo ready; while :; do sleep 300; done",
    "daemon": "setsid sh -c 'trap \"\" TERM; sleep 300; true' </dev/null >/dev/null 2>&1 & echo ready; sleep 300",
    "frozen": "sleep 300 & echo ready; kill -s STOP $$",
    "loud": "echo ready; yes",
}
COMMAND = (
    "case ${3##*.} in\n"
    + "".join(f"{number}) {text};;\n" for number, text in enumerate(SHAPES.values(), 1))
    + "*) echo ready; sleep 300;; esac"
)


@pytest.fixture(scope="module")
def worker(stage: Stage):
    part = start_worker(stage.console)
    yield part
    assert part.end() == 0


@pytest.fixture(scope="module")
def root_instances(stage: Stage) -> list[int]:
    return register(stage.console, stage.sshd, "root", len(SHAPES) + 1, net="127.5.0")


def left_of(row):
    return marked_by("MUSTER_INVOCATION", marker_of(row)) if row["marker"] else []


@pytest.mark.parametrize("who", ["user", "root"])
def test_nothing_is_left_of_any_shape_and_a_neighbour_is_spared(stage, worker, root_instances, who):
    targets = root_instances if who == "root" else stage.instances[: len(SHAPES) + 1]
    count = len(SHAPES)
    run = stage.visitor.send(f"set -- $SSH_CONNECTION\n{COMMAND}", targets)
    until(lambda: all(row["size"] for row in stage.records.invocations(run)))
    assert all(left_of(row) for row in stage.records.invocations(run))
    for ordinal in range(count):
        stage.visitor.stop(run, ordinal)
        # Nobody minds being asked again.
        stage.visitor.stop(run, ordinal)

    def all_told():
        rows = stage.records.invocations(run)
        for row in rows:
            # Never told before it is true.
            assert row["status"] != "stopped" or not left_of(row), dict(row)
        return stage.records.statuses(run)[:count] == ["stopped"] * count

    until(all_told)
    neighbour = stage.records.invocations(run)[count]
    assert (neighbour["status"], len(left_of(neighbour))) == ("running", 2)
    stage.visitor.stop(run)
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.statuses(run) == ["stopped"] * (count + 1)
    assert not any(left_of(row) for row in stage.records.invocations(run))
    assert stage.records.run(run)["status"] == "stopped"


def test_a_time_limit_ends_what_ignores_it(stage, worker):
    run = stage.visitor.send(SHAPES["deaf"], stage.instances[:3], timeout_s=1)
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.statuses(run) == ["timed_out"] * 3
    assert not any(left_of(row) for row in stage.records.invocations(run))


def test_what_waits_is_cancelled_without_a_trace(stage, worker):
    run, notes = stage.send("echo ready; sleep 300", 6, max_concurrency=2)
    # One runs a moment before the first line of its script does.
    until(lambda: [bool(row["size"]) for row in stage.records.invocations(run)].count(True) == 2)
    accepted = stage.sshd.accepted
    stage.visitor.stop(run)
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.statuses(run) == ["stopped"] * 2 + ["cancelled"] * 4
    assert stage.times_ran(run, notes) == [1, 1, 0, 0, 0, 0]
    assert stage.sshd.accepted == accepted


def test_stop_at_any_moment_by_two_people_gives_one_true_ending_each(stage, worker):
    other = Visitor(stage.console)
    runs = []
    for round_ in range(10):
        run, notes = stage.send("sleep 0.3; echo end", 20)
        # Later and later: at first none has started, in the end all have.
        until(lambda run=run, notes=notes, least=2 * round_: sum(stage.times_ran(run, notes)) >= least)
        stage.visitor.stop(run)
        other.stop(run)
        runs.append((run, notes))
    for run, notes in runs:
        until(lambda run=run: stage.records.run(run)["finished_at"])
        for row, ran in zip(stage.records.invocations(run), stage.times_ran(run, notes), strict=True):
            assert row["status"] in {"cancelled", "stopped", "succeeded"}, dict(row)
            assert not (row["status"] == "cancelled" and ran), dict(row)
            assert row["status"] != "succeeded" or stage.records.output(row["id"]) == b"end\n"
            assert not left_of(row)
    stage.records.assert_sound()


def test_a_command_that_ends_at_its_time_limit_has_one_ending(stage, worker):
    run = stage.visitor.send("sleep 0.96", stage.instances, timeout_s=1)
    until(lambda: stage.records.run(run)["finished_at"])
    assert set(stage.records.statuses(run)) <= {"succeeded", "timed_out"}
    assert not any(left_of(row) for row in stage.records.invocations(run))


def test_stop_while_connecting_never_starts_it(stage, worker):
    """An instance that takes the connection and says nothing."""
    with socket.create_server(("127.5.1.1", 0)) as mute:
        address = f"someone@127.5.1.1:{mute.getsockname()[1]}"
        stage.console.manage("add_instance", "mute", address, "--password-stdin", stdin="secret\n")
        (row,) = stage.records.rows("SELECT id FROM instances_instance WHERE name = 'mute'")
        run = stage.visitor.send("echo ran", [row["id"]])
        until(lambda: stage.records.statuses(run) == ["connecting"])
        stage.visitor.stop(run)
        until(lambda: stage.records.statuses(run) == ["cancelled"])
        # Before the sign-in was given up.
        began, ended = (datetime.fromisoformat(stage.records.run(run)[at]) for at in ("created_at", "finished_at"))
        assert (ended - began).total_seconds() < LOGIN_S
