"""Owns what was typed into a terminal and is not yet known to have arrived: sent in order, nothing lost or doubled."""

from collections.abc import Iterator, Mapping
from typing import Any

from console.sessions.relay import Record

# What may be on its way; the rest waits here.
IN_FLIGHT_BYTES, RECORD_BYTES = 64 * 1024, 16 * 1024
# More is not read from the keyboard before some has arrived.
WAITING_BYTES = 128 * 1024


class Typed:
    """The page's side of the input in docs/reference/terminal-protocol.md.

    ``is_writer``: what is typed counts. Offsets count bytes since the terminal was opened.
    """

    def __init__(self) -> None:
        self.is_writer = False
        self._generation: int | None = None
        self._kept = bytearray()
        # The offsets of the first kept byte, of the next to send, and of what was handed to the machine.
        self._start = self._sent = self._acknowledged = 0

    @property
    def has_room(self) -> bool:
        """Whether more should be read from the keyboard."""
        return len(self._kept) < WAITING_BYTES

    @property
    def unsent(self) -> int:
        """How many bytes have yet to be sent."""
        return self._start + len(self._kept) - self._sent

    def add(self, data: bytes) -> None:
        """Keep what was typed until it has arrived."""
        self._kept += data

    def note_who_types(self, message: Mapping[str, Any]) -> int:
        """Take ``attached`` or ``writer`` in; return how many typed bytes are thrown away that did not arrive.

        In the same generation what did not arrive is sent again; in another one somebody else has typed since.
        """
        self.is_writer = bool(message["writer"])
        generation, upto = int(message["generation"]), int(message["input_upto"])
        written = int(message["written_upto"])
        lost = 0
        if generation == self._generation:
            self._drop_to(upto)
        elif self._generation is not None:
            self._drop_to(min(int(message["typed_upto"]), self._start + len(self._kept)))
            lost = len(self._kept)
            self._kept.clear()
        elif not self.is_writer:
            lost = len(self._kept)
            self._kept.clear()
        self._generation = generation
        self._start = self._sent = upto
        # What was taken but not handed on is still on its way, whoever typed it.
        self._acknowledged = written
        return lost

    def acknowledge(self, upto: int) -> None:
        """Take in that everything up to an offset was handed to the machine."""
        self._drop_to(min(upto, self._sent))
        self._acknowledged = max(self._acknowledged, upto)

    def to_send(self) -> Iterator[Record]:
        """Return what may be sent now; each is taken to be sent."""
        end = self._start + len(self._kept)
        while self.is_writer and self._sent < end and self._sent - self._acknowledged < IN_FLIGHT_BYTES:
            first = self._sent - self._start
            data = bytes(self._kept[first : first + RECORD_BYTES])
            record = Record(self._sent, data)
            self._sent += len(data)
            yield record

    def _drop_to(self, upto: int) -> None:
        if upto > self._start:
            del self._kept[: upto - self._start]
            self._start = upto
