"""A database that is busy, or held by somebody else, delays; it loses nothing and fails nothing."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.support.processes import start_worker
from tests.support.until import until
from tests.support.visitor import Visitor

WRITERS = 16
HELD_S = 8.0


def hold(path, begun):
    """Keep everybody else from writing, as a backup tool or a careless shell does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as database:
        database.execute("BEGIN EXCLUSIVE")
        begun.set()
        time.sleep(HELD_S)
        database.execute("ROLLBACK")


def test_sixteen_writers_and_a_locked_database_lose_nothing(stage):
    workers = [start_worker(stage.console) for _ in range(2)]
    people = [Visitor(stage.console) for _ in range(WRITERS)]
    steady, notes = stage.send("i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.1; done", 4)
    until(lambda: all(row["size"] for row in stage.records.invocations(steady)))

    def send(person, number):
        # On a busy machine all of them may take longer than each is given; then it was not done, and is said to be so.
        while (run := person.try_to_send(f"echo {number}", stage.instances[:3])) is None:
            continue
        return run

    def sends(person):
        return [send(person, number) for number in range(3)]

    begun = threading.Event()
    with ThreadPoolExecutor(WRITERS + 1) as threads:
        held = threads.submit(hold, stage.records.path, begun)
        assert begun.wait(20)
        sent = [run for runs in threads.map(sends, people) for run in runs]
        held.result()
    assert len(set(sent)) == WRITERS * 3
    for run in (*sent, steady):
        until(lambda run=run: stage.records.run(run)["finished_at"])
        assert set(stage.records.statuses(run)) == {"succeeded"}
    lines = "".join(f"line {number}\n" for number in range(100)).encode()
    assert [stage.records.output(row["id"]) for row in stage.records.invocations(steady)] == [lines] * 4
    assert stage.times_ran(steady, notes) == [1] * 4
    assert [worker.end() for worker in workers] == [0, 0]
    stage.records.assert_sound()
