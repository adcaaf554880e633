"""Owns reading the known_hosts form of OpenSSH: lines, the names they are for, and which addresses these match.

Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; tests compare with ``ssh-keygen -F``.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from instances.engine.types import HostKey

DEFAULT_PORT = 22
LINE_LIMIT = 20_000
PATTERNS_LIMIT = 1000
# Of the wire form: how many fields follow the algorithm's name.
_FIELDS = {
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "ssh-rsa": 2,
}
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_SHA1_BLOCK = 64


class LineInvalid(ValueError):
    """This line of a known_hosts file cannot be used; the message says why."""


class Marker(StrEnum):
    """What a line says of its key; no marker: it is the host key."""

    HOST_KEY = ""
    AUTHORITY = "@cert-authority"
    REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that was read; ``names`` is its first word: patterns with commas, or one hashed name."""

    marker: Marker
    names: str
    key: HostKey
    comment: str = ""

    @property
    def is_hashed(self) -> bool:
        """Whether the name is hidden, so that it can only be compared with each address in turn."""
        return self.names.startswith("|")


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their number from 1."""
    for number, line in enumerate(text.split("\n"), 1):
        said = line.strip(" \t\r\f\v")
        if said and not said.startswith("#"):
            yield number, said


def read_line(line: str) -> Entry:
    """Read one line. Raises: LineInvalid."""
    words = line.split(None, 4) if line.startswith("@") else ["", *line.split(None, 3)]
    try:
        marker = Marker(words[0])
    except ValueError:
        raise LineInvalid(f"{words[0][:40]} is no marker: only @cert-authority and @revoked are.") from None
    if len(words) < 4:
        raise LineInvalid("A line has the names, the kind of the key, and the key.")
    names = words[1]
    if names.startswith("|"):
        _hashed(names)
    return Entry(marker, names, read_key(f"{words[2]} {words[3]}"), _comment(words[4:]))


def read_key(text: str) -> HostKey:
    """Read "ssh-ed25519 AAAA…" and make sure that it is whole. Raises: LineInvalid."""
    kind = text.split(None, 1)[0] if text.strip() else ""
    if kind.endswith("-cert-v01@openssh.com"):
        raise LineInvalid("This is a certificate: take the key of the authority that signed it.")
    try:
        key = HostKey.parse(text)
    except ValueError as error:
        raise LineInvalid(str(error)) from None
    if key.algorithm not in _FIELDS:
        raise LineInvalid(f"Keys of the kind {key.algorithm[:40]} are not used by this console.")
    if _count_fields(key.data) != 1 + _FIELDS[key.algorithm]:
        raise LineInvalid("The key is not complete.")
    return key


def check_patterns(text: str) -> str:
    """Return patterns without the blanks around commas. Raises: LineInvalid for what is no list of patterns."""
    patterns = [pattern.strip() for pattern in text.split(",")]
    if not any(pattern and not pattern.startswith("!") for pattern in patterns):
        raise LineInvalid("Write names or patterns with commas between, such as *.example.com,10.0.*.")
    if any(not pattern.strip("!") or re.search(r"\s|[^\x21-\x7e]|^!!|[|#@]", pattern) for pattern in patterns):
        raise LineInvalid("A pattern is a name or address in which * and ? stand for anything; ! in front leaves out.")
    if len(checked := ",".join(patterns)) > PATTERNS_LIMIT:
        raise LineInvalid("These are too many patterns for one authority: trust it several times.")
    return checked


def place_of(address: str, port: int) -> str:
    """Return how known_hosts names an address and port."""
    return address if port == DEFAULT_PORT else f"[{address}]:{port}"


def applies(names: str, address: str, port: int) -> bool:
    """Say whether patterns stand for an instance, by its address alone or with its port.

    Stricter than ssh: a pattern that leaves the address out also leaves it out on every port.
    """
    match = matcher(names)
    places = {place_of(address, port), address}
    if any(match.leaves_out(place) for place in places):
        return False
    return any(match(place) for place in places)


class Matcher:
    """Compares places with the names of a line, as ``ssh-keygen -F`` does."""

    def __init__(self, names: str) -> None:
        patterns = names.lower().split(",")
        self.exact = frozenset(one for one in patterns if not re.search(r"[*?]|^!", one))
        self.has_wildcards = any(re.search(r"[*?]", one) for one in patterns if not one.startswith("!"))
        self._wanted = _one_of([one for one in patterns if not one.startswith("!")])
        self._left_out = _one_of([one[1:] for one in patterns if one.startswith("!")])

    def __call__(self, place: str) -> bool:
        """Say whether a place is meant."""
        return bool(self._wanted(place)) and not self._left_out(place)

    def leaves_out(self, place: str) -> bool:
        """Say whether a place is left out by a ``!`` pattern."""
        return bool(self._left_out(place))


@lru_cache(maxsize=1024)
def matcher(names: str) -> Matcher:
    """Return the matcher of plain names; kept, because authorities are asked about each instance."""
    return Matcher(names)


def hash_matcher(names: str) -> Callable[[bytes], bool]:
    """Return the comparison with a hashed name. Units: about a microsecond for each place."""
    salt, wanted = _hashed(names)
    padded = salt.ljust(_SHA1_BLOCK, b"\0")
    # hmac.new would begin with the same two blocks for each place: here they are hashed once.
    inner = hashlib.sha1(padded.translate(_INNER), usedforsecurity=False)
    outer = hashlib.sha1(padded.translate(_OUTER), usedforsecurity=False)

    def match(place: bytes) -> bool:
        inside, outside = inner.copy(), outer.copy()
        inside.update(place)
        outside.update(inside.digest())
        return outside.digest() == wanted

    return match


def _comment(words: list[str]) -> str:
    return "".join(char for char in " ".join(words) if char.isprintable()).strip()[:200]


def _hashed(names: str) -> tuple[bytes, bytes]:
    parts = names.split("|")
    if len(parts) != 4 or parts[1] != "1":
        raise LineInvalid("This hashed name is of a kind that is not known: |1|salt|hash is.")
    try:
        salt, wanted = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        raise LineInvalid("The hashed name is not complete.") from None
    if len(salt) != 20 or len(wanted) != 20:
        raise LineInvalid("The hashed name is not complete.")
    return salt, wanted


def _one_of(patterns: list[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(_expression, patterns)) if patterns else r"(?!)", re.DOTALL).fullmatch


def _expression(pattern: str) -> str:
    first, *parts = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    if not parts:
        return first
    # Atomic, as the earliest place of each part is as good as any: else many stars would take for ever to not match.
    middle = "".join(f"(?>.*?{part})" for part in parts[:-1] if part)
    return f"{first}{middle}.*{parts[-1]}"


def _count_fields(data: bytes) -> int:
    """Return of how many strings a key consists; -1 when the lengths do not add up."""
    count = at = 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "big")
        count += 1
    return count if at == len(data) else -1
