"""A page that shows a terminal: speaks its socket's protocol as terminal.js does, over many connections if need be."""

import asyncio
import base64
import json
import secrets
import struct
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.console import Console
from tests.support.visitor import Visitor

_HEAD = struct.Struct(">BQ")
IN_FLIGHT_BYTES, RECORD_BYTES, ACK_EVERY_BYTES = 64 * 1024, 16 * 1024, 64 * 1024
# What a page does not come back from.
FINAL_CODES = {1000, 4401, 4403, 4404, 4429, 4430}


@dataclass
class TerminalPage:
    """One page. ``shown`` is all it was sent since the last reset; ``offset`` where in the output that ends."""

    console: Console
    visitor: Visitor
    session: int
    tab: str = field(default_factory=lambda: secrets.token_hex(8))
    columns: int = 80
    rows: int = 24
    shown: bytearray = field(default_factory=bytearray)
    offset: int | None = None
    is_writer: bool = False
    told: list[dict[str, object]] = field(default_factory=list)
    ended: dict[str, object] | None = None
    code: int | None = None
    connections: int = 0
    acknowledges: bool = True
    _typed: bytearray = field(default_factory=bytearray)
    _base: int = 0
    _sent: int = 0
    _acked: int = 0
    _generation: int = -1
    _drawn: int = 0
    _socket: ClientConnection | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Look at the terminal until it ends, or the page is sent away; connects again after anything else."""
        while self.ended is None and self.code not in FINAL_CODES:
            try:
                async with connect(
                    self.console.url.replace("http", "ws") + f"/ws/terminals/{self.session}/",
                    origin=self.console.url,  # type: ignore[arg-type]
                    additional_headers={"Cookie": self.visitor.cookie},
                    max_size=2**20,
                ) as socket:
                    self._socket = socket
                    self.connections += 1
                    await self._look(socket)
            except ConnectionClosed as closed:
                self.code = closed.rcvd.code if closed.rcvd else 1006
            except (OSError, InvalidHandshake):
                pass
            self._note()
            await asyncio.sleep(0.1)

    async def until(self, *texts: bytes, within_s: float = 60.0) -> None:
        """Wait until all of the texts were shown."""
        await self.when(lambda: all(text in self.shown for text in texts), within_s)

    async def when(self, condition, within_s: float = 60.0) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{bytes(self.shown[-500:])!r} {self.told[-3:]} {self.code} {self.ended}") from None

    async def type(self, text: bytes) -> None:
        """Type; what is not acknowledged is sent again after a reconnect."""
        self._typed += text
        await self._send_typed()

    async def say(self, **message: object) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(message))

    def cut(self) -> None:
        """Lose the connection without a goodbye."""
        assert self._socket is not None
        self._socket.transport.abort()

    async def _look(self, socket: ClientConnection) -> None:
        attach = {"type": "attach", "tab": self.tab, "from": self.offset, "columns": self.columns, "rows": self.rows}
        await socket.send(json.dumps(attach))
        async for message in socket:
            if isinstance(message, bytes):
                _, offset = _HEAD.unpack_from(message)
                assert offset == self.offset, (offset, self.offset)
                self.shown += message[_HEAD.size :]
                self.offset += len(message) - _HEAD.size
                if self.acknowledges and self.offset - self._drawn >= ACK_EVERY_BYTES:
                    self._drawn = self.offset
                    # What came before the end is read, as a browser does.
                    with suppress(ConnectionClosed):
                        await socket.send(json.dumps({"type": "ack", "upto": self.offset}))
            else:
                await self._hear(json.loads(message))
            self._note()
        raise ConnectionClosed(socket.protocol.close_rcvd, None)

    async def _hear(self, message: dict) -> None:
        self.told.append(message)
        match message["type"]:
            case "attached":
                if message["reset"]:
                    self.shown.clear()
                self.offset = self._drawn = message["output_from"]
                await self._may_type(message)
            case "prefix":
                self.shown += base64.b64decode(message["data"])
            case "writer":
                await self._may_type(message)
            case "input_ack":
                self._acked = message["upto"]
                await self._send_typed()
            case "ended":
                self.ended = message

    async def _may_type(self, message: dict) -> None:
        self.is_writer = message["writer"]
        upto = message["input_upto"]
        if message["generation"] != self._generation:
            # What was typed before somebody else did is not sent any more.
            if self._generation != -1 or not self.is_writer:
                self._typed.clear()
            self._generation, self._base = message["generation"], upto
        else:
            del self._typed[: upto - self._base]
            self._base = upto
        self._sent = self._acked = upto
        await self._send_typed()

    async def _send_typed(self) -> None:
        if not self.is_writer or self._socket is None:
            return
        with suppress(ConnectionClosed):
            while self._sent - self._base < len(self._typed) and self._sent - self._acked < IN_FLIGHT_BYTES:
                start = self._sent - self._base
                part = bytes(self._typed[start : start + RECORD_BYTES])
                await self._socket.send(_HEAD.pack(1, self._sent) + part)
                self._sent += len(part)

    def _note(self) -> None:
        self._changed.set()
