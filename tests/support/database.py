"""The test database: a copy of one that was migrated once; how it is emptied after a test with real transactions."""

import functools
import shutil
from collections.abc import Iterator

import pytest
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

from instances.audit import append_only
from tests.support.console import migrated

# What migrations write beside the tables; nothing changes it afterwards.
_KEPT = {"django_content_type", "auth_permission"}


def pytest_configure(config: pytest.Config) -> None:
    """Take the database as it is found; whoever removes its folder, or its server, removes it.

    Threads of tests keep connections to it.
    """
    config.option.reuse_db = True


def lay_ready() -> None:
    """Put an empty database where Django looks for the one of this process."""
    if connection.vendor == "sqlite":
        wanted = connection.settings_dict["TEST"]
        shutil.copy(migrated() / "muster.sqlite3", wanted["NAME"])
        # Nothing is left to do; to find that out takes a second.
        wanted["MIGRATE"] = False


@pytest.fixture(scope="session", autouse=True)
def _emptied_by_ourselves() -> Iterator[None]:
    # Django would look for the tables each time, and write down anew what every model may be used for.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: _empty())
        yield


def _empty() -> None:
    # Only here can audit rows be removed: while a test runs the triggers are always there.
    append_only.unprotect(connection)
    try:
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), _tables()))
    finally:
        append_only.protect(connection)


@functools.cache
def _tables() -> list[str]:
    return [name for name in connection.introspection.django_table_names() if name not in _KEPT]
