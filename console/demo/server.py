"""Owns the demo fleet's SSH servers: real servers on loopback that run real commands as the current user."""

import asyncio
import contextlib
import getpass
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh  # noqa: TID251  a server, which the engine is not: docs/decisions/0002-demo-server-speaks-ssh.md

from console.demo.terminal import DemoTerminal
from instances.engine.transport import Size

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
# In the environment of every command of a fleet, and of nothing else.
MARKER = "MUSTER_DEMO_FLEET"
# Output of a child that outlives its command is passed on for this long, as long as sshd's clients wait.
DRAIN_S = 1.0
# How often it is waited for that long, while the other side holds the output back.
HELD_BACK_TURNS = 60
GRACE_S = 2.0
BASH = "/bin/bash"


@dataclass(frozen=True)
class Place:
    """Where one server listens and what it needs: its home, the file of its host key, and who may sign in."""

    name: str
    port: int
    home: Path
    host_key: Path
    authorized_keys: Path


def new_key() -> tuple[str, str]:
    """Return a new private key and its public line, both in OpenSSH's form."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment="muster demo")
    return key.export_private_key().decode(), key.export_public_key().decode().strip()


class Fleet:
    """The servers that run now; ``folder`` names the fleet in its commands' environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[Place, _Server] = {}

    async def become(self, places: set[Place]) -> list[Place]:
        """Start and end servers until exactly these run; return those that were started.

        A port that is taken is tried again with the next call.
        """
        for place in self._servers.keys() - places:
            await self._servers.pop(place).close()
        started = []
        for place in sorted(places - self._servers.keys(), key=lambda place: place.name):
            server = _Server(place, {MARKER: str(self._folder)})
            try:
                await server.open()
            except OSError as error:
                logger.warning("%s of the demo fleet cannot use port %s: %s", place.name, place.port, error.strerror)
                continue
            self._servers[place] = server
            started.append(place)
        return started

    async def close(self) -> None:
        """End all servers, their commands, and what those left running."""
        await self.become(set())
        end_marked(str(self._folder))


def end_marked(fleet: str) -> list[int]:
    """End every process that carries a fleet's marker and return their ids; only where /proc shows environments."""
    wanted = f"{MARKER}={fleet}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in entry.read_bytes().split(b"\0"):
                os.kill(int(entry.parent.name), signal.SIGKILL)
                found.append(int(entry.parent.name))
    return found


class _Server:
    """One SSH server and its running commands."""

    def __init__(self, place: Place, environment: dict[str, str]) -> None:
        self.place = place
        self.commands: set[_Command] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.environment = _environment(place) | environment
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def open(self) -> None:
        """Listen. Raises: OSError when the port is taken."""
        self.place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._acceptor = await asyncssh.listen(
            ADDRESS,
            self.place.port,
            server_factory=lambda: _Login(self),
            server_host_keys=[str(self.place.host_key)],
            authorized_client_keys=str(self.place.authorized_keys),
            encoding=None,
            # What is typed is the shell's to edit.
            line_editor=False,
            agent_forwarding=False,
            password_auth=False,
            kbdint_auth=False,
            gss_host=None,
            reuse_address=True,
        )

    async def close(self) -> None:
        """Listen no more, end what runs, close the connections."""
        if self._acceptor is not None:
            self._acceptor.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for command in tuple(self.commands):
                command.send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await self._idle.wait()
        for connection in tuple(self._connections):
            connection.abort()
        if self._acceptor is not None:
            await self._acceptor.wait_closed()

    def hold(self, command: "_Command") -> None:
        """Count a command as running."""
        self.commands.add(command)
        self._idle.clear()

    def let_go(self, command: "_Command") -> None:
        """Count a command as ended."""
        self.commands.discard(command)
        if not self.commands:
            self._idle.set()

    def note(self, connection: asyncssh.SSHServerConnection) -> None:
        """Remember a connection until it is gone."""
        self._connections.add(connection)

    def forget(self, connection: asyncssh.SSHServerConnection) -> None:
        """Forget a connection that is gone."""
        self._connections.discard(connection)


class _Login(asyncssh.SSHServer):
    """Lets in whoever holds the fleet's key; the user name does not matter, commands run as the current user."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.note(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._server.forget(self._connection)

    def session_requested(self) -> "asyncssh.SSHServerSession[bytes]":
        return _Command(self._server)


class _Command(asyncssh.SSHServerSession[bytes], asyncio.SubprocessProtocol):
    """One command: a process group of its own on the one side, a channel on the other.

    As with sshd, a command outlives its connection; its pipes are closed then.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._process: asyncio.SubprocessTransport | None = None
        self._line = ""
        self._early: list[bytes] = []
        self._has_eof = False
        self._was_held_back = self._is_held_back = False
        self._open_pipes = {1, 2}
        self._starting: asyncio.Future[Any] | None = None
        self._size: Size | None = None
        self._terminal: DemoTerminal | None = None

    # ------------------------------------------------------------------ the channel

    def connection_made(self, chan: Any) -> None:
        """Take the channel, or the process's transport: both protocols call this by the same name."""
        if isinstance(chan, asyncio.SubprocessTransport):
            self._process = chan
            self._server.hold(self)
            for data in self._early:
                self._feed(data)
            if self._has_eof:
                self._close_stdin()
        else:
            self._channel = chan

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Any) -> bool:
        self._size = Size(*term_size[:2])
        return True

    def exec_requested(self, command: str) -> bool:
        self._line = command
        return True

    def shell_requested(self) -> bool:
        """Give a login shell to whoever has asked for a terminal first."""
        if self._size is None:
            return False
        self._terminal = DemoTerminal(self._channel, self._size)
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal is not None:
            self._terminal.resize(Size(width, height))

    def session_started(self) -> None:
        loop = asyncio.get_running_loop()
        # The loop itself keeps no reference: the attribute does.
        self._starting = loop.create_task(self._start())

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        place = self._server.place
        place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._terminal is not None:
            self._server.hold(self)
            try:
                await self._terminal.run(_login(self._server.environment), str(place.home))
            finally:
                self._server.let_go(self)
            return
        await loop.subprocess_exec(
            lambda: self,
            "/bin/sh",
            "-c",
            self._line,
            cwd=place.home,
            env=dict(self._server.environment),
            start_new_session=True,
        )

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._terminal is not None:
            self._terminal.type(data)
        elif self._process is None:
            self._early.append(data)
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        self._has_eof = True
        self._close_stdin()
        return True

    def signal_received(self, signal: str) -> None:
        number = _number(signal)
        if number is not None:
            self.send(number)

    def pause_writing(self) -> None:
        self._was_held_back = self._is_held_back = True
        if self._terminal is not None:
            self._terminal.brake(True)
        self._each_pipe("pause_reading")

    def resume_writing(self) -> None:
        self._is_held_back = False
        if self._terminal is not None:
            self._terminal.brake(False)
        self._each_pipe("resume_reading")

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the pipes of a command whose channel is gone; it learns of it as from sshd."""
        self._channel = None
        if self._terminal is not None:
            self._terminal.hang_up()
        self._each_pipe("close")

    # ------------------------------------------------------------------ the process

    def send(self, number: signal.Signals) -> None:
        """Signal the command's group, only while its leader lives: afterwards the number may be somebody else's."""
        if self._terminal is not None:
            self._terminal.send(number)
        if self._process is not None and self._process.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.get_pid(), number)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.write(data, asyncssh.EXTENDED_DATA_STDERR if fd == 2 else None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if not self._open_pipes and self not in self._server.commands:
            self._finish()

    def process_exited(self) -> None:
        self._server.let_go(self)
        if self._open_pipes:
            asyncio.get_running_loop().call_later(DRAIN_S, self._drain, HELD_BACK_TURNS)
        else:
            self._finish()

    def _drain(self, turns: int) -> None:
        """Finish, unless what it printed last could not all be taken because the channel held it back meanwhile."""
        if not (self._open_pipes and self._was_held_back and self._channel is not None and turns):
            self._finish()
            return
        self._was_held_back = self._is_held_back
        asyncio.get_running_loop().call_later(DRAIN_S, self._drain, turns - 1)

    def _finish(self) -> None:
        """Report the end, once."""
        channel, self._channel = self._channel, None
        assert self._process is not None
        if channel is not None:
            status = self._process.get_returncode() or 0
            with contextlib.suppress(OSError):
                if status < 0:
                    channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
                else:
                    channel.exit(status)
        self._process.close()

    def _feed(self, data: bytes) -> None:
        pipe = self._pipe(0)
        if pipe is not None and not pipe.is_closing():
            pipe.write(data)

    def _close_stdin(self) -> None:
        pipe = self._pipe(0)
        if pipe is not None:
            pipe.close()

    def _each_pipe(self, action: str) -> None:
        for fd in (1, 2):
            pipe = self._pipe(fd)
            if pipe is not None and not pipe.is_closing():
                getattr(pipe, action)()

    def _pipe(self, fd: int) -> Any:
        return self._process.get_pipe_transport(fd) if self._process is not None else None


def _number(name: str) -> signal.Signals | None:
    try:
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    except KeyError:
        return None


def _login(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a terminal: with the shell that people expect, where there is one."""
    return environment | ({"SHELL": BASH} if Path(BASH).exists() else {})


def _environment(place: Place) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    user = getpass.getuser()
    home = str(place.home)
    return kept | {
        "PATH": path,
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/sh",
        "HOSTNAME": place.name,
    }
