"""Owns giving back to the disk what was removed from the database. SQLite alone: PostgreSQL sees to it by itself."""

from collections.abc import Iterator

from django.db import OperationalError, connection

# Pages of 4 KiB that one step moves: about 35 ms.
STEP_PAGES = 250
# How long a checkpoint waits for readers, and how often it is tried: an open viewer is a reader now and then.
CHECKPOINT_WAIT_MS = 100
CHECKPOINT_TRIES = 5


def database_bytes() -> int:
    """Return the size of the database, as its file has it after the next checkpoint."""
    if connection.vendor == "sqlite":
        return _pragma("page_count") * _pragma("page_size")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def give_back() -> Iterator[int]:
    """Shrink the database's files; every ``next`` is one short step, and gives the pages that are still free.

    Call it outside a transaction. Readers can keep the log from shrinking now: the next checkpoint does it.
    """
    if connection.vendor != "sqlite":
        return
    free = _pragma("freelist_count")
    while free:
        _vacuum()
        free, before = _pragma("freelist_count"), free
        yield free
        if free >= before:
            # Others free pages as fast, or the database was made without auto_vacuum.
            break
    for _ in range(CHECKPOINT_TRIES):
        if _checkpoint():
            break
        yield free


def _vacuum() -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors:
        # The pragma frees a page with every step of the statement. ``execute`` and ``fetchall`` take one step, because
        # it has no columns; ``executescript`` takes them all.
        cursor.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")


def _checkpoint() -> bool:
    """Copy the log into the database and empty it; False when a reader is in the way, which is no error."""
    before = _pragma("busy_timeout")
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return not cursor.fetchone()[0]
        except OperationalError:
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")


def _pragma(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return int(cursor.fetchone()[0])
