"""What holds for every test: database, browser, order, what the garbage collector passes over, the cost of examples."""

import fcntl
import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from django.test import Client
from hypothesis import HealthCheck, settings

from tests.support import database
from tests.support.environment import SHARED_FOLDER
from tests.support.site import browser

# A machine that does other things is slow by itself; nothing a fixture makes here changes between examples.
settings.register_profile(
    "muster", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("muster")


@pytest.fixture
def client() -> Client:
    """A browser; pytest-django's own would start the site anew."""
    return browser()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have the test database ready before pytest-django makes it."""
    database.lay_ready()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """In a new checkout one process compiles the tests and the others wait for it; else each would compile them all."""
    done = Path(os.environ[SHARED_FOLDER], "collected")
    with done.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if done.exists() or any(Path(__file__).parent.glob("__pycache__/test_docs.*")):
            fcntl.flock(turn, fcntl.LOCK_UN)
        result = yield
        # The process that only hands the tests out has none.
        if session.items:
            done.touch()
    return result


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the browser tests last, in the order of their files; side by side, files with slow tests come first.

    Playwright's blocking interface keeps an event loop running in this thread until the session ends, and
    `asyncio.Runner` refuses to start beside it: a test on an event loop fails when it comes after one in the browser.
    The longest waiters begin, so that nobody waits for them in the end; one process alone has the quick ones first.
    """
    is_side_by_side = hasattr(config, "workerinput")
    slow = {item.path for item in items if is_side_by_side and item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, Path, int]:
        if item.get_closest_marker("browser"):
            return 2, item.path, item.location[1] or 0
        return int(item.path not in slow), Path(), 0

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Spare the collector thousands of tests and modules that stay to the end: it would look through them each time."""
    gc.collect()
    gc.freeze()
