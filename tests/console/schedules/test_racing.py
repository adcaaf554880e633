"""Several processes on one database, each of which wants to fire what is due: one run for each due time."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.console import ROOT, migrated
from tests.support.ticking import STATUS

pytestmark = pytest.mark.slow
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SCHEDULES = 12
MAKE = f"""
from console.members.models import User
from console.schedules import services
from console.schedules.models import Schedule
from console.schedules.timing import Kind, Rule
from instances.access.models import Grant, Role
from instances.inventory.models import Instance
owner = User.objects.create(username="olga")
Grant.objects.create(user=owner, role=Role.OPERATOR)
instance = Instance.objects.create(name="web-1", address="10.0.0.1")
values = {{"command": ["id"], "command_type": ["shell"], "ids": [str(instance.pk)]}}
for number in range({SCHEDULES}):
    services.add(owner, services.Plan(f"schedule {{number}}", Rule(Kind.CRON, expression="* * * * *"), values))
Schedule.objects.update(next_at="{NOON.isoformat()}")
"""
COUNTS = (
    "SELECT (SELECT count(*) FROM console_run), (SELECT count(*) FROM console_firing WHERE outcome = 'fired'),"
    " (SELECT count(*) FROM console_schedule WHERE next_at LIKE '2026-06-01 12:00%')"
)


@pytest.fixture
def database(tmp_path):
    """The environment of a console of its own, on which no process runs, with schedules that are due."""
    shutil.copytree(migrated(), tmp_path / "data")
    environment = {**os.environ, "MUSTER_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", MAKE]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=180)
    return environment


def counts(environment) -> tuple[int, int, int]:
    """How many runs there are, how many firings, and how many schedules that are due still."""
    with closing(sqlite3.connect(Path(environment["MUSTER_DATA"]) / "muster.sqlite3")) as database:
        return database.execute(COUNTS).fetchone()


def ticker(environment, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.ticking", NOON.isoformat(), *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_race_fire_each_due_time_once_and_one_that_dies_in_between_leaves_nothing(database):
    dying = ticker(database, "die")
    assert dying.communicate("go\n", timeout=180)[0] == "ready\n"
    assert dying.returncode == STATUS
    assert counts(database) == (0, 0, SCHEDULES)

    tickers = [ticker(database) for _ in range(2)]
    assert [one.stdout.readline() for one in tickers] == ["ready\n"] * 2
    for one in tickers:
        one.stdin.write("go\n")
        one.stdin.flush()
    acted = [int(one.communicate(timeout=180)[0]) for one in tickers]
    assert sum(acted) == SCHEDULES
    assert counts(database) == (SCHEDULES, SCHEDULES, 0)
