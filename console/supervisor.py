"""Owns the processes of one machine: starts web and workers, restarts what dies, drains them at the end."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

BACK_OFF_S = (1, 2, 4, 8, 16, 30)
GIVE_UP_DEATHS, GIVE_UP_WITHIN_S = 5, 60.0
# Draining workers take up to 30 s, then stop what is left, verified.
DRAIN_S = 75.0
# What the web process may take after them, with all its sockets.
LAST_S = 10.0
LAST_LINES = 15
_LOCK = "console.lock"


class GivenUp(Exception):
    """A process died again and again; the message holds its last lines."""


class DataFolderLocked(Exception):
    """Another console is running on this data folder."""


def lock_data_folder(folder: Path) -> IO[str]:
    """Take the lock that allows one console per data folder; keep the returned file open.

    Raises: DataFolderLocked; PermissionError when the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not emptied by the opening: it says where another one answers.
    file = (folder / _LOCK).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise DataFolderLocked(f"Another Muster is running on {folder}. Stop it first.") from None
    return file


def note_address(lock: IO[str], address: str) -> None:
    """Write into the lock's file where this console answers; empty at its end."""
    lock.truncate(0)
    lock.write(address)
    lock.flush()


def noted_address(folder: Path) -> str:
    """Return where the console on a data folder answers; empty when none is running that did not die."""
    try:
        return (folder / _LOCK).read_text()
    except OSError:
        return ""


@dataclass
class Child:
    """One supervised process and the history of its deaths."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=GIVE_UP_DEATHS))
    start_at: float = 0.0
    log: Path | None = None
    # Others need it for as long as they end.
    ends_last: bool = False

    def note_death(self, now: float) -> None:
        """Set when to start again. Raises: GivenUp after too many deaths in a short time."""
        self.deaths.append(now)
        if len(self.deaths) == GIVE_UP_DEATHS and now - self.deaths[0] < GIVE_UP_WITHIN_S:
            raise GivenUp(f"The {self.name} process died {GIVE_UP_DEATHS} times in {GIVE_UP_WITHIN_S:.0f} s.")
        recent = sum(1 for at in self.deaths if now - at < GIVE_UP_WITHIN_S)
        self.start_at = now + BACK_OFF_S[min(recent, len(BACK_OFF_S)) - 1]


class Supervisor:
    """Runs children until a signal asks for the end.

    Children are started by exec, never forked after import, and hold the reading end of a pipe: when this process
    dies, however it dies, they see the end of it; the web process exits and the workers drain.
    """

    def __init__(self, children: list[Child], *, ready: Callable[[], None]) -> None:
        self._children = children
        self._ready = ready
        self._ending = False
        self._pipe_in, self._pipe_out = os.pipe()
        os.set_inheritable(self._pipe_in, True)

    def run(self) -> None:
        """Start everything and stay until SIGTERM or SIGINT. Raises: GivenUp."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_end)
        ready_in, ready_out = os.pipe()
        os.set_inheritable(ready_out, True)
        self._start(self._children[0], "--ready-pipe", str(ready_out), pass_fds=(ready_out,))
        os.close(ready_out)
        for child in self._children[1:]:
            self._start(child)
        try:
            self._wait_until_ready(ready_in)
            while not self._ending:
                self._look_after()
                time.sleep(0.1)
        finally:
            self._end()

    def _start(self, child: Child, *extra: str, pass_fds: tuple[int, ...] = ()) -> None:
        command = [sys.executable, sys.argv[0], *child.arguments, "--parent-pipe", str(self._pipe_in), *extra]
        # A session of its own: Ctrl+C in the terminal reaches this process alone, which then drains in order.
        child.process = subprocess.Popen(command, pass_fds=(self._pipe_in, *pass_fds), start_new_session=True)  # noqa: S603

    def _wait_until_ready(self, handle: int) -> None:
        os.set_blocking(handle, False)
        while not self._ending:
            try:
                if os.read(handle, 1):
                    os.close(handle)
                    self._ready()
                    return
            except BlockingIOError:
                pass
            web = self._children[0].process
            if web and web.poll() is not None:
                raise GivenUp(f"The web process ended with status {web.returncode} before it could answer.")
            time.sleep(0.05)

    def _look_after(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                sys.stderr.write(f"The {child.name} process ended with status {child.process.returncode}.\n")
                child.process = None
                child.note_death(now)
            if child.process is None and now >= child.start_at:
                self._start(child)

    @staticmethod
    def _say_what_is_waited_for(running: list[subprocess.Popen[bytes]]) -> None:
        """Tell a person at the terminal why nothing happens, unless it is over within a second."""
        patience = time.monotonic() + 1
        while time.monotonic() < patience:
            if all(process.poll() is not None for process in running):
                return
            time.sleep(0.05)
        sys.stderr.write("Ending. Commands that still run get 30 s, then they are stopped.\n")

    def _ask_to_end(self, number: int, frame: object) -> None:
        self._ending = True

    def _end(self) -> None:
        self._end_those(DRAIN_S, last=False)
        self._end_those(LAST_S, last=True)
        os.close(self._pipe_out)

    def _end_those(self, within_s: float, *, last: bool) -> None:
        those = [child.process for child in self._children if child.ends_last == last]
        running = [process for process in those if process and process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + within_s
        if not last:
            self._say_what_is_waited_for(running)
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# ------------------------------------------------------------------ the children's side


def end_with_parent(handle: int, end: Callable[[], None]) -> None:
    """Call ``end`` when the other side of a pipe closes: the supervisor died, however it died."""

    def watch() -> None:
        with os.fdopen(handle, "rb") as pipe:
            pipe.read()
        end()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def fail(said: str | Exception) -> NoReturn:
    """Print one sentence and end with status 2; an error of the system is said without its number."""
    if isinstance(said, OSError) and said.strerror:
        said = f"{said.filename} cannot be used: {said.strerror}." if said.filename else f"{said.strerror}."
    elif isinstance(said, UnicodeError):
        said = "What was given is not UTF-8 text."
    sys.stderr.write(f"{said}\n")
    raise SystemExit(2)
