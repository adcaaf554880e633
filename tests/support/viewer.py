"""A viewer of one instance's output: speaks the socket's protocol, as the page does, and keeps what it was shown."""

import asyncio
import json
import random
import struct
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.console import Console
from tests.support.until import WITHIN_S
from tests.support.visitor import Visitor

_RECORD = struct.Struct(">BIQI")
STDOUT, STDERR, GAP = 1, 2, 3


@dataclass
class Viewer:
    """Follows one invocation to its end, over as many connections as it takes.

    What is shown must continue exactly where it ended before; bytes skipped by a gap are fetched by HTTP Range.
    """

    console: Console
    visitor: Visitor
    run: int
    ordinal: int
    chance: random.Random
    cuts: int = 0
    position: int = 0
    streams: dict[int, bytearray] = field(default_factory=lambda: {STDOUT: bytearray(), STDERR: bytearray()})
    everything: bytearray = field(default_factory=bytearray)
    connections: int = 0
    gaps: int = 0
    end: dict[str, object] | None = None
    status_html: str = ""

    async def follow(self) -> None:
        while self.end is None:
            try:
                async with self.connected() as socket:
                    self.connections += 1
                    await self._look(socket)
            except (ConnectionClosed, OSError, InvalidHandshake):
                await asyncio.sleep(self.chance.uniform(0.02, 0.3))

    def connected(self) -> connect:
        return connect(
            self.console.url.replace("http", "ws") + "/ws/",
            origin=self.console.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": self.visitor.cookie},
            max_size=2**20,
            open_timeout=WITHIN_S,
        )

    async def _look(self, socket: ClientConnection) -> None:
        await say(socket, type="watch", run=self.run)
        await say(socket, type="open", run=self.run, i=self.ordinal, **{"from": self.position})
        frames_left = self.chance.randint(1, 40) if self.cuts else None
        channel = -1
        async for message in socket:
            if isinstance(message, bytes):
                await self._take(message, channel)
                await say(socket, type="ack", ch=channel, upto=self.position)
            elif not message.startswith("{"):
                self.status_html = message
            else:
                told = json.loads(message)
                channel = told["ch"] if told["type"] == "opened" else channel
                if told["type"] == "ended":
                    self.end = told
                    return
            if frames_left is not None:
                frames_left -= 1
                if frames_left <= 0:
                    self.cuts -= 1
                    # As when a train enters a tunnel: nobody says goodbye.
                    socket.transport.abort()
                    return

    async def _take(self, frame: bytes, channel: int) -> None:
        at = 0
        while at < len(frame):
            kind, of, offset, length = _RECORD.unpack_from(frame, at)
            data = frame[at + _RECORD.size : at + _RECORD.size + length]
            at += _RECORD.size + length
            assert of == channel, "bytes of a former opening"
            assert offset == self.position, f"shown from {offset}, expected {self.position}"
            if kind == GAP:
                self.gaps += 1
                await self._fetch(struct.unpack(">Q", data)[0])
            else:
                self._keep(kind, data)

    async def _fetch(self, length: int) -> None:
        part = f"bytes={self.position}-{self.position + length - 1}"
        path = f"/runs/{self.run}/output/{self.ordinal}/"
        answer = await asyncio.to_thread(self.visitor.get, path, Range=part)
        assert (answer.status, len(answer.body)) == (206, length)
        self._keep(0, answer.body)

    def _keep(self, kind: int, data: bytes) -> None:
        self.everything += data
        self.position += len(data)
        if kind:
            self.streams[kind] += data


async def say(socket: ClientConnection, **message: object) -> None:
    await socket.send(json.dumps(message))
