"""The console on PostgreSQL: a real server, a real sshd, and what must stay exact there too."""

import os
import subprocess
import sys

import psycopg

from tests.support.console import ROOT, running_console
from tests.support.fleet import register
from tests.support.postgres import Cluster, running_postgres
from tests.support.sshd import marked_by
from tests.support.until import until
from tests.support.visitor import Visitor

# What reads and writes statements of its own, and what is exact only because of locks.
EXACT = (
    "tests/console/runs/test_queue.py",
    "tests/console/runs/test_in_sessions.py::test_only_the_worker_that_holds_a_session_takes_what_is_sent_to_it",
    "tests/console/runs/test_in_sessions.py::test_commands_of_a_session_are_taken_one_by_one_as_they_were_sent",
    "tests/console/runs/test_in_sessions.py::test_what_waits_for_a_session_that_has_ended_is_skipped",
    "tests/console/runs/test_in_sessions.py::test_what_was_sent_before_but_committed_later_waits_for_what_has_begun",
    "tests/console/schedules/test_firing.py::test_what_waited_and_what_is_due_do_not_both_start_at_once",
    "tests/console/sessions/test_services.py::test_two_requests_at_once_keep_a_limit_together",
    "tests/console/sessions/test_services.py::test_the_same_request_twice_at_once_opens_nothing_more",
    "tests/console/transfers/test_queue.py",
    "tests/console/worker/test_writer.py",
    "tests/console/history/test_filters.py",
    "tests/console/history/test_search.py",
    "tests/instances/audit/test_append_only.py",
    "tests/console/members/test_services.py::test_of_two_who_use_a_link_at_once_one_gets_through",
)


class Rows:
    """Looks into the console's database from outside."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = cluster.url

    def __call__(self, statement: str, *params: object) -> list[tuple]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(statement, params).fetchall()


def test_the_tests_of_what_must_be_exact_hold_there():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *EXACT],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE": "postgres"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_runs_go_through_stop_and_outlive_a_restart_of_the_database(sshd, remote_user):
    with running_postgres() as cluster, running_console(DATABASE_URL=cluster.url) as console:
        rows = Rows(cluster)
        instances = register(console, sshd, remote_user, 4, net="127.4.20")
        visitor = Visitor(console)
        # Letters and a byte that text in PostgreSQL cannot hold, in the last line shown and in the output.
        whole = visitor.send(r"printf 'begun\né\0end\n'; echo no >&2", instances)
        ended = "SELECT DISTINCT status FROM console_invocation WHERE run_id = %s"
        until(lambda: rows(ended, whole) == [("succeeded",)])
        stored = rows(
            "SELECT data FROM console_output o JOIN console_invocation i ON i.id = o.invocation_id "
            "WHERE run_id = %s AND kind = 1 AND ordinal = 0",
            whole,
        )
        assert b"".join(data for (data,) in stored) == "begun\né\0end\n".encode()
        assert b"4 succeeded" in visitor.get(f"/runs/{whole}/").body
        assert b"begun" in visitor.get("/runs/").body

        long = visitor.send("echo begun; sleep 300 & sleep 300", instances)
        until(lambda: rows("SELECT count(*) FROM console_invocation WHERE run_id = %s AND size > 0", long) == [(4,)])
        markers = [str(marker) for (marker,) in rows("SELECT marker FROM console_invocation WHERE run_id = %s", long)]
        cluster.stop()
        cluster.start()
        visitor.stop(long)
        until(lambda: rows(ended, long) == [("stopped",)])
        assert not any(marked_by("MUSTER_INVOCATION", marker) for marker in markers)
