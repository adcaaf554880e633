"""Lets Django empty the test database after a test with real transactions, although audit rows cannot be removed."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase

from instances.audit import append_only


@pytest.fixture(scope="session", autouse=True)
def _audit_rows_go_with_the_test_database() -> Iterator[None]:
    # Only around Django's own flush: while a test runs the triggers are always there.
    flush = TransactionTestCase._fixture_teardown

    def teardown(case: Any) -> None:
        append_only.unprotect(connection)
        try:
            flush(case)
        finally:
            append_only.protect(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
