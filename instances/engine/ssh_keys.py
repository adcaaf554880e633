"""Owns what signs in over SSH: private keys in every form, certificates, passwords, an agent; imports asyncssh too."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncssh  # noqa: TID251  beside ssh.py
from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificate  # noqa: TID251

from instances.engine import ppk
from instances.engine.errors import (
    AgentUnavailable,
    CertificateRefused,
    KeyUnreadable,
    PassphraseWrong,
)
from instances.engine.types import AgentAuth, Auth, HostKey, KeyAuth

KEYS_KEPT = 256
AGENT_S = 5.0
# sshd ends a connection after six refused offers (MaxAuthTries), and a certificate is one more.
MAX_KEYS = 5

_keys: OrderedDict[bytes, asyncssh.SSHKey] = OrderedDict()
_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?-----END [A-Z0-9 ]*PRIVATE KEY-----"
    rf"|{ppk.FIRST_WORD}.*?^Private-MAC: *[0-9A-Fa-f]+",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Identity:
    """A key that an agent holds: its public line, and the comment it was added with."""

    line: str
    comment: str

    @property
    def fingerprint(self) -> str:
        """The form that ``ssh-add -l`` prints."""
        return HostKey.parse(self.line).fingerprint


# ------------------------------------------------------------------ before anything is stored


def split_keys(text: str) -> list[str]:
    """Return the private keys in a text, each whole; a text without any is returned as the one it may have been."""
    return [block + "\n" for block in _BLOCK.findall(text)] or [text]


def generate_key() -> bytes:
    """Return a new ed25519 private key in OpenSSH's form, without a passphrase."""
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key()


def public_line(key: str, passphrase: str | None = None) -> str:
    """Return the public half of a private key as an OpenSSH line without comment.

    Raises: PassphraseWrong, KeyUnreadable.
    """
    return _line(_load(key.encode(), passphrase))


def check_certificates(text: str, public_lines: tuple[str, ...]) -> None:
    """Make sure that each line is a user certificate for one of these keys, and valid now.

    Raises: CertificateRefused, whose message says which line and why.
    """
    keys = {HostKey.parse(line).data for line in public_lines}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            certificate = _certificate(line, f" in line {number}")
            if certificate.key.public_data not in keys:
                raise CertificateRefused(f"The certificate in line {number} is for another key than these.")


async def agent_identities(socket_path: str) -> list[Identity]:
    """Return the keys an agent holds, as it orders them. Raises: AgentUnavailable."""
    async with _agent(socket_path) as agent:
        return [Identity(_agent_line(pair), pair.get_comment() or "") for pair in await _held(agent, [])]


# ------------------------------------------------------------------ signing in


@asynccontextmanager
async def sign_in(auth: Auth) -> AsyncIterator[dict[str, Any]]:
    """Give asyncssh's options for signing in, and nothing but this credential; an agent is asked within the block.

    Raises: PassphraseWrong, KeyUnreadable, CertificateRefused, AgentUnavailable.
    """
    if isinstance(auth, AgentAuth):
        async with _agent(auth.socket_path) as agent:
            wanted = [HostKey.parse(line).data for line in auth.identities]
            held = {pair.public_data: pair for pair in await _held(agent, wanted)}
            # In the order they were chosen in; an empty wish would mean every key the agent has.
            pairs = [held[blob] for blob in wanted if blob in held]
            if not pairs:
                raise AgentUnavailable("The ssh-agent does not hold the chosen keys now. The command did not run.")
            yield {"username": auth.user, "client_keys": pairs, "preferred_auth": ["publickey"]}
    elif isinstance(auth, KeyAuth):
        yield {"username": auth.user, "client_keys": await _key_pairs(auth), "preferred_auth": ["publickey"]}
    else:
        # asyncssh answers one question that asks for a password, and only once.
        methods = ["password", "keyboard-interactive"]
        yield {"username": auth.user, "password": auth.password, "preferred_auth": methods}


async def _key_pairs(auth: KeyAuth) -> list[Any]:
    """Return the keys in their order, each after the certificate that is for it."""
    certificates = [_certificate(line, "") for line in auth.certificates.splitlines() if line.strip()]
    pairs: list[Any] = []
    for text in split_keys(auth.key.decode("utf-8", "replace")):
        key = await _parsed(text.encode(), auth.passphrase)
        pairs += [(key, one) for one in certificates if one.key.public_data == key.public_data]
        pairs.append(key)
    return pairs


async def _parsed(text: bytes, passphrase: str | None) -> asyncssh.SSHKey:
    """Return the key object; parsed once, and named by a hash so that no passphrase is kept."""
    digest = hashlib.sha256()
    for part in (text, (passphrase or "").encode(), b"\1" if passphrase is not None else b"\0"):
        digest.update(len(part).to_bytes(8, "big") + part)
    name = digest.digest()
    key = _keys.get(name)
    if key is None:
        # Opening an encrypted key is slow on purpose.
        key = await asyncio.get_running_loop().run_in_executor(None, _load, text, passphrase)
        _keys[name] = key
        if len(_keys) > KEYS_KEPT:
            _keys.popitem(last=False)
    return key


def _load(key: bytes, passphrase: str | None) -> asyncssh.SSHKey:
    if key.startswith(ppk.FIRST_WORD.encode()):
        key, passphrase = ppk.to_openssh(key.decode("utf-8", "replace"), passphrase), None
    try:
        return asyncssh.import_private_key(key, passphrase)
    except asyncssh.KeyEncryptionError as error:
        if "bcrypt" in str(error):
            raise KeyUnreadable(
                "This console needs the bcrypt package for such keys. The command did not run."
            ) from None
        raise PassphraseWrong from None
    except asyncssh.KeyImportError as error:
        # PEM keys with a wrong passphrase, and all keys without one, come as keys it cannot import.
        is_sealed = "assphrase" in str(error) or "decrypt" in str(error)
        raise (PassphraseWrong if is_sealed else KeyUnreadable) from None
    except (ValueError, TypeError, UnicodeError):
        raise KeyUnreadable from None


def _line(key: asyncssh.SSHKey) -> str:
    return HostKey.parse(key.export_public_key().decode()).line


def _certificate(line: str, where: str) -> SSHOpenSSHCertificate:
    """Return the user certificate of a line. Raises: CertificateRefused."""
    try:
        certificate = asyncssh.import_certificate(line.strip())
    except asyncssh.KeyImportError:
        certificate = None
    if not isinstance(certificate, SSHOpenSSHCertificate):
        raise CertificateRefused(f"The certificate{where} cannot be read. It is one line, as in id_…-cert.pub.")
    try:
        certificate.validate(CERT_TYPE_USER, None)
    except ValueError as error:
        told = str(error).lower().removeprefix("certificate ")
        told = "it is a host's" if "type" in told else told
        raise CertificateRefused(f"The certificate{where} is of no use: {told}. The command did not run.") from None
    return certificate


# ------------------------------------------------------------------ the agent


@asynccontextmanager
async def _agent(socket_path: str) -> AsyncIterator[asyncssh.SSHAgentClient]:
    if not socket_path:
        raise AgentUnavailable(
            "This console has no ssh-agent: MUSTER_AGENT_SOCKET is not set. The command did not run."
        )
    client = asyncssh.SSHAgentClient(socket_path)
    try:
        async with asyncio.timeout(AGENT_S):
            await client.connect()
    except (OSError, ValueError, TimeoutError):
        raise AgentUnavailable from None
    try:
        yield client
    finally:
        client.close()


async def _held(agent: asyncssh.SSHAgentClient, wanted: list[bytes]) -> list[asyncssh.SSHKeyPair]:
    try:
        async with asyncio.timeout(AGENT_S):
            return list(await agent.get_keys(wanted))
    except (ValueError, TimeoutError):
        raise AgentUnavailable from None


def _agent_line(pair: asyncssh.SSHKeyPair) -> str:
    blob = pair.public_data
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    return HostKey(name, blob).line
