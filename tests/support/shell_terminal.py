"""A terminal with a management command in it: what somebody sees and presses who sits at a shell."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.console import ROOT, Console


class ShellTerminal:
    """A real PTY in which ``manage.py`` runs as its foreground process. ``shown`` is all it printed."""

    def __init__(self, console: Console, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        self.keys, self.screen = os.openpty()
        self.resize(columns, rows)
        self.usual = termios.tcgetattr(self.screen)
        self.shown = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**console.environment, "TERM": "xterm-256color"},
            stdin=self.screen,
            stdout=self.screen,
            stderr=self.screen,
            # A session of its own, whose terminal this is: else no signal comes from it.
            preexec_fn=lambda: os.login_tty(self.screen),
        )

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size, as dragging its window does."""
        fcntl.ioctl(self.keys, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        while text:
            text = text[os.write(self.keys, text) :]

    def until(self, *texts: bytes, within_s: float = 60.0) -> None:
        """Read until all of the texts were shown."""
        ends_at = time.monotonic() + within_s
        while not all(text in self.shown for text in texts):
            assert self._read(max(0.0, ends_at - time.monotonic())), f"{bytes(self.shown)!r} {self.process.poll()}"

    def ended(self, within_s: float = 60.0) -> int:
        """Read until it has ended, and return its exit status."""
        ends_at = time.monotonic() + within_s
        while self.process.poll() is None:
            assert time.monotonic() < ends_at, bytes(self.shown)
            self._read(0.05)
        while self._read(0.0):
            pass
        return self.process.returncode

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.screen)[3] & termios.ECHO

    @property
    def is_as_it_was(self) -> bool:
        return termios.tcgetattr(self.screen) == self.usual

    def _read(self, within_s: float) -> bool:
        if not select.select([self.keys], [], [], within_s)[0]:
            return False
        self.shown += os.read(self.keys, 65536)
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.keys)
        os.close(self.screen)


@contextmanager
def shell_terminal(console: Console, *arguments: str, **size: int) -> Iterator[ShellTerminal]:
    """Run a command in a terminal for the block."""
    terminal = ShellTerminal(console, *arguments, **size)
    try:
        yield terminal
    finally:
        terminal.close()
