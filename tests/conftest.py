"""What holds for every test: the order in which they run."""

import pytest

ACCEPTANCE = "tests/acceptance/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser tests last.

    Playwright's blocking interface keeps an event loop running in this thread until the session ends, and
    `asyncio.Runner` refuses to start beside it: a test on an event loop fails when it comes after one in the browser.
    """
    items.sort(key=lambda item: item.nodeid.startswith(ACCEPTANCE))
