import sqlite3
from pathlib import Path

import pytest
from django.db import connection

from console.runs import disk_space, retention
from tests.support.runs import ended_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]

MIB = 1024 * 1024


def carry_out(planned):
    for _ in retention.carry_out(planned, actor=None):
        pass


def on_disk():
    name = connection.settings_dict["NAME"]
    return sum(Path(path).stat().st_size for path in (name, f"{name}-wal"))


def give_back():
    steps = sum(1 for _ in disk_space.give_back())
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA freelist_count")
        return steps, cursor.fetchone()[0]


@pytest.mark.slow
def test_the_files_shrink_by_what_was_removed():
    give_back()
    empty = on_disk()
    ended_run(2, output=b"x" * (32 * MIB))
    kept = ended_run(output=b"y" * MIB)
    assert on_disk() > empty + 64 * MIB
    carry_out(retention.plan(retention.Limits(days=0, output_bytes=2 * MIB)))
    assert on_disk() > empty + 64 * MIB
    steps, free = give_back()
    # What was kept lies behind what was removed: it had to be moved.
    assert steps > 16
    assert free == 0
    assert on_disk() < empty + 2 * MIB
    assert disk_space.database_bytes() == Path(connection.settings_dict["NAME"]).stat().st_size
    assert kept.invocations.get().output.count() == MIB // (64 * 1024)


def test_nothing_removed_is_nothing_to_do():
    give_back()
    assert give_back() == (0, 0)


def busy_timeout(milliseconds=None):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout" + (f" = {milliseconds}" if milliseconds else ""))
        return cursor.fetchone()[0]


def test_a_reader_in_the_way_is_no_error_and_holds_up_nothing():
    ended_run(output=b"x" * MIB)
    reader = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM console_run").fetchone()
        carry_out(retention.plan(retention.Limits(days=0, output_bytes=1)))
        # As long as a locked database would be waited for; the rest of the tests would wait with it.
        busy_timeout(600_000)
        assert give_back()[1] == 0
        assert busy_timeout() == 600_000
    finally:
        busy_timeout(20_000)
        reader.close()
    before = on_disk()
    give_back()
    assert on_disk() < before - MIB
