"""SSH servers inside the test's own loop that misbehave as asked, and count what they were asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh  # noqa: TID251  the other end needs a server

from instances.engine.types import Auth, HostKey, Target

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Play = Callable[["Asked"], Awaitable[None]]

_HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
_OTHER_HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
VERSION = b"SSH-2.0-Fault_1.0\r\n"


@dataclass
class Server:
    """A running server and what it has seen; ``auth_requests`` are the methods in the order they came.

    ``sign_ins`` counts the connections that asked for authentication at all, by whatever method.
    """

    port: int = 0
    host_key: HostKey = field(default_factory=lambda: public(_HOST_KEY))
    connections: int = 0
    sign_ins: int = 0
    auth_requests: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def target(self, auth: Auth | None, **changes: Any) -> Target:
        fields: dict[str, Any] = {
            "key": self.port,
            "name": "fault",
            "address": "127.0.0.1",
            "port": self.port,
            "auth": auth,
            "host_keys": (self.host_key,),
        }
        return Target(**(fields | changes))


@dataclass
class Asked:
    """One command that has been let through the bootstrap."""

    process: asyncssh.SSHServerProcess[bytes]
    marker: str
    script: bytes
    nonce: bytes


def public(key: asyncssh.SSHKey) -> HostKey:
    return HostKey.parse(key.export_public_key().decode())


def new_key(kind: str = "ssh-ed25519", passphrase: str | None = None) -> bytes:
    """A private key as people paste it."""
    key = asyncssh.generate_private_key(kind)
    return (
        key.export_private_key() if passphrase is None else key.export_private_key("pkcs8-pem", passphrase=passphrase)
    )


def new_host_key(kind: str) -> HostKey:
    return public(asyncssh.generate_private_key(kind))


@asynccontextmanager
async def ssh_server(
    play: Play | None = None,
    *,
    password: str | None = None,
    asks: tuple[str, ...] = (),
    accepts_any_key: bool = True,
    has_other_host_key: bool = False,
    banner: str = "",
    **options: Any,
) -> AsyncIterator[Server]:
    """Serve SSH; ``asks`` are the questions of keyboard-interactive; ``play`` acts a command after its bootstrap."""
    seen = Server(host_key=public(_HOST_KEY))
    connections: list[asyncssh.SSHServerConnection] = []

    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            seen.connections += 1
            self._conn = conn
            connections.append(conn)

        def begin_auth(self, username: str) -> bool:
            seen.sign_ins += 1
            if banner:
                self._conn.send_auth_banner(banner)
            return True

        def public_key_auth_supported(self) -> bool:
            return password is None

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            seen.auth_requests.append("publickey")
            return accepts_any_key

        def password_auth_supported(self) -> bool:
            return password is not None and not asks

        def validate_password(self, username: str, given: str) -> bool:
            seen.auth_requests.append("password")
            return given == password

        def kbdint_auth_supported(self) -> bool:
            return bool(asks)

        def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
            return "", "", "", [(question, False) for question in asks]

        def validate_kbdint_response(self, username: str, responses: Any) -> bool:
            seen.auth_requests.append("keyboard-interactive")
            return list(responses) == [password]

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        seen.commands.append(command)
        if "marked" in command:
            await _really_run(process, command)
        elif play is None:
            process.exit(0)
        else:
            await play(await _bootstrap(process, command))

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Login,
        server_host_keys=[_OTHER_HOST_KEY if has_other_host_key else _HOST_KEY],
        process_factory=handle,
        encoding=None,
        **options,
    )
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()
        for connection in connections:
            # One whose client has gone may not have heard of it yet, and would be left to the garbage collector.
            connection.abort()
            await connection.wait_closed()


@asynccontextmanager
async def tcp_server(handle: Handle) -> AsyncIterator[Server]:
    """Serve bytes, for what goes wrong before SSH."""
    seen = Server()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        writers.append(writer)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def forwards_to(port: int, cut: asyncio.Event) -> Handle:
    """Pass everything on; from ``cut`` on nothing arrives any more on what is open by then, and nobody is told."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_later = cut.is_set()

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                if is_later or not cut.is_set():
                    writer.write(data)

        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            far_writer.close()

    return handle


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As sshd over its MaxStartups."""


async def never_speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def stalls_in_key_exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(VERSION)
    await never_speaks(reader, writer)


async def closes_in_key_exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(VERSION)
    await reader.readuntil(b"\n")


async def endless_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"hello\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def _bootstrap(process: asyncssh.SSHServerProcess[bytes], command: str) -> Asked:
    """Speak the engine's protocol by hand."""
    nonce = (await process.stdin.readline()).strip()
    process.stdout.write(nonce + b" 999999 1\n")
    rest = await process.stdin.read()
    process.stdout.write(nonce + b" ok\n")
    process.stderr.write(nonce + b"\n")
    # One line more for a POSIX machine: what sets its variables.
    lines = 4 if "EncodedCommand" in command else 5
    return Asked(process, command.rpartition(" ")[2], rest.removesuffix(nonce).split(b"\n", lines)[-1], nonce)


async def _really_run(process: asyncssh.SSHServerProcess[bytes], command: str) -> None:
    done = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await done.communicate()
    process.stdout.write(output)
    process.exit(done.returncode or 0)
