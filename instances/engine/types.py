"""Owns the data that goes into the engine and the endings that come out of it."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol
from uuid import UUID


class Stream(IntEnum):
    """Which of a command's two outputs some bytes came from."""

    STDOUT = 1
    STDERR = 2


class CommandType(StrEnum):
    """The language of a command."""

    SHELL = "shell"
    BAT = "bat"
    POWERSHELL = "powershell"


@dataclass(frozen=True)
class HostKey:
    """A machine's public key; ``data`` is the decoded blob of the OpenSSH line."""

    algorithm: str
    data: bytes

    @property
    def fingerprint(self) -> str:
        """The form that ``ssh-keygen -l`` prints."""
        digest = base64.b64encode(hashlib.sha256(self.data).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    @property
    def line(self) -> str:
        """The OpenSSH form without a comment; ``parse`` reads it back."""
        return f"{self.algorithm} {base64.b64encode(self.data).decode()}"

    @classmethod
    def parse(cls, line: str) -> "HostKey":
        """Read "ssh-ed25519 AAAA… comment".

        Raises: ValueError when the text is no public key.
        """
        words = line.split()
        if len(words) < 2:
            raise ValueError("A host key looks like: ssh-ed25519 AAAA…")
        try:
            data = base64.b64decode(words[1], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("The second word of a host key is base64.") from None
        name_length = int.from_bytes(data[:4], "big")
        if len(data) < 5 or data[4 : 4 + name_length] != words[0].encode():
            raise ValueError("The two words of this host key do not belong together.")
        return cls(words[0], data)


@dataclass(frozen=True)
class PasswordAuth:
    """Sign in with a password, also where the server asks for it as its only question."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class KeyAuth:
    """Sign in with private keys in OpenSSH, PEM or PuTTY form, one after the other in one text, tried in that order.

    The passphrase opens those that are encrypted. ``certificates`` are lines like those of id_…-cert.pub; each is
    offered before the key it is for.
    """

    user: str
    key: bytes = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificates: str = ""


@dataclass(frozen=True)
class AgentAuth:
    """Sign in with keys that an ssh-agent holds; ``identities`` are their public lines, and no other is offered."""

    user: str
    socket_path: str
    identities: tuple[str, ...]


Auth = PasswordAuth | KeyAuth | AgentAuth


@dataclass(frozen=True)
class Target:
    """Everything needed to reach one machine.

    ``key`` names the connection in the pool: a changed address, credential or host key must give another key.
    ``is_local`` means the console's own machine, without SSH. ``via`` is the jump host it is reached through, which
    may have one of its own; ``key`` must change with any of them. ``authorities`` are the keys whose host certificates
    are good for this machine; what is ``revoked`` is refused whoever vouches for it.
    """

    key: Hashable
    name: str
    address: str
    port: int
    auth: Auth | None
    host_keys: tuple[HostKey, ...]
    denied_networks: tuple[str, ...] = ()
    is_local: bool = False
    via: "Target | None" = None
    authorities: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()


@dataclass(frozen=True)
class Command:
    """One script for one machine; ``marker`` must be new for every invocation and attempt.

    ``run_as`` is another user of the machine, reached through sudo. ``environment`` holds names and values, and
    ``arguments`` are the script's ``$@``; both are text without NUL. ``is_dry_run``: the user, the working
    directory and the interpreter are looked for, and neither the text nor what belongs to it is sent.
    """

    text: str = field(repr=False)
    marker: UUID
    command_type: CommandType = CommandType.SHELL
    interpreter: str = ""
    working_directory: str = ""
    timeout_s: float | None = None
    run_as: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    arguments: tuple[str, ...] = field(default=(), repr=False)
    is_dry_run: bool = False


@dataclass(frozen=True)
class Started:
    """Where the command runs.

    ``start_time`` is field 22 of /proc/PID/stat, on Windows a FILETIME, empty where there is none. ``code_page`` is the
    number of a Windows machine's OEM code page: programs that do not write UTF-8 write in it.
    """

    pid: int
    start_time: str
    code_page: str = ""


class Outcome(StrEnum):
    """How a command ended.

    NOT_STARTED certainly never ran. STOPPED and TIMED_OUT were verified gone, or never ran (reason not_started).
    LOST: it was started and what became of it is not known.
    """

    EXITED = "exited"
    SIGNALLED = "signalled"
    NOT_STARTED = "not_started"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    LOST = "lost"


@dataclass(frozen=True)
class Ended:
    """The one ending of one command."""

    outcome: Outcome
    exit_status: int | None = None
    exit_signal: str = ""
    reason: str = ""
    message: str = ""
    survivors: tuple[int, ...] = ()


class StopCause(StrEnum):
    """Why a command is being stopped."""

    USER = "user"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    OUTPUT_CAP = "output_cap"


class StopSignal:
    """A wish to stop that can be given at any time, any number of times; the first cause stays."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._cause: StopCause | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def cause(self) -> StopCause | None:
        """The first cause asked for, or None."""
        return self._cause

    def request(self, cause: StopCause = StopCause.USER) -> None:
        """Ask for the stop; asking again changes nothing."""
        if self._cause is not None:
            return
        self._cause = cause
        self._event.set()
        for call in self._listeners:
            call()

    def listen(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once, on the loop, when the stop is asked for; at once if it was already."""
        if self._cause is not None:
            call()
            return
        self._listeners.append(call)

    def unlisten(self, call: Callable[[], None]) -> None:
        """Take back ``listen``."""
        if call in self._listeners:
            self._listeners.remove(call)

    async def wait(self) -> StopCause:
        """Wait until the stop is asked for."""
        await self._event.wait()
        assert self._cause is not None
        return self._cause


@dataclass(frozen=True)
class Facts:
    """What Check learnt about a machine; empty strings where the machine did not say."""

    banner: str
    os: str
    kernel: str
    hostname: str
    shell: str
    user: str


class Flow(Protocol):
    """The brake of one command's output."""

    def pause(self) -> None:
        """Stop reading; after about a window's worth the machine's command blocks."""

    def resume(self) -> None:
        """Read on."""


class Sink(Protocol):
    """Takes a command's output, in order of arrival, on the loop."""

    def attach(self, flow: Flow) -> None:
        """Receive the brake, before any bytes."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some bytes; never blocks, may call ``flow.pause``."""
