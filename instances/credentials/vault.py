"""Seals the secrets that are kept, and opens them: the only place that sees key material.

A sealed value is ``1 | key id (8 bytes) | nonce (12 bytes) | AES-256-GCM ciphertext and tag``. Its owner, such as
``credential|12|secret``, and the key id are its associated data: moved to another row or field it does not open.

The keys are in ``keys.json`` of the data folder: ``{"keys": [{"id": …, "key": …, "made_at": …}]}``, oldest first.
The newest seals, all of them open. The first byte leaves room for a second form of ``seal``, to a worker's public
key, for secrets that must only live in that worker's memory; callers will then choose by the function they call.

VaultError
├── RingMissing    there are sealed secrets, but keys.json is gone
├── RingUnreadable keys.json is there, but is not a key ring
└── SealBroken     a secret does not open: another row's, altered, or sealed with a key that is gone
"""

import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag  # noqa: TID251
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: TID251
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from instances.credentials.models import Credential

_FORM = b"\x01"
_ID_BYTES, _NONCE_BYTES, _KEY_BYTES = 8, 12, 32
_HEAD_BYTES = len(_FORM) + _ID_BYTES + _NONCE_BYTES
_BATCH = 200
# What is sealed of a credential: field → its name in the owner. Runs have their own, see console/runs/run_secrets.py.
_SEALED_FIELDS = {"sealed_secret": "secret", "sealed_passphrase": "passphrase"}


class VaultError(Exception):
    """A stored secret cannot be used. Look at keys.json in the data folder."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class RingMissing(VaultError):
    """There are stored secrets, but keys.json is missing from the data folder: restore the file that belongs to
    this database."""


class RingUnreadable(VaultError):
    """The file keys.json in the data folder cannot be read as a key ring: restore it from a backup."""


class SealBroken(VaultError):
    """A stored secret does not open: restore the keys.json that belongs to this database, or enter it again."""


@dataclass(frozen=True)
class _Key:
    id: bytes
    material: bytes = field(repr=False)
    made_at: str


def owner_of(credential_id: int, part: str) -> str:
    """Return the owner of a credential's sealed part: ``secret`` or ``passphrase``."""
    return f"credential|{credential_id}|{part}"


def seal(plain: bytes, *, owner: str) -> bytes:
    """Return a secret sealed for its owner with the newest key; call it inside the transaction that stores it.

    Side effects: makes the key ring on first use. Raises: RingMissing, RingUnreadable.
    """
    return _seal_with(_ring_or_new()[-1], plain, owner)


def open_sealed(sealed: bytes, *, owner: str) -> bytes:
    """Return the secret that was sealed for this owner. Raises: RingMissing, RingUnreadable, SealBroken."""
    return _open_with(_ring(), sealed, owner)


def check_ring() -> None:
    """Make sure that every stored secret opens with the keys at hand; for the start of the web and the workers.

    A ring that is missing while nothing is sealed is fine. Side effects: reads all credentials.
    Raises: RingMissing, RingUnreadable, SealBroken naming the credential.
    """
    if not _path().exists() and not _anything_sealed():
        return
    keys = _ring()
    for credential, name, part in _sealed_parts():
        try:
            _open_with(keys, bytes(getattr(credential, name)), owner_of(credential.pk, part))
        except SealBroken:
            raise SealBroken(
                f"The {part} of the credential “{credential.name}” does not open with keys.json in the data folder: "
                "restore the file that belongs to this database."
            ) from None


def rotate() -> int:
    """Add a new key, seal all credentials again with it, and return how many secrets that were.

    A row changed by somebody else meanwhile is left as it is: it was sealed with the new key already.
    Older keys stay, so that processes in the middle of something and backups still open; see drop_old_keys.
    Raises: RingMissing, RingUnreadable, SealBroken; rows sealed again by then stay so, and all rows still open.
    """
    sealed = 0
    with _alone():
        _write([*_ring_or_new(), _new_key()])
        ids = list(Credential.objects.order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), _BATCH):
            with transaction.atomic():
                for credential, name, part in _sealed_parts(ids[start : start + _BATCH]):
                    sealed += _seal_again(credential, name, owner_of(credential.pk, part))
    return sealed


def count_under_old_keys() -> int:
    """Return how many secrets of credentials are not sealed with the newest key."""
    if not _path().exists() and not _anything_sealed():
        return 0
    newest = _ring()[-1].id
    return sum(_key_id(bytes(getattr(credential, name))) != newest for credential, name, _ in _sealed_parts())


def sealed_again(sealed: bytes, *, owner: str) -> bytes | None:
    """Return a secret that is sealed with an older key sealed with the newest; None where it is that already.

    Raises: RingMissing, RingUnreadable, SealBroken.
    """
    keys = _ring()
    if _key_id(sealed) == keys[-1].id:
        return None
    return _seal_with(keys[-1], _open_with(keys, sealed, owner), owner)


def is_under_newest_key(sealed: bytes) -> bool:
    """Say whether a secret needs none of the older keys. Raises: RingMissing, RingUnreadable."""
    return _key_id(sealed) == _ring()[-1].id


def drop_old_keys(*, count_others: Callable[[], int] = lambda: 0) -> int:
    """Remove all keys but the newest, and return how many; backups made before the rotation no longer open.

    ``count_others`` says how many secrets that others store need one of them. Raises: VaultError while a stored secret
    does.
    """
    # In one write transaction, so that nobody can be about to commit something sealed with an older key (SQLite;
    # PostgreSQL: at most what was sealed before the rotation and is still uncommitted).
    with _alone(), transaction.atomic():
        if left := count_under_old_keys() + count_others():
            told = "1 secret is" if left == 1 else f"{left} secrets are"
            raise VaultError(f"{told} still sealed with an older key: rotate first.")
        keys = _ring()
        _write(keys[-1:])
    return len(keys) - 1


def _seal_with(key: _Key, plain: bytes, owner: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    ciphertext = AESGCM(key.material).encrypt(nonce, plain, _associated(owner, key))
    return _FORM + key.id + nonce + ciphertext


def _open_with(keys: list[_Key], sealed: bytes, owner: str) -> bytes:
    key = next((key for key in keys if key.id == _key_id(sealed)), None)
    if key is None or sealed[:1] != _FORM:
        raise SealBroken
    nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
    try:
        return AESGCM(key.material).decrypt(nonce, sealed[_HEAD_BYTES:], _associated(owner, key))
    except (InvalidTag, ValueError):
        raise SealBroken from None


def _seal_again(credential: Credential, name: str, owner: str) -> int:
    former = bytes(getattr(credential, name))
    again = sealed_again(former, owner=owner)
    return 0 if again is None else Credential.objects.filter(pk=credential.pk, **{name: former}).update(**{name: again})


def _associated(owner: str, key: _Key) -> bytes:
    return f"{owner}|{key.id.hex()}".encode()


def _key_id(sealed: bytes) -> bytes:
    return sealed[len(_FORM) : len(_FORM) + _ID_BYTES]


def _sealed_parts(ids: list[int] | None = None) -> Iterator[tuple[Credential, str, str]]:
    credentials = Credential.objects.order_by("pk")
    for credential in credentials if ids is None else credentials.filter(pk__in=ids):
        for name, part in _SEALED_FIELDS.items():
            if getattr(credential, name):
                yield credential, name, part


def _anything_sealed() -> bool:
    return Credential.objects.exclude(sealed_secret=b"").exists()


# ------------------------------------------------------------------ the key ring


def _path() -> Path:
    return Path(settings.DATA_DIR) / "keys.json"


def _ring() -> list[_Key]:
    # Read each time: another process may have rotated, and no key stays in memory longer than it is used.
    try:
        text = _path().read_text()
    except FileNotFoundError:
        raise RingMissing from None
    except (OSError, UnicodeDecodeError):
        raise RingUnreadable from None
    try:
        keys = [
            _Key(bytes.fromhex(key["id"]), base64.b64decode(key["key"], validate=True), key["made_at"])
            for key in json.loads(text)["keys"]
        ]
    except (ValueError, KeyError, TypeError):
        raise RingUnreadable from None
    if not keys or any(len(key.id) != _ID_BYTES or len(key.material) != _KEY_BYTES for key in keys):
        raise RingUnreadable
    return keys


def _ring_or_new() -> list[_Key]:
    if not _path().exists():
        # A new ring beside secrets of an old one would hide the loss until each of them is needed.
        if _anything_sealed():
            raise RingMissing
        _path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write([_new_key()], only_new=True)
    return _ring()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep two rotations apart: the one that wrote its ring last would throw the other's key away."""
    with _path().with_name("keys.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _new_key() -> _Key:
    return _Key(secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_KEY_BYTES), timezone.now().isoformat())


def _write(keys: list[_Key], *, only_new: bool = False) -> None:
    """Put a ring in place as a whole; with only_new a ring that is there by now stays."""
    content = {
        "keys": [
            {"id": key.id.hex(), "key": base64.b64encode(key.material).decode(), "made_at": key.made_at} for key in keys
        ]
    }
    draft = _path().with_name(f".keys-{secrets.token_hex(8)}.json")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if only_new:
            try:
                # Two processes may make the first ring at once: linking lets exactly one of them win.
                os.link(draft, _path())
            except FileExistsError:
                return
        else:
            draft.replace(_path())
    finally:
        draft.unlink(missing_ok=True)
