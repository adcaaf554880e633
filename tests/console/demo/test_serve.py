"""``manage.py serve --demo``: the first look at the product."""

import sqlite3
import tempfile
from pathlib import Path

import pytest

from console.demo import server
from tests.support.console import start_console
from tests.support.sshd import marked_by

pytestmark = pytest.mark.slow


def ports(folder):
    with sqlite3.connect(folder / "data" / "muster.sqlite3") as database:
        rows = database.execute("SELECT name, port FROM instances_instance WHERE is_demo ORDER BY name").fetchall()
    database.close()
    return rows


def test_a_fresh_console_has_a_fleet_that_answers_and_finds_it_again_after_a_restart():
    with tempfile.TemporaryDirectory(prefix="muster-demo-") as name:
        folder = Path(name)
        seen = []
        for _ in range(2):
            console = start_console(folder, "--demo", MUSTER_ALLOW_LOCALHOST="")
            try:
                said = console.manage("run", "--filter", "role:web", "sleep 66 >/dev/null 2>&1 & echo $HOSTNAME")
                assert sorted(said.split()) == sorted(f"{word}" for n in "123" for word in (f"web-0{n}:", f"web-0{n}"))
                seen.append(ports(folder))
            finally:
                assert console.stop() == 0
            assert marked_by(server.MARKER, str((folder / "data" / "demo").resolve())) == []
        assert len(seen[0]) == 12
        assert seen[0] == seen[1]


def test_once_removed_it_does_not_come_back_over_instances_of_ones_own():
    with tempfile.TemporaryDirectory(prefix="muster-demo-") as name:
        console = start_console(Path(name), "--demo")
        try:
            assert console.manage("demo", "remove") == "12 demo instances removed.\n"
            console.manage("add_instance", "mine", "10.0.0.4")
        finally:
            console.stop()
        console = start_console(Path(name), "--demo")
        console.stop()
        assert ports(Path(name)) == []
