"""Owns the ports: what execute, stop and check need from a way to reach a machine."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from instances.engine.errors import ConnectionLost
from instances.engine.types import Flow, Sink, Stream, Target

COLLECT_BYTES = 16 * 1024 * 1024
# What programs in a terminal are told it understands.
TERM = "xterm-256color"


@dataclass(frozen=True)
class Exit:
    """What the machine reported at the end: a status, or a signal name without SIG, or neither."""

    status: int | None = None
    signal: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the machine said anything at all."""
        return self.status is not None or bool(self.signal)


class Process(ABC):
    """Something started on a machine; the transport keeps the fields true and sets ``changed`` after each change.

    ``exit`` is set by the exit record, or to ``Exit()`` when the channel closed without one.
    ``is_lost``: the connection broke before that. ``is_output_complete``: all output was delivered to the sink;
    a child that keeps the output open can delay that for ever.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.exit: Exit | None = None
        self.is_lost = False
        self.is_output_complete = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be heard about how it ends."""
        return self.exit is not None or self.is_lost

    async def until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until the condition holds, looking again after each change; return whether it does."""
        if condition():
            return True
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return condition()
        return True

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append to its stdin; bytes for a process that is gone are dropped."""

    @abstractmethod
    def write_eof(self) -> None:
        """End its stdin."""

    @abstractmethod
    def signal(self, name: str) -> None:
        """Ask for a signal such as TERM; whether it arrives depends on the server."""

    @abstractmethod
    def close(self) -> None:
        """Give up the channel; what runs on the machine may go on."""


@dataclass(frozen=True)
class Size:
    """How many characters a terminal shows."""

    columns: int
    rows: int


class Terminal(Process):
    """A login shell in a terminal of its own on a machine: one stream of output, and what is written is typed.

    ``is_congested``: the machine does not take what is typed as fast as it comes; whoever writes waits with ``until``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_congested = False

    @property
    def is_unanswered(self) -> bool:
        """Whether the machine has not answered for some seconds, as far as the transport can know."""
        return False

    @abstractmethod
    def resize(self, size: Size) -> None:
        """Tell what runs there how large it is shown."""


@dataclass(frozen=True)
class Seen:
    """What is at a path; ``mode`` without the kind of the file."""

    is_file: bool
    size: int
    mode: int
    uid: int
    gid: int


class OpenFile(Protocol):
    """An open file on a machine. All raise FileRefused or ConnectionLost."""

    async def read(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""

    async def write(self, data: bytes, offset: int) -> None:
        """Write all of it."""

    async def sync(self) -> None:
        """Have it written to the disk, where the server can do that."""

    async def owner(self) -> tuple[int, int]:
        """Return the numbers of its user and group."""

    async def set_owner(self, uid: int, gid: int) -> None:
        """Change its user and group."""

    async def set_mode(self, mode: int) -> None:
        """Change its mode."""

    async def close(self) -> None:
        """Close it."""


class Files(Protocol):
    """The files of one machine, by paths in bytes from home. All raise FileRefused or ConnectionLost."""

    async def look(self, path: bytes, *, follow: bool) -> Seen | None:
        """Say what is there; None for nothing. ``follow``: of a symbolic link, what it leads to."""

    async def create(self, path: bytes) -> OpenFile:
        """Open a new file for writing, mode 0600; what is there already refuses it."""

    async def open(self, path: bytes) -> OpenFile:
        """Open a file for reading."""

    async def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        """Rename in one step; without ``replace`` only if nothing has the new name."""

    async def remove(self, path: bytes) -> None:
        """Remove a file."""

    async def is_full(self, path: bytes) -> bool:
        """Say whether the disk of this path has no room left, as far as the server tells."""

    def close(self) -> None:
        """Give up the channel."""


class Connection(Protocol):
    """An open way to one machine, on which several processes can run at once."""

    @property
    def banner(self) -> str:
        """What the server calls itself."""

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        """Start a shell command line; its stdin begins with ``stdin`` and stays open.

        Raises: ChannelRefused; StartRefused; ConnectionLost, whose ``is_sent`` tells whether the request may have left.
        """

    async def open_terminal(self, size: Size, *, sink: Sink) -> Terminal:
        """Start the user's login shell in a terminal.

        Raises: as ``start``.
        """

    async def files(self) -> Files:
        """Open the machine's files.

        Raises: FileRefused where it serves none; ChannelRefused; ConnectionLost.
        """

    def close(self) -> None:
        """Close at once; what still runs on it is lost sight of."""

    async def wait_closed(self) -> None:
        """Wait until ``close`` is done."""


class Transport(Protocol):
    """A way to reach machines."""

    async def connect(self, target: Target, through: Connection | None = None) -> Connection:
        """Connect and sign in; one attempt. ``through`` is the connection to the target's jump host, if it has one.

        Raises: ConnectError.
        """


class Collector:
    """A sink that keeps everything up to a limit, for the engine's own short questions."""

    def __init__(self, limit_bytes: int = COLLECT_BYTES) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._limit_bytes = limit_bytes

    def attach(self, flow: Flow) -> None:
        """Nothing to brake: what is over the limit is dropped."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Keep the bytes."""
        kept = self.stdout if stream is Stream.STDOUT else self.stderr
        kept += data[: max(0, self._limit_bytes - len(kept))]


async def ask(connection: Connection, exec_request: str, *, timeout_s: float, stdin: bytes = b"") -> bytes:
    """Run a short command line on a short stdin and return its stdout, whatever its exit status.

    Raises: as ``Connection.start``; ConnectionLost also when there is no full answer within ``timeout_s``.
    """
    sink = Collector()
    try:
        async with asyncio.timeout(timeout_s):
            process = await connection.start(exec_request, stdin=stdin, sink=sink)
            try:
                process.write_eof()
                await process.until(lambda: process.is_over and (process.is_lost or process.is_output_complete), None)
            finally:
                process.close()
    except TimeoutError:
        raise ConnectionLost("The instance did not answer in time.") from None
    if process.is_lost:
        raise ConnectionLost
    return bytes(sink.stdout)
