"""``manage.py serve --demo``: the first look at the product."""

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from console.demo import server
from tests.support.console import start_console
from tests.support.sshd import marked_by
from tests.support.until import until

pytestmark = pytest.mark.slow


@contextmanager
def demo_console(folder, **environment):
    console = start_console(folder, "--demo", **environment)
    try:
        yield console
    finally:
        assert console.stop() == 0
    # They were killed, and end.
    until(lambda: not marked_by(server.MARKER, str((folder / "data" / "demo").resolve())))


def ports(folder):
    with closing(sqlite3.connect(folder / "data" / "muster.sqlite3")) as database:
        return database.execute("SELECT name, port FROM instances_instance WHERE is_demo ORDER BY name").fetchall()


def test_a_fleet_answers_is_found_again_and_once_removed_does_not_come_back():
    with tempfile.TemporaryDirectory(prefix="muster-demo-") as name:
        folder = Path(name)
        seen = []
        # As somebody has it who starts it for the first time: with nothing made before, and loopback closed.
        for _ in range(2):
            with demo_console(folder, is_migrated=False, MUSTER_ALLOW_LOCALHOST="") as console:
                said = console.manage("run", "--filter", "role:web", "sleep 66 >/dev/null 2>&1 & echo $HOSTNAME")
                assert sorted(said.split()) == sorted(f"{word}" for n in "123" for word in (f"web-0{n}:", f"web-0{n}"))
                seen.append(ports(folder))
                if len(seen) == 2:
                    assert console.manage("demo", "remove") == "12 demo instances removed.\n"
                    console.manage("add_instance", "mine", "10.0.0.4")
        assert len(seen[0]) == 12
        assert seen[0] == seen[1]
        # It does not come back over instances of one's own.
        with demo_console(folder):
            assert ports(folder) == []
