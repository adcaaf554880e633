"""Owns the channels of SSH connections: what runs on one, and the brake of its output. Opened by ssh.py."""

import asyncio
import socket
from contextlib import suppress

import asyncssh  # noqa: TID251  the one place, with ssh.py and ssh_keys.py

from instances.engine.transport import Exit, Process, Size, Terminal
from instances.engine.types import HostKey, Sink, Stream

# Written and not yet taken by the machine: above the first its writer is told to wait, below the second to go on.
CONGESTED_BYTES, CLEAR_BYTES = 64 * 1024, 16 * 1024
# How often the kernel sent something again without an answer: five times take it six seconds or more. In the kernel's
# ``struct tcp_info`` that count is the third byte.
UNANSWERED_TRIES, TRIES_AT = 5, 2


class Client(asyncssh.SSHClient):
    """Notes how far a connection came."""

    def __init__(self) -> None:
        self.presented: HostKey | None = None
        self.is_signing_in = False
        self.is_lost = False
        self.sock: socket.socket | None = None
        # Of the jump host's connection that this one runs through.
        self.before: Client | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        # Only asked about keys that are not in known_hosts, so the answer is always no.
        self.presented = HostKey.parse(key.export_public_key().decode())
        return False

    def begin_auth(self, username: str) -> None:
        self.is_signing_in = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def acknowledge(self) -> None:
        """Have the answer to what was just sent acknowledged at once.

        sshd waits for that (Nagle) before it sends its next small packet, and sending makes the kernel slow to do it.
        """
        if self.sock is not None and hasattr(socket, "TCP_QUICKACK"):
            try:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except OSError:
                self.sock = None

    @property
    def is_unanswered(self) -> bool:
        """Whether what was sent has found no answer for some seconds: the machine, or the way to it, is gone.

        Known on Linux; behind a jump host, of the way to the first one alone.
        """
        if self.before is not None:
            return self.before.is_unanswered
        if self.sock is None or not hasattr(socket, "TCP_INFO"):
            return False
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TRIES_AT + 1)
        except OSError:
            return False
        return info[TRIES_AT] >= UNANSWERED_TRIES


class SSHProcess(Process):
    """A process on a channel; the brake (``Flow``) closes the channel's window."""

    def __init__(self, client: Client, sink: Sink, stdin: bytes) -> None:
        super().__init__()
        self.session = _Session(self, client, sink, stdin)

    @property
    def is_sent(self) -> bool:
        """Whether the channel was opened; asyncssh sends the request in the same step."""
        return self.session.channel is not None

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self._channel.write(data)

    def write_eof(self) -> None:
        with suppress(OSError):
            self._channel.write_eof()

    def signal(self, name: str) -> None:
        with suppress(OSError):
            self._channel.send_signal(name)

    def close(self) -> None:
        if self.session.channel is not None:
            self.session.channel.close()

    def pause(self) -> None:
        """Stop reading; the window fills up and the remote command blocks."""
        self._channel.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.session.is_closed:
            self._channel.resume_reading()

    @property
    def _channel(self) -> "asyncssh.SSHClientChannel[bytes]":
        assert self.session.channel is not None
        return self.session.channel


class SSHTerminal(SSHProcess, Terminal):
    """A terminal on a channel; a full write buffer of the channel is what congests it."""

    @property
    def is_unanswered(self) -> bool:
        return self.session.client.is_unanswered

    def resize(self, size: Size) -> None:
        """Pass the size on; a terminal that is gone has none."""
        with suppress(OSError):
            self._channel.change_terminal_size(size.columns, size.rows)


class _Session(asyncssh.SSHClientSession[bytes]):
    """Passes asyncssh's callbacks on to the process."""

    def __init__(self, process: SSHProcess, client: Client, sink: Sink, stdin: bytes) -> None:
        self._process = process
        self.client = client
        self._sink = sink
        self._stdin = stdin
        self.channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.is_closed = False

    def connection_made(self, chan: "asyncssh.SSHClientChannel[bytes]") -> None:
        self.channel = chan
        self._sink.attach(self._process)
        # The exec request leaves in this same step of the loop; stdin right behind it saves a round trip.
        asyncio.get_running_loop().call_soon(self._process.write, self._stdin)

    def session_started(self) -> None:
        # Only now: what is set before is lost with the channel's own start.
        if isinstance(self._process, SSHTerminal) and self.channel is not None:
            self.channel.set_write_buffer_limits(CONGESTED_BYTES, CLEAR_BYTES)

    def pause_writing(self) -> None:
        self._congest(True)

    def resume_writing(self) -> None:
        self._congest(False)

    def _congest(self, is_congested: bool) -> None:
        if isinstance(self._process, Terminal):
            self._process.is_congested = is_congested
            self._process.changed.set()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._sink.write(Stream.STDOUT if datatype is None else Stream.STDERR, data)

    def exit_status_received(self, status: int) -> None:
        self._process.exit = Exit(status=status)
        self._process.changed.set()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._process.exit = Exit(signal=signal)
        self._process.changed.set()

    def eof_received(self) -> bool:
        self._process.is_output_complete = True
        self._process.changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        process = self._process
        self.is_closed = True
        if process.exit is None:
            if exc is not None or self.client.is_lost:
                process.is_lost = True
            else:
                process.exit = Exit()
        if exc is None:
            process.is_output_complete = True
        process.changed.set()
