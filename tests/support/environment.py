"""Loaded before Django's settings: gives the tests a data folder, and the database that ``TEST_DATABASE`` asks for.

``SHARED_FOLDER`` names a folder for all processes of a test run: the first of them makes it, and is the last to end.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.postgres import Cluster

SHARED_FOLDER = "MUSTER_TESTS_FOLDER"
_folder = tempfile.mkdtemp(prefix="muster-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
if SHARED_FOLDER not in os.environ:
    os.environ[SHARED_FOLDER] = str(Path(_folder, "shared"))
    Path(_folder, "shared").mkdir()
os.environ["MUSTER_DATA"] = _folder
for _name in ("MUSTER_URL", "DATABASE_URL"):
    os.environ.pop(_name, None)
if os.environ.get("TEST_DATABASE") == "postgres":
    _cluster = Cluster(Path(tempfile.mkdtemp(prefix="muster-pg-")))
    atexit.register(_cluster.remove)
    _cluster.start()
    os.environ["DATABASE_URL"] = _cluster.url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about SQLite's file when there is none."""
    if "DATABASE_URL" not in os.environ:
        return
    left_out = [item for item in items if item.get_closest_marker("sqlite")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
