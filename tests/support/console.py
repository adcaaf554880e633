"""A whole console for tests: ``manage.py serve`` in a process of its own, on a free port and a new data folder."""

import atexit
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
from dataclasses import dataclass
from pathlib import Path

from tests.support.sshd import free_port

ROOT = Path(__file__).resolve().parents[2]
# Not how quick it is to be: two cores may be busy with other tests.
START_S = 90.0
PASSWORD = "a long enough password"


@dataclass
class Console:
    """A running console and where its parts are."""

    url: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    port: int

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

    def stop(self) -> int:
        """End it as Ctrl+C does; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def children(self) -> list[int]:
        """The pids of its web and worker processes."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def said(self) -> str:
        """Everything it printed so far."""
        return self.log.read_text(errors="replace")


@functools.cache
def migrated() -> Path:
    """A data folder with nothing but an empty database as ``serve`` makes it; removed with this process."""
    folder = Path(tempfile.mkdtemp(prefix="muster-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {**os.environ, "MUSTER_DATA": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "console.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    for path in (folder / "data").iterdir():
        if path.name != "muster.sqlite3":
            path.unlink()
    return folder / "data"


@contextmanager
def running_console(**environment: str) -> Iterator[Console]:
    """Start a console for the block: one worker, loopback allowed, administrator ``admin`` with ``PASSWORD``."""
    with tempfile.TemporaryDirectory(prefix="muster-console-") as name:
        console = start_console(Path(name), **environment)
        try:
            yield console
        finally:
            console.stop()


def start_console(folder: Path, *arguments: str, **environment: str) -> Console:
    """Start ``manage.py serve`` on a data folder and wait until it answers."""
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
    if not arguments and not (folder / "data").exists():
        # Two dozen consoles start in the tests; those of the demo make everything themselves, the others are spared it.
        shutil.copytree(migrated(), folder / "data")
    log = folder / "serve.log"
    # A console started before on the same folder has said so too.
    said_before = len(log.read_text(errors="replace")) if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port), "--workers", "1", *arguments],
            cwd=ROOT,
            env=full,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    console = Console(f"http://127.0.0.1:{port}", folder, full, process, log, port)
    ends_at = time.monotonic() + START_S
    while "Muster answers" not in log.read_text(errors="replace")[said_before:]:
        if process.poll() is not None or time.monotonic() > ends_at:
            console.stop()
            raise RuntimeError(f"The console did not start: {console.said()}")
        time.sleep(0.05)
    return console
