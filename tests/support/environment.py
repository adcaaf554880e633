"""Loaded before Django's settings: gives the tests a data folder of their own."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="muster-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["MUSTER_DATA"] = _folder
os.environ.pop("MUSTER_URL", None)
