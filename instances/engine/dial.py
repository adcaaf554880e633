"""Owns the way from an address to a connected socket: names, denied networks, time limits."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from instances.engine.errors import AddressDenied, AddressNotFound, ConnectionRefused, ConnectTimedOut, NoRoute

RESOLVE_S = 5.0
CONNECT_S = 10.0

Address = tuple[socket.AddressFamily, Any]
Resolver = Callable[..., list[tuple[Any, ...]]]
# Its own few threads: a dead name server must not hold up what else uses the loop's executor.
_RESOLVERS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolve")
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EINVAL}


async def dial(
    address: str,
    port: int,
    *,
    denied_networks: tuple[str, ...] = (),
    connect_s: float = CONNECT_S,
    resolver: Resolver = socket.getaddrinfo,
) -> socket.socket:
    """Return a connected, non-blocking socket to the first address that answers.

    The name is resolved once; what was checked against ``denied_networks`` is what is dialled.
    Raises: AddressNotFound, AddressDenied, ConnectionRefused, NoRoute, ConnectTimedOut.
    """
    addresses = await _resolve(address, port, resolver)
    allowed = [found for found in addresses if not is_denied(found[1][0], denied_networks)]
    if not allowed:
        raise AddressDenied
    failure: Exception = ConnectTimedOut()
    try:
        async with asyncio.timeout(connect_s):
            for family, sockaddr in allowed:
                try:
                    return await _connect(family, sockaddr)
                except OSError as error:
                    failure = _connect_error(error)
    except TimeoutError:
        raise ConnectTimedOut from None
    raise failure


def is_denied(address: str, networks: tuple[str, ...]) -> bool:
    """Whether a numeric address lies in one of the networks, also when written as IPv6 or as "any address"."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        # Linux connects 0.0.0.0 and :: to itself.
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return any(ip in _network(network) for network in networks)


@lru_cache(maxsize=1024)
def _network(network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(network, strict=False)


async def _resolve(address: str, port: int, resolver: Resolver) -> list[Address]:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        pass
    else:
        if ip.version == 4:
            return [(socket.AF_INET, (address, port))]
        if "%" not in address:
            return [(socket.AF_INET6, (address, port, 0, 0))]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.run_in_executor(_RESOLVERS, resolver, address, port, 0, socket.SOCK_STREAM)
    except TimeoutError:
        raise AddressNotFound("The name was not resolved within 5 seconds. The command did not run.") from None
    except (OSError, UnicodeError):
        raise AddressNotFound from None
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


async def _connect(family: socket.AddressFamily, sockaddr: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_error(error: OSError) -> Exception:
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused()
    if error.errno in _NO_ROUTE:
        return NoRoute()
    if isinstance(error, ConnectionError):
        return ConnectionRefused("The connection was reset at once: check the port. The command did not run.")
    return ConnectTimedOut()
