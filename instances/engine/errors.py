"""Owns the engine's errors; a command that failed is a result (``Ended``), not an error.

EngineError                    reason
├── ConnectError
│   ├── AddressNotFound        dns
│   ├── AddressDenied          address_denied
│   ├── ConnectionRefused      refused
│   ├── NoRoute                no_route
│   ├── ConnectTimedOut        connect_timeout
│   ├── ServerClosed           server_closed         tried again, unless it came while signing in
│   ├── JumpRefused            jump_refused
│   ├── ProtocolFailed         protocol
│   ├── AuthFailed             auth_failed
│   ├── CredentialsMissing     credentials_missing
│   ├── PassphraseWrong        key_passphrase_wrong
│   ├── KeyUnreadable          key_unreadable
│   ├── CertificateRefused     certificate_refused
│   ├── AgentUnavailable       auth_failed           nothing was offered, so it counts against no credential
│   ├── HostKeyRevoked         host_key_revoked
│   ├── HostKeyUnknown         host_key_unknown      .presented
│   ├── HostKeyChanged         host_key_changed      .presented
│   └── HostCertificateRefused host_certificate      .presented
├── ConnectionLost             connection_lost       .is_sent
├── ChannelRefused             channel_refused       the start was not sent
├── StartRefused               bootstrap             the start was sent and refused
├── CommandRefused             os_mismatch, …        nothing was sent
├── SessionRefused             cwd_missing, …        no shell was kept, nothing was sent to one
├── AuthoriseRefused           symlink, …            authorized_keys is as it was
└── FileRefused                exists, …             the file at the target path is as it was

``ConnectError.hop`` is set where a jump host, not the instance itself, could not be reached, and ``hop_error`` is then
the error as the jump host itself has it.
The docstring of a class is its default message.
"""

import copy
from typing import Self

from instances.engine.types import HostKey, Target


class EngineError(Exception):
    """Something went wrong while talking to the instance."""

    reason = "engine"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((self.__doc__ or "").split()))

    @property
    def cause(self) -> str:
        """The message without what it says about a command; for checks, which send none."""
        return str(self).replace(" and the command did not run", "").replace(" The command did not run.", "")


class ConnectError(EngineError):
    """The instance could not be reached. The command did not run."""

    reason = "unreachable"
    hop: Target | None = None
    hop_error: "ConnectError | None" = None

    def at(self, hop: Target) -> Self:
        """Return the same error as one of a jump host, which the message names first.

        A copy: those who shared a failed connect share the exception too.
        """
        if self.hop is not None:
            return self
        named, text = copy.copy(self), str(self)
        named.args = (f"Jump host {hop.name}: {text[:1].lower()}{text[1:]}",)
        named.hop, named.hop_error = hop, self
        return named


class AddressNotFound(ConnectError):
    """The name could not be resolved: check the address of the instance. The command did not run."""

    reason = "dns"


class AddressDenied(ConnectError):
    """The address is in a network this console may not connect to (MUSTER_DENIED_NETWORKS). The command did not run."""

    reason = "address_denied"


class ConnectionRefused(ConnectError):
    """Nothing listens at this address and port: check both, and that the SSH server runs. The command did not run."""

    reason = "refused"


class NoRoute(ConnectError):
    """There is no route to this address: check the network between here and the instance. The command did not run."""

    reason = "no_route"


class ConnectTimedOut(ConnectError):
    """The instance did not answer in time: check that it is on and reachable from here. The command did not run."""

    reason = "connect_timeout"


class ServerClosed(ConnectError):
    """The SSH server closed the connection before anybody signed in; it may be too busy. The command did not run."""

    reason = "server_closed"

    def __init__(self, message: str = "", *, is_signing_in: bool = False) -> None:
        super().__init__(message)
        self.is_signing_in = is_signing_in


class JumpRefused(ConnectError):
    """The jump host does not connect any further. The command did not run."""

    reason = "jump_refused"


class ProtocolFailed(ConnectError):
    """What answered does not speak SSH as this console does: check the port. The command did not run."""

    reason = "protocol"


class AuthFailed(ConnectError):
    """The instance refused the user name or credential: check both. The command did not run."""

    reason = "auth_failed"


class CredentialsMissing(ConnectError):
    """This instance has no credential: give it one, or give one to its group. The command did not run."""

    reason = "credentials_missing"


class PassphraseWrong(ConnectError):
    """The passphrase does not open the private key: enter the credential again. The command did not run."""

    reason = "key_passphrase_wrong"


class KeyUnreadable(ConnectError):
    """The private key cannot be read: enter the credential again. The command did not run."""

    reason = "key_unreadable"


class CertificateRefused(ConnectError):
    """The certificate of this credential cannot be used: enter a new one. The command did not run."""

    reason = "certificate_refused"


class AgentUnavailable(ConnectError):
    """The ssh-agent does not answer: check that it runs and MUSTER_AGENT_SOCKET. The command did not run."""

    # Not AuthFailed: nothing was offered to the instance.
    reason = "auth_failed"


class HostKeyRevoked(ConnectError):
    """The instance shows a host key that was revoked, or a certificate of a revoked authority: give it a new host key.
    No credential was sent and the command did not run."""

    reason = "host_key_revoked"


class HostKeyError(ConnectError):
    """The host key was not accepted. No credential was sent and the command did not run."""

    def __init__(self, presented: HostKey, message: str = "") -> None:
        super().__init__(message)
        self.presented = presented


class HostKeyUnknown(HostKeyError):
    """This instance's host key is not trusted yet: review it. No credential was sent and the command did not run."""

    reason = "host_key_unknown"


class HostKeyChanged(HostKeyError):
    """The instance shows another host key than the trusted one: find out why, then review it.
    No credential was sent and the command did not run."""

    reason = "host_key_changed"


class HostCertificateRefused(ConnectError):
    """The host certificate of this instance was refused. No credential was sent and the command did not run.

    ``presented`` is the machine's plain key, where it was asked for: a person may trust that itself.
    """

    reason = "host_certificate"

    def __init__(self, presented: HostKey | None = None, *, fault: str = "is not accepted") -> None:
        super().__init__(
            f"The host certificate of this instance {fault}: have it issued anew, or review its host key. "
            "No credential was sent and the command did not run.",
        )
        self.presented = presented
        self.fault = fault


class ConnectionLost(EngineError):
    """The connection to the instance was lost."""

    reason = "connection_lost"

    def __init__(self, message: str = "", *, is_sent: bool = True) -> None:
        super().__init__(message)
        self.is_sent = is_sent


class ChannelRefused(EngineError):
    """The instance accepts no more sessions on this connection. The command did not run."""

    reason = "channel_refused"


class StartRefused(EngineError):
    """The instance refused to start anything for this user. The command did not run."""

    reason = "bootstrap"


class CommandRefused(EngineError):
    """This command cannot be sent to an instance. It did not run."""

    def __init__(self, message: str = "", *, reason: str = "os_mismatch") -> None:
        super().__init__(message)
        self.reason = reason


class SessionRefused(EngineError):
    """The instance did not start the shell as expected. The session was not opened."""

    def __init__(self, message: str = "", *, reason: str = "bootstrap") -> None:
        super().__init__(message)
        self.reason = reason


class AuthoriseRefused(EngineError):
    """The key could not be placed or taken away; authorized_keys is as it was."""

    def __init__(self, message: str = "", *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class FileRefused(EngineError):
    """The file could not be sent or fetched; what was at the target path is as it was."""

    def __init__(self, message: str = "", *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
