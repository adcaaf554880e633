"""Owns the form of a recording, asciicast v2: a header, then one event a line (docs/reference/recordings.md)."""

import codecs
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from instances.engine.transport import Size

MIB = 1024 * 1024
# What waits to be written, of one terminal and of all that share a worker.
WAITING_BYTES = 4 * MIB
ALL_WAITING_BYTES = 64 * MIB
# A file that is longer takes nothing more.
LIMIT_BYTES = 512 * MIB
# Output that comes within it is one event.
SAME_MOMENT_MS = 5
_ONE_EVENT_BYTES = 16 * 1024
# What an entry takes beside its bytes, so that empty ones do not come for nothing.
_ENTRY_BYTES = 64
# CAN: whatever sequence was begun before is over.
_LOST = "\x18\r\n[… {:,} bytes not recorded]\r\n"
_FULL = "\x18\r\n[… the recording is full; what follows is not recorded]\r\n"


@dataclass
class Room:
    """How much may wait in all."""

    limit_bytes: int = ALL_WAITING_BYTES
    used_bytes: int = 0


@dataclass
class Entry:
    """What happened at a time: output, a size, a count of bytes that are not kept, or words of our own."""

    at_ms: int
    what: bytearray | Size | int | str


@dataclass(frozen=True)
class Lines:
    """Some lines of the file. ``lost`` is how many bytes of output they say were not kept."""

    data: bytes
    events: int
    until_ms: int
    lost: int


class Tape:
    """Takes what a terminal shows, and keeps it until it is taken off in lines; never waits, never fails.

    ``changed`` is called when something new waits. Times are counted from when it is made.
    """

    def __init__(
        self,
        size: Size,
        *,
        title: str,
        started_at: datetime,
        room: Room | None = None,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.size = size
        self.started_at = started_at
        self.limit_bytes = LIMIT_BYTES
        self._title = title
        self._room = room or Room()
        self._changed = changed
        self._clock = clock
        self._begun_s = clock()
        self._entries: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._taken_bytes = 0
        self._is_full = self._is_over = False
        # Since the last entry: bytes that found no room, and the size they were shown in at last.
        self._lost = 0
        self._lost_size: Size | None = None

    @property
    def now_ms(self) -> int:
        """Milliseconds since it began."""
        return int((self._clock() - self._begun_s) * 1000)

    @property
    def is_going_on(self) -> bool:
        """Whether what it takes is kept: not once it is full or thrown away."""
        return not self._is_full

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits; of a new one the header does."""
        return not self._entries and (self._taken_bytes > 0 or self._is_over)

    def write(self, data: bytes) -> None:
        """Take some output."""
        if not self._has_room(len(data)):
            self._lost += len(data)
            return
        self._say_what_was_lost()
        last, now = self._entries[-1] if self._entries else None, self.now_ms
        if (
            last is not None
            and isinstance(last.what, bytearray)
            and now - last.at_ms <= SAME_MOMENT_MS
            and len(last.what) + len(data) <= _ONE_EVENT_BYTES
        ):
            last.what += data
            self._count(len(data))
        else:
            self._add(Entry(now, bytearray(data)), len(data) + _ENTRY_BYTES)
        self._changed()

    def resize(self, size: Size) -> None:
        """Note that the terminal has another size from here on."""
        if not self._has_room(0):
            self._lost_size = size
            return
        self._say_what_was_lost()
        self._add(Entry(self.now_ms, size), _ENTRY_BYTES)
        self._changed()

    def end(self) -> None:
        """Say what is still to be said: nothing more comes."""
        self._say_what_was_lost()
        # Empty words, which bring out what there was of an unfinished letter.
        self._add(Entry(self.now_ms, ""), _ENTRY_BYTES)

    def take(self, limit_bytes: int) -> Lines | None:
        """Take off what waits, about as much of it as the limit; None when nothing does."""
        if self.is_empty:
            return None
        pieces: list[bytes] = []
        count, lost, until_ms, taken = 0, 0, 0, 0
        if not self._taken_bytes:
            pieces.append(self._header())
        while self._entries and taken < limit_bytes:
            entry = self._entries.popleft()
            taken += _weight(entry)
            lost += entry.what if isinstance(entry.what, int) else 0
            until_ms = entry.at_ms
            for line in self._lines_of(entry):
                pieces.append(line)
                count += 1
        self._count(-taken)
        data = b"".join(pieces)
        self._taken_bytes += len(data)
        return Lines(data, count, until_ms, lost)

    def throw_away(self) -> None:
        """Forget what waits, and take nothing more."""
        self._entries.clear()
        self._count(-self._waiting_bytes)
        self._is_full = self._is_over = True

    def _has_room(self, size: int) -> bool:
        if self._is_full or self._taken_bytes + self._waiting_bytes >= self.limit_bytes:
            if not self._is_full:
                self._is_full = True
                self._add(Entry(self.now_ms, _FULL), _ENTRY_BYTES)
                self._changed()
            return False
        # Once something was lost, only with much room: one large gap, not a thousand small ones.
        limit = WAITING_BYTES // 2 if self._lost or self._lost_size else WAITING_BYTES
        room = self._room
        return self._waiting_bytes + size <= limit and room.used_bytes + size <= room.limit_bytes

    def _say_what_was_lost(self) -> None:
        if self._lost:
            self._add(Entry(self.now_ms, self._lost), _ENTRY_BYTES)
            self._lost = 0
        if self._lost_size is not None:
            self._add(Entry(self.now_ms, self._lost_size), _ENTRY_BYTES)
            self._lost_size = None

    def _add(self, entry: Entry, weight: int) -> None:
        self._entries.append(entry)
        self._count(weight)

    def _count(self, weight: int) -> None:
        self._waiting_bytes += weight
        self._room.used_bytes += weight

    def _header(self) -> bytes:
        header = {
            "version": 2,
            "width": self.size.columns,
            "height": self.size.rows,
            "timestamp": int(self.started_at.timestamp()),
            "title": self._title,
            "env": {"TERM": "xterm-256color"},
        }
        return _packed(header)

    def _lines_of(self, entry: Entry) -> Iterator[bytes]:
        seconds, what = entry.at_ms / 1000, entry.what
        if isinstance(what, Size):
            yield _packed([seconds, "r", f"{what.columns}x{what.rows}"])
            return
        if isinstance(what, bytearray):
            text = self._decoder.decode(what)
        elif isinstance(what, int):
            text = self._decoder_rest() + _LOST.format(what)
        else:
            text = self._decoder_rest() + what
        # A part of a character that is still to be completed is no event yet.
        if text:
            yield _packed([seconds, "o", text])

    def _decoder_rest(self) -> str:
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


@dataclass(frozen=True)
class Event:
    """One event: ``kind`` is "o" for output and "r" for a size such as 80x24."""

    seconds: float
    kind: str
    text: str


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a file that comes in pieces, however they are cut."""
    rest, is_header = b"", True
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not is_header:
                yield Event(*json.loads(line))
            is_header = False


def _packed(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _weight(entry: Entry) -> int:
    return _ENTRY_BYTES + (len(entry.what) if isinstance(entry.what, bytearray) else 0)
