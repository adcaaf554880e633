"""Rate control with two workers, one of them killed in the middle: the database itself notes what was started when."""

import sqlite3
from contextlib import closing, contextmanager

from tests.support.processes import start_worker
from tests.support.until import until

# Beside the product's code: whatever starts an invocation, by whichever way, is seen in the same transaction.
WATCH = """
CREATE TABLE seen (run_id, ordinal, active, errors, unended_before, gate);
CREATE TRIGGER watch AFTER UPDATE OF status ON console_invocation
WHEN OLD.status = 'queued' AND NEW.status = 'connecting' BEGIN
  INSERT INTO seen SELECT NEW.run_id, NEW.ordinal,
    (SELECT count(*) FROM console_invocation WHERE run_id = NEW.run_id
     AND status IN ('connecting', 'running', 'disconnected', 'stopping')),
    (SELECT count(*) FROM console_invocation WHERE run_id = NEW.run_id
     AND status IN ('failed', 'timed_out', 'unreachable', 'lost')),
    (SELECT count(*) FROM console_invocation WHERE run_id = NEW.run_id AND batch < NEW.batch
     AND status IN ('queued', 'connecting', 'running', 'disconnected', 'stopping')),
    (SELECT gate FROM console_run WHERE id = NEW.run_id);
END;
"""


@contextmanager
def watched(records):
    with closing(sqlite3.connect(records.path, timeout=20)) as database:
        database.executescript(WATCH)
    yield
    with closing(sqlite3.connect(records.path, timeout=20)) as database:
        database.executescript("DROP TRIGGER watch; DROP TABLE seen")


def test_never_more_is_started_than_the_limits_allow_although_a_worker_dies(stage):
    # Of 14: the first 2, then batches of 4, at most 3 at a time; the eighth fails, and one error is allowed.
    limits = {"first": "2", "batch_size": "30%", "max_concurrency": "25%", "max_errors": "1"}
    # Those of the second batch run until a worker has died over them.
    gate = stage.folder / "rollout"
    cases = f"127.*.8) exit 1;; 127.*.[3-6]) until [ -e {gate} ]; do sleep 0.1; done;;"
    with watched(stage.records):
        workers = [start_worker(stage.console), start_worker(stage.console)]
        run, notes = stage.send(f"case $3 in {cases} esac; sleep 0.4", 14, **limits)
        until(lambda: stage.records.run(run)["status"] == "waiting")
        assert sum(stage.times_ran(run, notes)) == 2
        assert stage.visitor.post(f"/runs/{run}/answer/", do="continue", batch=1).status == 302
        holder = until(lambda: holder_of(stage.records, run))
        dead = next(worker for worker in workers if worker.process.pid == holder)
        dead.kill()
        gate.touch()
        workers.append(start_worker(stage.console))
        until(lambda: stage.records.run(run)["finished_at"])
        seen = stage.records.rows("SELECT * FROM seen WHERE run_id = ?", run)
    assert [worker.end() for worker in workers if worker is not dead] == [0, 0]
    assert max(row["active"] for row in seen) <= 3
    assert max(row["errors"] for row in seen) <= 1
    assert {row["unended_before"] for row in seen} == {0}
    assert {row["gate"] for row in seen} == {""}
    ran = stage.times_ran(run, notes)
    assert max(ran) == 1
    rows = stage.records.invocations(run)
    # What was never started says so, and is the end of the list.
    skipped = [row["ordinal"] for row in rows if row["status"] == "skipped"]
    assert {rows[ordinal]["reason"] for ordinal in skipped} <= {"max_errors"}
    assert not any(ran[ordinal] for ordinal in skipped)
    errors = sum(row["status"] in {"failed", "lost"} for row in rows)
    assert bool(skipped) == (errors > 1)
    stage.records.assert_sound()


def holder_of(records, run):
    """The process of a worker that has a command of the second batch running."""
    found = records.rows(
        "SELECT process_id FROM console_workerlease AS w JOIN console_invocation AS i ON i.owner = w.id "
        "WHERE i.run_id = ? AND i.batch = 1 AND i.status = 'running'",
        run,
    )
    return found[0]["process_id"] if found else None
