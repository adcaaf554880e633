"""Packets written in one step leave in one piece, in order, and none is kept back at the end."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvloop

from instances.engine.gather import Dialled, Gathering


class Behind(asyncio.Transport):
    """Remembers what it is asked to do."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 22)})
        self.did: list[Any] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.did.append(data)

    def abort(self) -> None:
        self.did.append("abort")

    def is_closing(self) -> bool:
        return self.closing


async def _next_step() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_is_written_in_one_step_leaves_together() -> None:
    behind = Behind()
    gathering = Gathering(behind, list)
    for piece in (b"a", b"b", b"c"):
        gathering.write(piece)
    assert behind.did == []
    await _next_step()
    gathering.write(b"d")
    await _next_step()
    assert behind.did == [b"abc", b"d"]


async def test_it_tells_each_time_something_left() -> None:
    behind = Behind()
    gathering = Gathering(behind, lambda: behind.did.append("told"))
    for piece in (b"a", b"b"):
        gathering.write(piece)
        gathering.write(piece)
        await _next_step()
    assert behind.did == [b"aa", "told", b"bb", "told"]


async def test_a_goodbye_leaves_before_the_end() -> None:
    behind = Behind()
    gathering = Gathering(behind, list)
    gathering.write(b"bye")
    gathering.abort()
    await _next_step()
    assert behind.did == [b"bye", "abort"]


async def test_nothing_is_written_to_a_transport_that_closed_meanwhile() -> None:
    behind = Behind()
    gathering = Gathering(behind, list)
    gathering.write(b"late")
    behind.closing = True
    await _next_step()
    assert behind.did == []


async def test_it_says_what_the_transport_says() -> None:
    gathering = Gathering(Behind(), list)
    assert gathering.get_extra_info("peername") == ("10.0.0.1", 22)
    assert gathering.get_extra_info("cipher", "none") == "none"


class Hearing(asyncio.Protocol):
    """Answers what it hears, in two pieces."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"hello ")
        transport.write(b"there")

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"heard ")
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        far.settimeout(60)
        yield near, far


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_protocol_on_a_dialled_socket_speaks_hears_and_ends(
    run: Callable[..., None], pair: tuple[socket.socket, socket.socket]
) -> None:
    run(_speak_hear_and_end(*pair))


async def _speak_hear_and_end(near: socket.socket, far: socket.socket) -> None:
    near.setblocking(False)
    _, protocol = await Dialled(near, list).create_connection(Hearing, "ignored", 0)
    assert isinstance(protocol, Hearing)
    assert await asyncio.to_thread(far.recv, 100) == b"hello there"
    far.sendall(b"you")
    assert await asyncio.to_thread(far.recv, 100) == b"heard you"
    far.close()
    async with asyncio.timeout(60):
        await protocol.lost.wait()
