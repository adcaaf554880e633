"""Owns the way between a web process and the worker that holds a terminal: a unix stream socket per worker.

A frame is a length (u32, big endian) and its payload: a JSON object, or a record, which is what browsers send and are
sent too: kind (u8), offset (u64), bytes. Whoever can open the socket is this console: its folder is 0700.
"""

import asyncio
import json
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import bus, messages

RECORD = 1
# A record of 64 KiB of output with its head, and some room.
LONGEST_FRAME = 70 * 1024
# What may wait to be written: whoever sends more without the other side reading is cut off.
BACKLOG_BYTES = 2 * 1024 * 1024
_LENGTH, _HEAD = struct.Struct(">I"), struct.Struct(">BQ")


class RelayBroken(Exception):
    """The other side is gone, or does not keep to the protocol."""


@dataclass(frozen=True)
class Record:
    """Some bytes of a terminal's input or output, and where in it they are."""

    offset: int
    data: bytes

    def pack(self) -> bytes:
        """Return it as it travels."""
        return _HEAD.pack(RECORD, self.offset) + self.data

    @classmethod
    def unpack(cls, payload: bytes) -> "Record":
        """Return the record. Raises: ValueError."""
        if len(payload) < _HEAD.size:
            raise ValueError("A record has a head of nine bytes.")
        kind, offset = _HEAD.unpack_from(payload)
        if kind != RECORD:
            raise ValueError("There is one kind of record.")
        return cls(offset, payload[_HEAD.size :])


class Line:
    """One connection between web and worker; both sides send and receive frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._is_finished = False

    async def receive(self) -> bytes:
        """Return the next frame's payload. Raises: RelayBroken at the end."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > LONGEST_FRAME:
                raise RelayBroken
            return await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            raise RelayBroken from None

    def send(self, payload: bytes) -> None:
        """Send a frame, without waiting; nothing once it is finished.

        Raises: RelayBroken when the other side does not read, or is gone.
        """
        if self._is_finished:
            return
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > BACKLOG_BYTES:
            raise RelayBroken
        self._writer.write(_LENGTH.pack(len(payload)) + payload)

    def say(self, **message: Any) -> None:
        """Send a JSON message. Raises: as ``send``."""
        self.send(json.dumps(message).encode())

    async def drain(self) -> None:
        """Wait until the other side has read most of what was sent. Raises: RelayBroken."""
        try:
            await self._writer.drain()
        except OSError:
            raise RelayBroken from None

    def finish(self) -> None:
        """Send nothing more; the other side hangs up once it has read everything. Read on until then.

        A line that is closed instead breaks when the other side writes to it, with what that has not read yet.
        """
        self._is_finished = True
        if not self._writer.transport.is_closing():
            self._writer.write_eof()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def hang_up(self) -> None:
        """Hang up, and wait until that is done."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def parsed(payload: bytes) -> dict[str, Any] | None:
    """Return a JSON message, or None for a record. Raises: ValueError for what is neither."""
    if payload[:1] != b"{":
        return None
    return messages.read(payload)


@asynccontextmanager
async def serving(worker_id: uuid.UUID, serve: Callable[[Line], Awaitable[None]]) -> AsyncIterator[None]:
    """Let web processes reach this worker's terminals for as long as the block runs.

    Side effects: a socket in the data folder.
    """
    lines: dict[Line, asyncio.Task[None] | None] = {}

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        lines[line] = asyncio.current_task()
        try:
            await serve(line)
        finally:
            line.close()
            del lines[line]

    path = _path(worker_id)
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(one, str(path))
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        # Hung up on, they end by themselves.
        for line in lines:
            line.close()
        await asyncio.gather(*(task for task in lines.values() if task is not None), return_exceptions=True)


async def reach(worker_id: uuid.UUID) -> Line:
    """Connect to a worker. Raises: RelayBroken when it is not there."""
    try:
        return Line(*await asyncio.open_unix_connection(str(_path(worker_id))))
    except OSError:
        raise RelayBroken from None


def _path(worker_id: uuid.UUID) -> Path:
    # Shorter than a bell's name: both share the limit of a socket's path.
    return bus.socket_folder() / f"{worker_id.hex}.relay"
