"""Owns the masking of secrets in output: no byte of a secret that a command prints as a whole is stored or shown.

Masked are each secret and, of one with several lines, each longer line; as they are, quoted for a shell, in JSON, in a
URL, and in base64. What a command makes of a secret otherwise (reversed, hashed, in hexadecimal) is not recognised.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import quote, quote_plus

from console.runs.variables import LEAST_MASKED_BYTES
from instances.engine.types import Flow, Stream

MASK = b"***"
# Of a line alone, such as one of a private key, and of base64, more is needed to be sure.
LEAST_LINE_BYTES = 8


class Output(Protocol):
    """Takes what is left after masking."""

    def attach(self, flow: Flow) -> None:
        """Receive the brake, before any bytes."""

    def write(self, stream: int, data: bytes) -> None:
        """Take some bytes."""


class Mask:
    """What to replace; made once for an invocation."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first: of two that begin at the same place it is the one that is meant.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms)) or rb"(?!)")

    def whole(self, data: bytes) -> bytes:
        """Return data with every secret in it replaced."""
        return self._pattern.sub(MASK, data)

    def text(self, text: str) -> str:
        """Return a message with every secret in it replaced."""
        return self.whole(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what is certain of a beginning, masked, and what has to wait: it may be the beginning of a secret.

        What waits is shorter than the longest form. However a stream is cut, its pieces come to ``whole`` of it all.
        """
        done: list[bytes] = []
        start = 0
        waits = self._waits_from(data, 0)
        # A match where something longer may begin, or behind it, is not certain yet.
        while (match := self._pattern.search(data, start)) and match.start() < waits:
            done += data[start : match.start()], MASK
            start = match.end()
            waits = self._waits_from(data, start)
        return b"".join(done) + data[start:waits], data[waits:]

    def _waits_from(self, data: bytes, start: int) -> int:
        """Return where the first unfinished form begins; the end when there is none."""
        return min((_unfinished(data, start, form) for form in self._forms), default=len(data))


class MaskedOutput:
    """A sink in front of another: masks each stream by itself, and holds back only what may become a secret."""

    def __init__(self, output: Output, mask: Mask) -> None:
        self._output = output
        self._mask = mask
        self._waiting: dict[int, bytes] = {}

    def attach(self, flow: Flow) -> None:
        """Hand the brake on."""
        self._output.attach(flow)

    def write(self, stream: Stream, data: bytes) -> None:
        """Mask what is certain and hand it on."""
        certain, self._waiting[stream] = self._mask.split(self._waiting.get(stream, b"") + data)
        if certain:
            self._output.write(stream, certain)

    def flush(self) -> None:
        """Hand on what was held back: nothing more comes."""
        waiting, self._waiting = self._waiting, {}
        for stream, data in waiting.items():
            if data:
                self._output.write(stream, self._mask.whole(data))


def _unfinished(data: bytes, start: int, form: bytes) -> int:
    place = max(start, len(data) - len(form) + 1)
    while (place := data.find(form[:1], place)) >= 0:
        if form.startswith(data[place:]):
            return place
        place += 1
    return len(data)


def _forms(secret: str) -> Iterator[bytes]:
    lines = [line for line in secret.split("\n") if len(line.strip().encode()) >= LEAST_LINE_BYTES]
    for text in dict.fromkeys([secret, secret.strip(), *lines]):
        data = text.encode()
        if len(data) < LEAST_MASKED_BYTES:
            continue
        yield data
        yield from _in_base64(data)
        written = {
            text.replace("'", "'\\''"),
            text.replace("'", "'\"'\"'"),
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            quote(text),
            quote(text, safe=""),
            quote_plus(text),
        }
        yield from (form.encode() for form in written)


def _in_base64(data: bytes) -> Iterator[bytes]:
    """Yield what is the same in base64 whatever stands before and after: of each of the three ways to cut it."""
    for before in range(3):
        # Only whole groups of three bytes that are all the secret's.
        inner = data[(3 - before) % 3 :]
        inner = inner[: len(inner) // 3 * 3]
        for form in (base64.b64encode(inner), base64.urlsafe_b64encode(inner)):
            if len(form) >= LEAST_LINE_BYTES:
                yield form
