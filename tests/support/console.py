"""A whole console for tests: ``manage.py serve`` in a process of its own, on a free port and a new data folder."""

import fcntl
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.environment import SHARED_FOLDER
from tests.support.scripts import ROOT, Scripts
from tests.support.sshd import free_port

# Not how quick it is to be: two cores may be busy with other tests.
START_S = END_S = 180.0
PASSWORD = "a long enough password"


@dataclass
class Console:
    """A console and where its parts are. ``process`` is its supervisor; none while only its data folder is prepared."""

    url: str
    folder: Path
    environment: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _scripts: list[Scripts] = field(default_factory=list)

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a management command against this console; return what it printed. Raises: CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done.stdout

    def shell(self, script: str, **values: object) -> str:
        """Run a script as ``manage.py shell`` would, with values put into its places; return what it printed."""
        if not self._scripts:
            self._scripts.append(Scripts(self.environment))
        return self._scripts[0].run(script.format(**values) if values else script)

    def stop(self) -> int:
        """End it as Ctrl+C does; return its exit status."""
        while self._scripts:
            self._scripts.pop().end()
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)

    def children(self) -> list[int]:
        """The pids of its web and worker processes."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def child(self, name: str) -> int:
        """The pid of its web or worker process."""
        return next(pid for pid in self.children() if name.encode() in words_of(pid))

    def said(self) -> str:
        """Everything it printed so far."""
        return self.log.read_text(errors="replace")


def words_of(pid: int) -> list[bytes]:
    """The command line of a process; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


@functools.cache
def migrated() -> Path:
    """A data folder with nothing but an empty database as ``serve`` makes it; one for all processes of a test run."""
    folder = Path(os.environ[SHARED_FOLDER], "migrated")
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            _migrate(folder.with_suffix(".making")).rename(folder)
    return folder


def _migrate(folder: Path) -> Path:
    environment = {**os.environ, "MUSTER_DATA": str(folder), "DJANGO_SETTINGS_MODULE": "console.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    for path in folder.iterdir():
        if path.name != "muster.sqlite3":
            path.unlink()
    return folder


@contextmanager
def running_console(**environment: str) -> Iterator[Console]:
    """Start a console for the block: one worker, loopback allowed, administrator ``admin`` with ``PASSWORD``."""
    with tempfile.TemporaryDirectory(prefix="muster-console-") as name:
        console = start_console(Path(name), **environment)
        try:
            yield console
        finally:
            console.stop()


PREPARE = """
from django.conf import settings
from console import databases
from console.members import services as members
from instances.credentials import vault
databases.close_to_others(settings.DATA_DIR)
vault.check_ring()
members.ensure_first_administrator(settings.ENV.admin_password)
"""


@contextmanager
def prepared_console(folder: Path, **environment: str) -> Iterator[Console]:
    """A console as ``serve`` makes it before it starts anything: migrated, with its keys and its administrator."""
    console = new_console(folder, **environment)
    shutil.copytree(migrated(), folder / "data")
    console.shell(PREPARE)
    try:
        yield console
    finally:
        console.stop()


def new_console(folder: Path, **environment: str) -> Console:
    """Return a console of which nothing is there yet but its folder and its port."""
    port = free_port()
    full = {
        **os.environ,
        "MUSTER_DATA": str(folder / "data"),
        "MUSTER_PORT": str(port),
        "MUSTER_ADMIN_PASSWORD": PASSWORD,
        "MUSTER_ALLOW_LOCALHOST": "1",
        "DJANGO_SETTINGS_MODULE": "console.settings",
        **environment,
    }
    return Console(f"http://127.0.0.1:{port}", folder, full, folder / "serve.log", port)


def start_console(folder: Path, *arguments: str, is_migrated: bool = True, **environment: str) -> Console:
    """Start ``manage.py serve`` on a data folder and wait until it answers."""
    console = new_console(folder, **environment)
    if is_migrated and not (folder / "data").exists():
        # Two dozen consoles start in the tests; those that need not make everything themselves are spared it.
        shutil.copytree(migrated(), folder / "data")
    log = console.log
    # A console started before on the same folder has said so too.
    said_before = len(log.read_text(errors="replace")) if log.exists() else 0
    with log.open("ab") as output:
        console.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(console.port), "--workers", "1", *arguments],
            cwd=ROOT,
            env=console.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    ends_at = time.monotonic() + START_S
    while "Muster answers" not in log.read_text(errors="replace")[said_before:]:
        if console.process.poll() is not None or time.monotonic() > ends_at:
            console.stop()
            raise RuntimeError(f"The console did not start: {console.said()}")
        time.sleep(0.05)
    return console
