"""Owns how packets leave a connection: what is written in one step of the loop goes out in one piece.

asyncssh writes each packet by itself, and an empty one before it. A short command was twelve writes, each a system call
and a segment on the network; so it is four.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast


class Dialled:
    """A connected socket in the form of asyncssh's ``tunnel``: something that opens the connection below SSH.

    ``sent`` is called after each time something left.
    """

    def __init__(self, sock: socket.socket, sent: Callable[[], None]) -> None:
        self._sock = sock
        self._sent = sent

    async def create_connection(
        self, session_factory: Callable[[], asyncio.Protocol], remote_host: str, remote_port: int
    ) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
        """Put asyncssh's protocol on the socket; where it leads was settled when it was dialled."""
        protocol = session_factory()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: _Handover(protocol, self._sent), sock=self._sock)
        return transport, protocol

    def close(self) -> None:
        """Nothing to close: the socket is the connection's now."""

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


class Gathering:
    """A transport in front of another one, for what asyncssh uses of it."""

    def __init__(self, transport: asyncio.Transport, sent: Callable[[], None]) -> None:
        self._transport = transport
        self._sent = sent
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send at the end of this step of the loop, with what else is written until then."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)

    def abort(self) -> None:
        """Close at once; a goodbye that was written still leaves."""
        self._send()
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the transport behind it."""
        return self._transport.get_extra_info(name, default)

    def _send(self) -> None:
        if self._waiting and not self._transport.is_closing():
            self._transport.write(b"".join(self._waiting))
            self._sent()
        self._waiting.clear()


class _Handover(asyncio.Protocol):
    """Gives the transport to the protocol it is for, which hears from it directly from then on."""

    def __init__(self, protocol: asyncio.Protocol, sent: Callable[[], None]) -> None:
        self._protocol = protocol
        self._sent = sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none of asyncio's classes, only alike.
        real = cast(asyncio.Transport, transport)
        real.set_protocol(self._protocol)
        self._protocol.connection_made(cast(asyncio.Transport, Gathering(real, self._sent)))
