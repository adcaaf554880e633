"""Owns the way through a jump host: a channel in place of a socket, and the answers of a jump host in our own words."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from instances.engine.dial import CONNECT_S, is_denied
from instances.engine.errors import (
    AddressDenied,
    AddressNotFound,
    ConnectError,
    ConnectionRefused,
    ConnectTimedOut,
    JumpRefused,
    NoRoute,
    ServerClosed,
)
from instances.engine.gather import Gathering
from instances.engine.types import Target

PROHIBITED, CONNECT_FAILED, SHORTAGE = 1, 2, 4  # RFC 4254, section 5.1
# What strerror and gai_strerror say on Linux, the BSDs and macOS; a jump host passes it on as text only.
_SAID: tuple[tuple[str, type[ConnectError], str], ...] = (
    ("refused", ConnectionRefused, "nothing listens at {place}"),
    ("timed out", ConnectTimedOut, "{place} did not answer in time"),
    ("unreachable", NoRoute, "it has no route to {place}"),
    ("no route", NoRoute, "it has no route to {place}"),
    ("name or service", AddressNotFound, "it cannot resolve the name {place}"),
    ("name resolution", AddressNotFound, "it cannot resolve the name {place}"),
    ("nodename nor servname", AddressNotFound, "it cannot resolve the name {place}"),
    ("no address associated", AddressNotFound, "it cannot resolve the name {place}"),
)


class Opener(Protocol):
    """What is used of asyncssh's connection to a jump host."""

    async def create_connection(
        self, session_factory: Callable[[], Any], remote_host: str, remote_port: int
    ) -> tuple[Any, Any]:
        """Open a ``direct-tcpip`` channel and put a session on it."""


class Tunnelled:
    """The way from a jump host on to a target, in the form of asyncssh's ``tunnel``; see ``gather.Dialled``."""

    def __init__(self, hop: Opener, target: Target, connect_s: float = CONNECT_S) -> None:
        self._hop = hop
        self._target = target
        self._connect_s = connect_s
        self._is_given_up = False

    async def create_connection(
        self, session_factory: Callable[[], asyncio.Protocol], remote_host: str, remote_port: int
    ) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
        """Have the jump host connect, and put asyncssh's protocol on the channel.

        Raises: AddressDenied, ConnectTimedOut; what the jump host answers comes as asyncssh's ChannelOpenError.
        """
        target, made = self._target, list[asyncio.Protocol]()
        if _is_denied(target):
            raise AddressDenied

        def session() -> "_Handover":
            made.append(asyncio.Protocol() if self._is_given_up else session_factory())
            return _Handover(made[0])

        opening = asyncio.get_running_loop().create_task(self._hop.create_connection(session, remote_host, remote_port))
        try:
            async with asyncio.timeout(self._connect_s):
                channel, _ = await asyncio.shield(opening)
        except TimeoutError:
            raise ConnectTimedOut(_told(target, "{place} did not answer in time")) from None
        finally:
            if not opening.done() or opening.cancelled():
                # The jump host may still open it; nobody would close it then.
                self._is_given_up = True
            opening.add_done_callback(self._close_if_given_up)
        return channel, made[0]

    def close(self) -> None:
        """Nothing to close: the channel is the connection's now."""

    async def wait_closed(self) -> None:
        """Nothing to wait for."""

    def _close_if_given_up(self, opening: asyncio.Task[tuple[Any, Any]]) -> None:
        if not opening.cancelled() and opening.exception() is None and self._is_given_up:
            opening.result()[0].abort()


class _Handover:
    """A session of asyncssh that passes everything on to the protocol of the connection inside."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def connection_made(self, channel: asyncio.Transport) -> None:
        self._protocol.connection_made(cast(asyncio.Transport, Gathering(channel, lambda: None)))

    def session_started(self) -> None:
        pass

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def not_opened(code: int, said: str, target: Target, *, is_hop_lost: bool) -> ConnectError:
    """Return the error for a jump host's refusal to connect to a target; ``code`` and ``said`` are its answer.

    The target is who cannot be reached; the message names the jump host that says so.
    """
    if is_hop_lost:
        # Nothing was sent to the target, so the pool tries again through a new connection.
        return ServerClosed(_told(target, "its connection was lost on the way to {place}"))
    if code == CONNECT_FAILED:
        for words, kind, text in _SAID:
            if words in said.lower():
                return kind(_told(target, text))
        answer = "".join(char if char.isprintable() else " " for char in said).strip()[:200]
        return NoRoute(_told(target, "it could not connect to {place}" + (f" ({answer})" if answer else "")))
    if code == SHORTAGE:
        return JumpRefused(_told(target, "it has no room for one more connection to {place}"))
    if code == PROHIBITED:
        return JumpRefused(
            _told(target, "it may not connect to {place}: see AllowTcpForwarding and PermitOpen in its sshd_config")
        )
    return JumpRefused(_told(target, "its SSH server does not forward connections to {place}"))


def places(target: Target) -> tuple[tuple[str, int], ...]:
    """Return the addresses and ports of a target's jump hosts, the first first, and its own last.

    An address behind another jump host is another place.
    """
    before = places(target.via) if target.via is not None else ()
    return (*before, (target.address, target.port))


def _is_denied(target: Target) -> bool:
    # Names are resolved by the jump host; what they lead to cannot be known here.
    try:
        return is_denied(target.address, target.denied_networks)
    except ValueError:
        return False


def _told(target: Target, text: str) -> str:
    hop = target.via.name if target.via is not None else ""
    address = f"[{target.address}]" if ":" in target.address else target.address
    return f"Jump host {hop}: " + text.replace("{place}", f"{address}:{target.port}") + ". The command did not run."
