"""Owns boxes: secrets sealed to a process that alone can open them, while it lives.

X25519 with a key of its own for each box, HKDF-SHA256, AES-256-GCM: the base mode of HPKE (RFC 9180, 5.1) without its
labels, as nobody else reads it.
"""

import os

from cryptography.exceptions import InvalidTag  # noqa: TID251  beside vault.py
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: TID251
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: TID251
from cryptography.hazmat.primitives.hashes import SHA256  # noqa: TID251
from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: TID251

_PUBLIC_BYTES = 32
_NONCE_BYTES = 12


class BoxBroken(Exception):
    """This box was sealed to another process, for another owner, or was altered."""


class BoxKey:
    """A key pair whose private half exists in this process's memory alone; what is sealed to it ends with it."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """The half that others seal to; 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def open(self, box: bytes, *, owner: str) -> bytes:
        """Return what was sealed to this key for this owner. Raises: BoxBroken."""
        sender, nonce, ciphertext = _split(box)
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(sender))
            return AESGCM(_derived(shared, sender + self.public)).decrypt(nonce, ciphertext, owner.encode())
        except (InvalidTag, ValueError):
            raise BoxBroken from None


def seal_to(public: bytes, plain: bytes, *, owner: str) -> bytes:
    """Return a box that only the holder of the key's private half opens, and only for this owner."""
    once = X25519PrivateKey.generate()
    sender, nonce = once.public_key().public_bytes_raw(), os.urandom(_NONCE_BYTES)
    shared = once.exchange(X25519PublicKey.from_public_bytes(public))
    return sender + nonce + AESGCM(_derived(shared, sender + public)).encrypt(nonce, plain, owner.encode())


def _split(box: bytes) -> tuple[bytes, bytes, bytes]:
    head = _PUBLIC_BYTES + _NONCE_BYTES
    return box[:_PUBLIC_BYTES], box[_PUBLIC_BYTES:head], box[head:]


def _derived(shared: bytes, keys: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"muster box " + keys).derive(shared)
