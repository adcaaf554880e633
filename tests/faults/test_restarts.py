"""The whole console dies at once and comes back: every row is resolved, and what still runs can be stopped."""

import os
import signal

from tests.support.console import start_console
from tests.support.fleet import register
from tests.support.sshd import marked_by
from tests.support.until import until
from tests.support.visitor import Records, Visitor, marker_of


def test_a_console_killed_whole_comes_back_knowing_what_it_left_behind(sshd, remote_user, tmp_path):
    console = start_console(tmp_path)
    records = Records(tmp_path)
    try:
        instances = register(console, sshd, remote_user, 4, net="127.4.0")
        visitor = Visitor(console)
        run = visitor.send("echo begun; sleep 300 & sleep 300", instances)
        until(lambda: all(row["size"] for row in records.invocations(run)))
        waiting = visitor.send("true", instances, max_concurrency=1)
        for pid in (console.process.pid, *console.children()):
            os.kill(pid, signal.SIGKILL)
        console.stop()

        console = start_console(tmp_path)
        visitor = Visitor(console)
        until(lambda: set(records.statuses(run)) == {"lost"})
        until(lambda: {row["reason"] for row in records.invocations(run)} == {"still_running"})
        # Those that waited may be running now.
        assert {pk for pk, _ in records.unresolved()} <= {row["id"] for row in records.invocations(waiting)}
        until(lambda: records.run(waiting)["finished_at"])
        assert set(records.statuses(waiting)) <= {"succeeded", "lost"}
        for row in records.invocations(run):
            assert records.output(row["id"]) == b"begun\n"
            assert len(marked_by("MUSTER_INVOCATION", marker_of(row))) >= 2

        assert visitor.post(f"/runs/{run}/recheck/", stop="1").status == 302
        until(lambda: set(records.statuses(run)) == {"stopped"})
        assert not any(marked_by("MUSTER_INVOCATION", marker_of(row)) for row in records.invocations(run))
        records.assert_sound()
    finally:
        assert console.stop() == 0


def test_an_orderly_end_lets_commands_finish(sshd, remote_user, tmp_path):
    console = start_console(tmp_path)
    records = Records(tmp_path)
    instances = register(console, sshd, remote_user, 3, net="127.4.1")
    visitor = Visitor(console)
    run = visitor.send("echo begun; sleep 4; echo done", instances)
    queued = visitor.send("true", instances[:1])
    until(lambda: all(row["size"] for row in records.invocations(run)))
    assert console.stop() == 0
    assert records.statuses(run) == ["succeeded"] * 3
    assert [records.output(row["id"]) for row in records.invocations(run)] == [b"begun\ndone\n"] * 3
    assert records.statuses(queued) in (["queued"], ["succeeded"])
    assert records.rows("SELECT * FROM console_workerlease") == []
    records.assert_sound()
