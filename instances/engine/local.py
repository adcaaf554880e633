"""Owns the console's own machine as an instance: commands as subprocesses in sessions of their own."""

import asyncio
import os
import pwd
import signal as signals
from pathlib import Path
from typing import cast

from instances.engine.errors import ConnectionLost, StartRefused
from instances.engine.local_terminal import open_local_terminal
from instances.engine.sftp import no_sftp
from instances.engine.transport import TERM, Connection, Exit, Files, Process, Size, Terminal
from instances.engine.types import Sink, Stream, Target

_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}
# The console's own environment holds its secrets; a login on this machine would not have them.
_PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ")


class LocalTransport:
    """Reaches this machine without SSH, as the user the console runs as."""

    async def connect(self, target: Target, through: Connection | None = None) -> "LocalConnection":
        """Return at once: there is nothing to connect to."""
        return LocalConnection()


class LocalConnection:
    """This machine; implements ``transport.Connection``."""

    def __init__(self) -> None:
        self._is_closed = False

    @property
    def banner(self) -> str:
        """Say that no SSH server is involved."""
        return "local"

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        """Start the command line as sshd would: in its own session, with a clean environment, at home.

        Raises: StartRefused; ConnectionLost after ``close``.
        """
        if self._is_closed:
            raise ConnectionLost(is_sent=False)
        process = _LocalProcess(sink)
        environment = _environment()
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: _Protocol(process),
                "/bin/sh",
                "-c",
                exec_request,
                env=environment,
                cwd=_folder(environment["HOME"]),
                start_new_session=True,
            )
        except OSError:
            raise StartRefused from None
        process.write(stdin)
        return process

    async def open_terminal(self, size: Size, *, sink: Sink) -> Terminal:
        """Start the account's login shell in a terminal, with a clean environment, at home.

        Raises: as ``start``.
        """
        if self._is_closed:
            raise ConnectionLost(is_sent=False)
        environment = {**_environment(), "TERM": TERM}
        return await open_local_terminal(environment, _folder(environment["HOME"]), size, sink=sink)

    async def files(self) -> Files:
        """Refuse: files travel over SSH only.

        Raises: FileRefused.
        """
        raise no_sftp()

    def close(self) -> None:
        """Start nothing more."""
        self._is_closed = True

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


class _LocalProcess(Process):
    """A subprocess; the brake (``Flow``) stops reading its pipes."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink
        self.transport: asyncio.SubprocessTransport | None = None
        self._open_pipes = set(_STREAMS)
        self._is_given_up = False

    def write(self, data: bytes) -> None:
        pipe = self._pipe(0)
        if pipe is not None and not pipe.is_closing():
            cast(asyncio.WriteTransport, pipe).write(data)

    def write_eof(self) -> None:
        pipe = self._pipe(0)
        if pipe is not None and not pipe.is_closing():
            cast(asyncio.WriteTransport, pipe).write_eof()

    def signal(self, name: str) -> None:
        if self.transport is not None and self.exit is None:
            try:
                os.killpg(self.transport.get_pid(), signals.Signals[f"SIG{name}"])
            except ProcessLookupError:
                return

    def close(self) -> None:
        self._is_given_up = True
        if self.transport is None:
            return
        if self.exit is not None:
            self.transport.close()
            return
        # SubprocessTransport.close() would kill what still runs: only the pipes are closed.
        for number in (0, *_STREAMS):
            pipe = self._pipe(number)
            if pipe is not None and not pipe.is_closing():
                pipe.close()

    def pause(self) -> None:
        """Stop reading; the pipe fills up and the command blocks."""
        for number in self._open_pipes:
            cast(asyncio.ReadTransport, self._pipe(number)).pause_reading()

    def resume(self) -> None:
        """Read on."""
        for number in self._open_pipes:
            cast(asyncio.ReadTransport, self._pipe(number)).resume_reading()

    def pipe_closed(self, number: int) -> None:
        """Note the end of one output."""
        self._open_pipes.discard(number)
        if not self._open_pipes:
            self.is_output_complete = True
        self.changed.set()

    def exited(self, code: int) -> None:
        """Note the end of the process."""
        self.exit = Exit(status=code) if code >= 0 else Exit(signal=signals.Signals(-code).name.removeprefix("SIG"))
        self.changed.set()
        if self._is_given_up:
            self.close()

    def _pipe(self, number: int) -> asyncio.BaseTransport | None:
        return None if self.transport is None else self.transport.get_pipe_transport(number)


class _Protocol(asyncio.SubprocessProtocol):
    """Passes asyncio's callbacks on to the process."""

    def __init__(self, process: _LocalProcess) -> None:
        self._process = process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._process.transport = cast(asyncio.SubprocessTransport, transport)
        self._process.sink.attach(self._process)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        self._process.sink.write(_STREAMS[fd], cast(bytes, data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._process.pipe_closed(fd)

    def process_exited(self) -> None:
        transport = self._process.transport
        assert transport is not None
        self._process.exited(transport.get_returncode() or 0)


def _folder(home: str) -> str:
    return home if Path(home).is_dir() else "/"


def _environment() -> dict[str, str]:
    account = pwd.getpwuid(os.getuid())
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": os.defpath,
        **passed_on,
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
    }
