"""Owns the terminal a command of ours runs in: every key as it is pressed, and put back as it was, whatever happens."""

import asyncio
import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from console.sessions.screen import Modes
from instances.engine.transport import Size

READ_BYTES = 16 * 1024
# How long what sets the terminal back may wait for one that is not read.
LEAVE_S = 0.5
USUAL = Size(80, 24)


class Keyboard(Protocol):
    """Who is told what happens in the terminal."""

    def pressed(self, data: bytes) -> None:
        """Take what was typed."""

    def hung_up(self) -> None:
        """Learn that the terminal is gone."""


class OwnTerminal:
    """This process's terminal, on a file of its own: reading and writing never wait, and nobody else's do not either.

    Use all but ``size`` inside ``raw``, in the loop's thread. Raises: OSError where there is no terminal.
    """

    def __init__(self, handle: int) -> None:
        self._file = _own_file(handle)
        self._modes = Modes()
        self._waiting = bytearray()
        self._is_at_line_start = True
        self._is_reading = False
        self._keyboard: Keyboard | None = None
        self._drained = asyncio.Event()

    @property
    def size(self) -> Size:
        """How many characters it shows now."""
        with suppress(OSError):
            columns, rows = os.get_terminal_size(self._file)
            if columns and rows:
                return Size(columns, rows)
        return USUAL

    @property
    def is_full_screen(self) -> bool:
        """Whether a program has the whole screen: what is said there spoils it."""
        return self._modes.is_full_screen

    @contextmanager
    def raw(self, keyboard: Keyboard) -> Iterator[None]:
        """Pass every key on for as long as the block runs."""
        loop = asyncio.get_running_loop()
        self._keyboard = keyboard
        self._usual = termios.tcgetattr(self._file)
        try:
            self._enter()
            self.read(True)
            yield
        finally:
            loop.remove_reader(self._file)
            loop.remove_writer(self._file)
            self._leave()

    @contextmanager
    def set_back(self) -> Iterator[None]:
        """Have the terminal as it was for as long as the block runs, for another program."""
        self._leave()
        try:
            yield
        finally:
            self._enter()

    def close(self) -> None:
        """Give its file back."""
        os.close(self._file)

    # ------------------------------------------------------------------ keys

    def read(self, wanted: bool) -> None:
        """Take keys, or leave them where they are for now."""
        loop = asyncio.get_running_loop()
        if wanted and not self._is_reading:
            loop.add_reader(self._file, self._readable)
        elif not wanted and self._is_reading:
            loop.remove_reader(self._file)
        self._is_reading = wanted

    def _readable(self) -> None:
        assert self._keyboard is not None
        try:
            data = os.read(self._file, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._keyboard.pressed(data)
        else:
            self.read(False)
            self._keyboard.hung_up()

    # ------------------------------------------------------------------ screen

    def show(self, data: bytes) -> None:
        """Show output as it is; ``drained`` tells when it was taken."""
        if not data:
            return
        self._modes.feed(data)
        self._is_at_line_start = data.endswith((b"\r", b"\n"))
        self._waiting += data
        self._writable()

    def say(self, sentence: str) -> None:
        """Show a line of our own."""
        begin = "" if self._is_at_line_start else "\r\n"
        self.show(f"{begin}[{sentence}]\r\n".encode())

    def clear(self) -> None:
        """Begin with an empty screen in the usual modes; what was there is above, in the scroll-back."""
        self.show(self._modes.undo() + b"\r\n" * self.size.rows + b"\x1b[H\x1b[J")
        self._modes = Modes()

    async def drained(self) -> None:
        """Wait until the terminal has taken what was shown."""
        while self._waiting:
            self._drained.clear()
            await self._drained.wait()

    def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                del self._waiting[: os.write(self._file, self._waiting[:READ_BYTES])]
        except BlockingIOError:
            loop.add_writer(self._file, self._writable)
            return
        except OSError:
            self._waiting.clear()
            if self._keyboard is not None:
                self._keyboard.hung_up()
        loop.remove_writer(self._file)
        self._drained.set()

    # ------------------------------------------------------------------ modes

    def _enter(self) -> None:
        # Not tty.setraw's way, which throws away what was typed ahead.
        tty.setraw(self._file, termios.TCSANOW)

    def _leave(self) -> None:
        """Put everything back, at once; what was typed for the other side is not for the shell here."""
        rest = bytes(self._waiting) + self._modes.undo() + (b"" if self._is_at_line_start else b"\r\n")
        self._waiting.clear()
        self._modes, self._is_at_line_start = Modes(), True
        with suppress(OSError, termios.error):
            while rest and select.select([], [self._file], [], LEAVE_S)[1]:
                rest = rest[os.write(self._file, rest) :]
        with suppress(termios.error):
            termios.tcflush(self._file, termios.TCIFLUSH)
        with suppress(termios.error):
            termios.tcsetattr(self._file, termios.TCSANOW, self._usual)


def _own_file(handle: int) -> int:
    """Open a terminal once more: not to wait is a property of the open file, which is shared with the shell."""
    how = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(os.ttyname(handle), how)
    except OSError:
        # In some containers its name is that of another machine's.
        return os.open("/dev/tty", how)
