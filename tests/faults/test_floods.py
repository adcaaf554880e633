"""Commands that print without end cost a fixed memory, and what was not kept is counted exactly."""

import hashlib

import pytest

from tests.support.processes import resident_bytes, start_worker
from tests.support.sshd import marked_by
from tests.support.until import until
from tests.support.visitor import GAP, marker_of

CAP = 4 * 1024 * 1024
TAIL = 256 * 1024
PRINTED = 30_000_000


@pytest.fixture(scope="module")
def capped(stage):
    part = start_worker(stage.console, MUSTER_OUTPUT_CAP=str(CAP))
    yield part
    assert part.end() == 0


def test_a_flood_is_kept_to_its_cap_and_counted_to_the_byte(stage, capped):
    warm = stage.visitor.send("echo", stage.instances[:4])
    until(lambda: stage.records.run(warm)["finished_at"])
    before, most = resident_bytes(capped.process.pid), [0]
    run = stage.visitor.send(
        f"head -c {PRINTED} /dev/zero | tr '\\0' x; head -c 1000 /dev/zero | tr '\\0' e", stage.instances[:3]
    )

    def ended():
        most[0] = max(most[0], resident_bytes(capped.process.pid))
        return stage.records.run(run)["finished_at"]

    until(ended)
    assert most[0] - before < 64 * 1024 * 1024
    for row in stage.records.invocations(run):
        assert row["status"] == "succeeded"
        assert row["stdout_bytes"] + row["dropped_bytes"] == row["size"] == PRINTED + 1000
        assert CAP - 2 * 65536 <= row["stdout_bytes"] <= CAP + 2 * 65536
        stored = stage.records.output(row["id"])
        assert stored.endswith(b"x" * (TAIL - 1000 - 65536) + b"e" * 1000)
        assert hashlib.sha256(stored).hexdigest() == row["sha256"]
        kinds = stage.records.rows("SELECT kind FROM console_output WHERE invocation_id = ?", row["id"])
        assert [kind[0] for kind in kinds].count(GAP) == 1


def test_a_flood_that_is_to_stop_at_the_cap_is_stopped_and_nothing_of_it_is_left(stage, capped):
    flood = "(trap '' TERM; yes) & yes"
    run = stage.visitor.send(flood, stage.instances[:2], stop_at_cap="1")
    within = stage.visitor.send(f"head -c {CAP // 2} /dev/zero", stage.instances[2:3], stop_at_cap="1")
    for each in (run, within):
        until(lambda each=each: stage.records.run(each)["finished_at"])
    for row in stage.records.invocations(run):
        assert (row["status"], row["reason"]) == ("stopped", "output_cap")
        assert "more than is kept" in row["message"]
        assert row["dropped_bytes"] > 0
        assert not marked_by("MUSTER_INVOCATION", marker_of(row))
    assert [row["status"] for row in stage.records.invocations(within)] == ["succeeded"]


def test_a_flood_on_stderr_alone_and_both_in_turn_end_in_order(stage, capped):
    run = stage.visitor.send(
        "head -c 3000000 /dev/zero | tr '\\0' e >&2; exec 2>&-; head -c 500000 /dev/zero", stage.instances[:2]
    )
    until(lambda: stage.records.run(run)["finished_at"])
    for row in stage.records.invocations(run):
        assert (row["status"], row["stdout_bytes"], row["stderr_bytes"]) == ("succeeded", 500_000, 3_000_000)


def test_a_flood_does_not_hold_up_others_and_stops_at_once(stage, capped):
    flood = stage.visitor.send("yes", stage.instances[:2])
    until(lambda: all(row["dropped_bytes"] for row in stage.records.invocations(flood)))
    beside = stage.visitor.send("echo quick", stage.instances[3:4])
    until(lambda: stage.records.run(beside)["finished_at"])
    stage.visitor.stop(flood)
    until(lambda: stage.records.run(flood)["finished_at"])
    assert stage.records.statuses(flood) == ["stopped"] * 2
    stage.records.assert_sound()
