"""Owns SSH connections; one factory pins every option of asyncssh. What signs in on them is ssh_keys.py's."""

import asyncio
import socket
from functools import lru_cache
from typing import Any

import asyncssh  # noqa: TID251  the one place, with ssh_process.py and ssh_keys.py

from instances.engine.algorithms import CIPHERS, KEX, MACS, SIGNATURES
from instances.engine.dial import CONNECT_S, Resolver, dial
from instances.engine.errors import (
    AuthFailed,
    ChannelRefused,
    ConnectError,
    ConnectionLost,
    ConnectTimedOut,
    CredentialsMissing,
    HostCertificateRefused,
    HostKeyError,
    HostKeyUnknown,
    JumpRefused,
    ProtocolFailed,
    ServerClosed,
    StartRefused,
)
from instances.engine.gather import Dialled
from instances.engine.hops import Tunnelled, not_opened
from instances.engine.host_trust import Expected, certified, plain
from instances.engine.sftp import Sftp, no_sftp
from instances.engine.ssh_keys import sign_in
from instances.engine.ssh_process import Client, SSHProcess, SSHTerminal
from instances.engine.transport import TERM, Connection, Process, Size
from instances.engine.types import HostKey, Sink, Target

LOGIN_S = 20.0
START_S = 20.0
WINDOW_BYTES = 2 * 1024 * 1024
KEEPALIVE_S = 15
KEEPALIVE_COUNT = 3

# At INFO asyncssh writes every command line into the log.
asyncssh.set_log_level("WARNING")


class SSHTransport:
    """Reaches machines over SSH with nothing of the service account: no agent, no keys, no configuration files."""

    def __init__(
        self,
        *,
        connect_s: float = CONNECT_S,
        login_s: float = LOGIN_S,
        keepalive_s: float = KEEPALIVE_S,
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        self._connect_s = connect_s
        self._login_s = login_s
        self._keepalive_s = keepalive_s
        self._resolver = resolver

    async def connect(self, target: Target, through: Connection | None = None) -> "SSHConnection":
        """Connect, check the host key, sign in; credentials leave only for a trusted key.

        ``through`` is an open connection to the target's jump host.

        Raises: ConnectError.
        """
        if target.auth is None:
            raise CredentialsMissing
        async with sign_in(target.auth) as credentials:
            if not target.authorities:
                return await self._recognise(target, credentials, through)
            try:
                return await self._open(target, credentials, certified(target), through)
            except HostCertificateRefused as refused:
                # As with OpenSSH, a key that is trusted itself needs no certificate.
                try:
                    return await self._recognise(target, credentials, through)
                except HostKeyError as error:
                    raise HostCertificateRefused(error.presented, fault=refused.fault) from None

    async def _recognise(
        self, target: Target, credentials: dict[str, Any], through: Connection | None
    ) -> "SSHConnection":
        if not target.host_keys:
            raise HostKeyUnknown(await self.presented_host_key(target, through))
        return await self._open(target, credentials, plain(target), through)

    async def presented_host_key(self, target: Target, through: Connection | None = None) -> HostKey:
        """Return the key the machine shows now; nobody signs in.

        Raises: ConnectError.
        """
        try:
            connection = await self._open(target, {}, Expected(revoked=target.revoked), through)
        except HostKeyUnknown as unknown:
            return unknown.presented
        connection.close()
        raise ProtocolFailed("The server showed no host key.")

    async def _open(
        self, target: Target, credentials: dict[str, Any], expected: Expected, through: Connection | None
    ) -> "SSHConnection":
        client = Client()
        way = await self._way(target, client, through)
        try:
            # asyncssh's own timer covers the handshake from here on; this one is for what it may miss.
            async with asyncio.timeout(self._login_s + 1 + (self._connect_s if through else 0)):
                connection = await asyncssh.connect(
                    target.address,
                    target.port,
                    tunnel=way,
                    client_factory=lambda: client,
                    login_timeout=self._login_s,
                    keepalive_interval=self._keepalive_s,
                    **(_pinned(expected) | credentials),
                )
        except BaseException as error:
            if client.sock is not None:
                client.sock.close()
            if isinstance(error, asyncssh.ChannelOpenError):
                lost = through is None or through.is_closed
                raise not_opened(error.code, error.reason, target, is_hop_lost=lost) from None
            if isinstance(error, asyncssh.Error | OSError):
                raise _connect_error(error, client, expected) from None
            raise
        return SSHConnection(connection, client)

    async def _way(self, target: Target, client: Client, through: Connection | None) -> Dialled | Tunnelled:
        """Return what the handshake runs on: a socket, or a channel of the jump host. A jump is never left out."""
        if target.via is not None:
            if not isinstance(through, SSHConnection):
                raise JumpRefused
            client.before = through._client
            return through.way_to(target, self._connect_s)
        networks = target.denied_networks
        client.sock = await dial(
            target.address, target.port, denied_networks=networks, connect_s=self._connect_s, resolver=self._resolver
        )
        return Dialled(client.sock, client.acknowledge)


class SSHConnection:
    """An open SSH connection; implements ``transport.Connection``."""

    def __init__(self, connection: asyncssh.SSHClientConnection, client: Client) -> None:
        self._connection = connection
        self._client = client

    @property
    def banner(self) -> str:
        """The server's version line, such as "SSH-2.0-OpenSSH_9.2p1"."""
        return str(self._connection.get_extra_info("server_version", ""))

    @property
    def is_closed(self) -> bool:
        """Whether it was closed or lost."""
        return self._client.is_lost or self._connection.is_closed()

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        """Open a channel and start the command line on it.

        Raises: ChannelRefused; StartRefused; ConnectionLost.
        """
        process = SSHProcess(self._client, sink, stdin)
        await self._open_channel(process, command=exec_request, request_pty=False)
        return process

    async def open_terminal(self, size: Size, *, sink: Sink) -> SSHTerminal:
        """Open a channel with a terminal and start the login shell in it, as ``ssh`` without a command does.

        Raises: as ``start``.
        """
        terminal = SSHTerminal(self._client, sink, b"")
        await self._open_channel(
            terminal,
            request_pty="force",
            term_type=TERM,
            term_size=(size.columns, size.rows),
            # What the page shows is UTF-8. A server that does not accept it keeps its own.
            env={"LC_CTYPE": "C.UTF-8"},
        )
        return terminal

    async def _open_channel(self, process: SSHProcess, **how: Any) -> None:
        if self.is_closed:
            raise ConnectionLost(is_sent=False)
        try:
            async with asyncio.timeout(START_S):
                await self._connection.create_session(
                    lambda: process.session, encoding=None, window=WINDOW_BYTES, **how
                )
        except asyncssh.ChannelOpenError:
            if self.is_closed:
                raise ConnectionLost(is_sent=process.is_sent) from None
            raise (StartRefused if process.is_sent else ChannelRefused) from None
        except (asyncssh.Error, OSError):
            raise ConnectionLost(is_sent=process.is_sent) from None
        except TimeoutError:
            process.close()
            raise ConnectionLost("The instance did not answer in time.", is_sent=process.is_sent) from None
        except asyncio.CancelledError:
            process.close()
            raise

    def way_to(self, target: Target, connect_s: float) -> Tunnelled:
        """Return the way on to a target behind this machine; nothing is opened yet."""
        return Tunnelled(self._connection, target, connect_s)

    async def files(self) -> Sftp:
        """Start SFTP on a channel of its own.

        Raises: FileRefused; ChannelRefused; ConnectionLost.
        """
        try:
            async with asyncio.timeout(START_S):
                # Names are bytes on the machine: as text some could not be spelled.
                client = await self._connection.start_sftp_client(path_encoding=None)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_REQUEST_SESSION_FAILED:
                raise no_sftp() from None
            raise (ConnectionLost(is_sent=False) if self.is_closed else ChannelRefused()) from None
        except (asyncssh.Error, OSError, TimeoutError):
            raise (ConnectionLost(is_sent=False) if self.is_closed else no_sftp()) from None
        return Sftp(client, asyncssh.SFTPError, asyncssh.SFTPAttrs(permissions=0o600))

    def close(self) -> None:
        """Say goodbye and close."""
        self._client.is_lost = True
        self._connection.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed, at most a second; then cut it."""
        try:
            async with asyncio.timeout(1):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()


@lru_cache(maxsize=65536)
def _public_key(line: str) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return None


def _public_keys(keys: tuple[HostKey, ...]) -> list[asyncssh.SSHKey]:
    return [key for key in (_public_key(host_key.line) for host_key in keys) if key is not None]


def _pinned(expected: Expected) -> dict[str, Any]:
    """Every option of asyncssh that would otherwise come from the service account or from a default."""
    known = (_public_keys(part) for part in (expected.keys, expected.authorities, expected.revoked))
    return {
        "known_hosts": tuple(known),
        "server_host_key_algs": expected.algorithms,
        "config": None,
        "username": "",
        "client_keys": None,
        "agent_path": None,
        "agent_forwarding": False,
        "pkcs11_provider": None,
        "client_host_keysign": False,
        "client_host_keys": None,
        "host_based_auth": False,
        "gss_host": None,
        "gss_kex": False,
        "gss_auth": False,
        "disable_trivial_auth": True,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": [],
        "kex_algs": KEX,
        "encryption_algs": CIPHERS,
        "mac_algs": MACS,
        "signature_algs": SIGNATURES,
        "compression_algs": None,
        "utf8_decode_errors": "replace",
        "tcp_keepalive": True,
        "connect_timeout": None,
        "keepalive_count_max": KEEPALIVE_COUNT,
    }


def _connect_error(error: Exception, client: Client, expected: Expected) -> ConnectError:
    """Say in the engine's words why no connection came about."""
    if refusal := expected.refusal(str(error), client.presented):
        return refusal
    if isinstance(error, TimeoutError) or "ogin timeout" in str(error):
        return ConnectTimedOut("The instance was too slow to sign in. The command did not run.")
    if isinstance(error, asyncssh.PermissionDenied) or "uthentication failures" in str(error):
        return AuthFailed()
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return ProtocolFailed(f"{error}. The command did not run.")
    if isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported | asyncssh.MACError):
        return ProtocolFailed()
    return ServerClosed(is_signing_in=client.is_signing_in)
