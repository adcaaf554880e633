"""Owns terminals on the console's own machine: a login shell behind a pseudo-terminal, without SSH."""

import asyncio
import fcntl
import os
import signal as signals
import struct
import termios
from typing import cast

from instances.engine.errors import StartRefused
from instances.engine.transport import Exit, Size, Terminal
from instances.engine.types import Sink, Stream

READ_BYTES = 64 * 1024
CONGESTED_BYTES = 64 * 1024
# The first terminal a session leader opens becomes the one that controls it, and its Ctrl+C.
_LOGIN = 'exec "$1" -l <"$0" >"$0" 2>&1'


async def open_local_terminal(environment: dict[str, str], folder: str, size: Size, *, sink: Sink) -> "LocalTerminal":
    """Start the account's login shell. Raises: StartRefused."""
    ours, theirs = os.openpty()
    terminal = LocalTerminal(ours, theirs, sink)
    terminal.resize(size)
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: _Protocol(terminal),
            "/bin/sh",
            "-c",
            _LOGIN,
            os.ttyname(theirs),
            environment["SHELL"],
            env=environment,
            cwd=folder,
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        terminal.close()
        terminal.let_go()
        raise StartRefused from None
    terminal.begin()
    return terminal


class LocalTerminal(Terminal):
    """The console's end of a pseudo-terminal; the brake stops reading it."""

    def __init__(self, handle: int, theirs: int, sink: Sink) -> None:
        super().__init__()
        self._handle: int | None = handle
        # While nobody has it open there is nothing to read, for good: the shell opens it only after its start.
        self._theirs: int | None = theirs
        self._sink = sink
        self._typed = bytearray()
        self.transport: asyncio.SubprocessTransport | None = None
        os.set_blocking(handle, False)

    def begin(self) -> None:
        """Read from now on."""
        self._sink.attach(self)
        self.resume()

    def write(self, data: bytes) -> None:
        if self._handle is None:
            return
        if not self._typed:
            asyncio.get_running_loop().add_writer(self._handle, self._write_more)
        self._typed += data
        self.is_congested = len(self._typed) > CONGESTED_BYTES

    def write_eof(self) -> None:
        """A terminal has no end of input but the one that is typed: Ctrl+D."""
        self.write(b"\x04")

    def signal(self, name: str) -> None:
        if self.transport is not None and self.exit is None:
            try:
                os.killpg(self.transport.get_pid(), signals.Signals[f"SIG{name}"])
            except ProcessLookupError:
                return

    def resize(self, size: Size) -> None:
        if self._handle is not None:
            fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))

    def close(self) -> None:
        """Hang up: the kernel sends SIGHUP to what runs in it."""
        if self._handle is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._handle)
        loop.remove_writer(self._handle)
        os.close(self._handle)
        self._handle = None
        self.is_output_complete = True
        self.changed.set()

    def pause(self) -> None:
        """Stop reading; the program blocks."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)

    def resume(self) -> None:
        """Read on."""
        if self._handle is not None:
            asyncio.get_running_loop().add_reader(self._handle, self._read_more)

    def let_go(self) -> None:
        """Give up the shell's end."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None

    def exited(self, code: int) -> None:
        """Note the end of the shell; what it wrote last is still read."""
        self.let_go()
        self.exit = Exit(status=code) if code >= 0 else Exit(signal=signals.Signals(-code).name.removeprefix("SIG"))
        self.changed.set()
        if self.transport is not None:
            self.transport.close()

    def _read_more(self) -> None:
        if self._handle is None:
            return
        try:
            data = os.read(self._handle, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # EIO: nobody has the other end open any more.
            data = b""
        if data:
            self._sink.write(Stream.STDOUT, data)
        else:
            self.close()

    def _write_more(self) -> None:
        if self._handle is None:
            return
        try:
            done = os.write(self._handle, self._typed)
        except BlockingIOError:
            return
        except OSError:
            done = len(self._typed)
        del self._typed[:done]
        self.is_congested = len(self._typed) > CONGESTED_BYTES
        if not self._typed:
            asyncio.get_running_loop().remove_writer(self._handle)
        self.changed.set()


class _Protocol(asyncio.SubprocessProtocol):
    """Tells the terminal how its shell ended."""

    def __init__(self, terminal: LocalTerminal) -> None:
        self._terminal = terminal

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._terminal.transport = cast(asyncio.SubprocessTransport, transport)

    def process_exited(self) -> None:
        transport = self._terminal.transport
        assert transport is not None
        self._terminal.exited(transport.get_returncode() or 0)
