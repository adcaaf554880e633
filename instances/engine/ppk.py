"""Owns PuTTY's private key files, versions 2 and 3, which asyncssh does not read.

Sources: PuTTY's manual, appendix C "PPK file format"; PROTOCOL.key of OpenSSH for the form they are turned into.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: TID251  a file format, no secret kept

from instances.engine.errors import KeyUnreadable, PassphraseWrong

FIRST_WORD = "PuTTY-User-Key-File-"
# puttygen writes 8 MiB and about 20 passes; a file that asks for much more would only keep this machine busy.
_MEMORY_KIB, _PASSES, _LANES = 256 * 1024, 200, 16
_KINDS = {"Argon2id": Type.ID, "Argon2i": Type.I, "Argon2d": Type.D}
_KEY_BYTES, _IV_BYTES, _MAC_BYTES = 32, 16, 32
_BLOCK_BYTES = 16


@dataclass(frozen=True)
class _File:
    version: int
    algorithm: str
    encryption: str
    headers: dict[str, str]
    public: bytes
    private: bytes


def to_openssh(text: str, passphrase: str | None) -> bytes:
    """Return the key of a PuTTY file in OpenSSH's form, not encrypted, with the file's own check passed.

    Raises: PassphraseWrong (also when one is needed), KeyUnreadable.
    """
    try:
        file = _read(text)
        private = _opened(file, passphrase or "")
        return _openssh(file, private)
    except (ValueError, KeyError, IndexError, HashingError):
        raise KeyUnreadable from None


def _read(text: str) -> _File:
    lines = text.strip().splitlines()
    first = re.fullmatch(FIRST_WORD + r"([23]): ([\w@.-]+)", lines[0].strip())
    if first is None:
        raise ValueError("This version of the format is not read.")
    headers: dict[str, str] = {}
    blobs: dict[str, bytes] = {}
    rest = iter(lines[1:])
    for line in rest:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ").rstrip("\r")
        if name in {"Public-Lines", "Private-Lines"}:
            blobs[name] = base64.b64decode("".join(next(rest, "").strip() for _ in range(int(value))), validate=True)
        headers[name] = value
    return _File(int(first[1]), first[2], headers["Encryption"], headers, blobs["Public-Lines"], blobs["Private-Lines"])


def _opened(file: _File, passphrase: str) -> bytes:
    """Return the private part in plain; PuTTY's check also tells a wrong passphrase."""
    if file.encryption not in {"none", "aes256-cbc"}:
        raise ValueError("Unknown encryption.")
    is_encrypted = file.encryption != "none"
    if is_encrypted and not passphrase:
        raise PassphraseWrong
    cipher_key, iv, mac_key = _keys(file, passphrase if is_encrypted else "")
    private = file.private
    if is_encrypted:
        if len(private) % _BLOCK_BYTES:
            raise ValueError("A part is missing.")
        decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
        private = decryptor.update(private) + decryptor.finalize()
    parts = (file.algorithm.encode(), file.encryption.encode(), file.headers["Comment"].encode(), file.public, private)
    digest = hmac.new(mac_key, b"".join(map(_string, parts)), "sha256" if file.version == 3 else "sha1").hexdigest()
    if not hmac.compare_digest(digest, file.headers["Private-MAC"].strip().lower()):
        raise PassphraseWrong if is_encrypted else ValueError("The file was changed.")
    return private


def _keys(file: _File, passphrase: str) -> tuple[bytes, bytes, bytes]:
    """Return the keys for the cipher, its start and the check."""
    secret = passphrase.encode()
    if file.version == 2:
        halves = (hashlib.sha1(bytes((0, 0, 0, i)) + secret).digest() for i in range(2))  # noqa: S324  the format's
        mac_key = hashlib.sha1(b"putty-private-key-file-mac-key" + secret).digest()  # noqa: S324  the format's
        return b"".join(halves)[:_KEY_BYTES], bytes(_IV_BYTES), mac_key
    if not secret:
        return b"", b"", b""
    memory, passes, lanes = (int(file.headers[f"Argon2-{name}"]) for name in ("Memory", "Passes", "Parallelism"))
    if memory > _MEMORY_KIB or passes > _PASSES or lanes > _LANES:
        raise ValueError("It asks for too much work.")
    made = hash_secret_raw(
        secret,
        binascii.unhexlify(file.headers["Argon2-Salt"]),
        time_cost=passes,
        memory_cost=memory,
        parallelism=lanes,
        hash_len=_KEY_BYTES + _IV_BYTES + _MAC_BYTES,
        type=_KINDS[file.headers["Key-Derivation"]],
    )
    return made[:_KEY_BYTES], made[_KEY_BYTES : _KEY_BYTES + _IV_BYTES], made[_KEY_BYTES + _IV_BYTES :]


def _openssh(file: _File, private: bytes) -> bytes:
    name, *public = _fields(file.public)
    if name.decode() != file.algorithm:
        raise ValueError("The two parts do not belong together.")
    numbers = b"".join(map(_string, _numbers(file.algorithm, public, private)))
    secret = bytes(8) + _string(name) + numbers + _string(file.headers["Comment"].encode())
    secret += bytes(range(1, -len(secret) % 8 + 1))
    body = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"") + (1).to_bytes(4, "big")
    text = base64.encodebytes(body + _string(file.public) + _string(secret))
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"


def _numbers(algorithm: str, public: list[bytes], private: bytes) -> list[bytes]:
    """Return the fields of OpenSSH's private part, in its order."""
    if algorithm == "ssh-rsa":
        exponent, modulus = public
        private_exponent, first_prime, second_prime, inverse = _fields(private, 4)
        return [modulus, exponent, private_exponent, inverse, first_prime, second_prime]
    (number,) = _fields(private, 1)
    if algorithm == "ssh-ed25519":
        (point,) = public
        return [point, number.ljust(32, b"\0") + point]
    if algorithm.startswith("ecdsa-sha2-nistp"):
        curve, point = public
        return [curve, point, number]
    raise ValueError("This kind of key is not supported.")


def _fields(data: bytes, count: int | None = None) -> list[bytes]:
    """Return the strings of a blob; a count leaves the padding after them out."""
    found: list[bytes] = []
    while data and len(found) != count:
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise ValueError("A part is missing.")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
