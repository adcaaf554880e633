"""The processes of a console one by one, without its supervisor, so that a test decides who dies and who comes back."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.console import END_S, ROOT, Console, prepared_console
from tests.support.until import until


class Part:
    """One process: ``manage.py web``, ``manage.py worker``, or a script of the tests' own."""

    def __init__(self, console: Console, *arguments: str, pass_fds: Sequence[int] = (), **environment: str) -> None:
        self.is_worker = any("worker" in word for word in arguments)
        self.log = console.folder / "parts.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**console.environment, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(pass_fds),
            )
        _parts.append(self)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stand_still(self) -> None:
        """Stop it as a machine that is suspended does; return once it has."""
        self.signal(signal.SIGSTOP)
        status = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")

    def kill(self) -> None:
        """End it as a crash or the kernel would: no handler runs."""
        self.process.kill()
        self.process.wait()

    def _hears_term(self) -> bool:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def end(self) -> int:
        """Ask it to end in order, once it can hear that: one that still starts would just die."""
        if self.is_alive:
            self.process.send_signal(signal.SIGCONT)
            until(lambda: not self.is_alive or self._hears_term())
            self.process.terminate()
        return self.process.wait(END_S)


@contextmanager
def console_in_parts(folder: Path, **environment: str) -> Iterator[Console]:
    """A console none of whose processes run yet; parts that still do in the end are ended."""
    with prepared_console(folder, **environment) as console:
        try:
            yield console
        finally:
            for part in _parts_of(console):
                part.kill()


def start_web(console: Console, **environment: str) -> Part:
    """Start the web process alone on the console's port and wait until it answers."""
    ready_in, ready_out = os.pipe()
    arguments = ("manage.py", "web", "--port", str(console.port), "--ready-pipe", str(ready_out))
    part = Part(console, *arguments, pass_fds=(ready_out,), **environment)
    os.close(ready_out)
    with os.fdopen(ready_in, "rb") as pipe:
        assert pipe.read(1) == b"1", part.log.read_text()[-3000:]
    return part


def start_worker(console: Console, **environment: str) -> Part:
    """Start a worker process alone; it claims as soon as it is up."""
    return Part(console, "manage.py", "worker", **environment)


_parts: list[Part] = []


def _parts_of(console: Console) -> list[Part]:
    return [part for part in _parts if part.is_alive and part.log.parent == console.folder]


def kill_workers(console: Console) -> None:
    """End every worker of this console that still lives, at once."""
    for part in _parts_of(console):
        if part.is_worker:
            part.kill()


def resident_bytes(pid: int) -> int:
    """How much memory a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
