"""Owns what an invocation has produced and become, until the writer commits it.

``Journal`` is one invocation's side: bytes come in on the event loop, statuses are set by ``invoke``; ``take`` hands
everything over as one ``Entry``. What a viewer can see is only what was committed.
"""

import hashlib
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Protocol

from console.runs.models import OutputKind
from console.runs.status import Status, may_follow
from instances.engine.text import decode

# A row of the output log holds at most this much.
ROW_BYTES = 64 * 1024
# Bytes that may wait for a commit before reading from the instance pauses, so that a flood costs a fixed memory.
WAITING_LIMIT_BYTES = 8 * 1024 * 1024
# Of output beyond the cap the last part is kept.
TAIL_BYTES = 256 * 1024
# How often the count of what is not kept is shown while it grows.
TELL_DROPPED_BYTES = 16 * 1024 * 1024
LAST_LINE_CHARACTERS = 200
LAST_LINE_BYTES = 4 * LAST_LINE_CHARACTERS
_PLAIN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")


class Flow(Protocol):
    """How reading from one instance is paused; the engine gives it."""

    def pause(self) -> None:
        """Stop reading; the instance blocks once its window is full."""

    def resume(self) -> None:
        """Read again."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the output log; ``data`` of a gap is the decimal count of bytes not kept."""

    offset: int
    kind: OutputKind
    stream_offset: int
    data: bytes

    @property
    def length(self) -> int:
        """How many offsets the row covers."""
        return int(self.data) if self.kind is OutputKind.GAP else len(self.data)


@dataclass(slots=True)
class Entry:
    """What is to be committed about one invocation: rows, running totals, and the changed columns.

    ``via`` is the first new status of this entry: the stored status must allow it. Empty when the status stays.
    ``is_all`` is false when output, and the end status behind it, is left for the next entry.
    """

    invocation_id: int
    run_id: int
    fence: int
    via: str = ""
    columns: dict[str, object] = field(default_factory=dict)
    chunks: list[tuple[OutputKind, bytes]] = field(default_factory=list)
    dropped: int = 0
    bytes_taken: int = 0
    is_all: bool = True
    is_filled: bool = False
    offset: int = 0
    stream_offsets: dict[OutputKind, int] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of a filled entry, each made when it is asked for: a large entry is not held twice."""
        offset, stream_offsets = self.offset, dict(self.stream_offsets)
        for kind, data in _cut(self.chunks):
            row = Row(offset, kind, stream_offsets.get(kind, 0), data)
            yield row
            offset += row.length
            if kind is not OutputKind.GAP:
                stream_offsets[kind] += len(data)


class Journal:
    """Collects one invocation's output and changes between two commits.

    ``changed`` is called whenever there is something to commit, with how many bytes more wait for it. Raises nothing
    from ``write``: output is never a reason for an invocation to fail. ``when_capped`` is called once, before the first
    byte that is not kept.
    """

    def __init__(
        self,
        *,
        invocation_id: int,
        run_id: int,
        fence: int,
        cap_bytes: int,
        changed: Callable[["Journal", int], None],
        size: int = 0,
    ) -> None:
        self.invocation_id, self.run_id, self.fence = invocation_id, run_id, fence
        self.status: Status = Status.CONNECTING
        self.is_fenced_out = self.is_paused = False
        self.waiting_bytes = 0
        self.when_capped: Callable[[], None] | None = None
        self._cap_bytes = cap_bytes
        self._changed = changed
        self._flow: Flow | None = None
        self._chunks: deque[tuple[OutputKind, bytes]] = deque()
        self._accepted = 0
        self._offset = size
        self._stream_offsets = {OutputKind.STDOUT: 0, OutputKind.STDERR: 0}
        self._dropped = self._dropped_told = 0
        self._tail: deque[tuple[OutputKind, bytes]] = deque()
        self._tail_bytes = 0
        self._digests = _Digests()
        self._last_line = b""
        self._code_page = ""
        self._via = ""
        self._columns: dict[str, object] = {}

    # -------------------------------------------------------------- what comes from the engine

    def attach(self, flow: Flow) -> None:
        """Remember how to pause the instance this journal listens to."""
        self._flow = flow

    def write(self, stream: int, data: bytes) -> None:
        """Take a piece of output; pauses the instance while too much waits for a commit."""
        kind = OutputKind(stream)
        before = self.waiting_bytes
        room = self._cap_bytes - TAIL_BYTES - self._accepted
        if room > 0:
            self._accepted += len(data[:room])
            self._wait(kind, data[:room])
            data = data[room:]
        if data:
            self._accepted = max(self._accepted, self._cap_bytes - TAIL_BYTES)
            self._keep_as_tail(kind, data)
        if self.waiting_bytes > WAITING_LIMIT_BYTES:
            self.pause()
        self._changed(self, self.waiting_bytes - before)

    def _wait(self, kind: OutputKind, data: bytes) -> None:
        self._chunks.append((kind, data))
        self.waiting_bytes += len(data)

    def _keep_as_tail(self, kind: OutputKind, data: bytes) -> None:
        self._tail.append((kind, data))
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0][1]) >= TAIL_BYTES:
            _, dropped = self._tail.popleft()
            self._tail_bytes -= len(dropped)
            if not self._dropped and self.when_capped:
                self.when_capped()
            self._dropped += len(dropped)
        if self._dropped - self._dropped_told >= TELL_DROPPED_BYTES:
            self._dropped_told = self._columns["dropped_bytes"] = self._dropped

    def pause(self) -> None:
        """Stop reading from the instance."""
        if self._flow and not self.is_paused:
            self.is_paused = True
            self._flow.pause()

    def resume(self) -> None:
        """Read from the instance again, if it was paused."""
        if self._flow and self.is_paused:
            self.is_paused = False
            self._flow.resume()

    # -------------------------------------------------------------- what comes from invoke

    def set(self, status: Status | None = None, **columns: object) -> None:
        """Note a new status and columns for the next commit.

        Raises: ValueError when the status may not follow the present one.
        """
        self._note(status, columns)
        self._changed(self, 0)

    def _note(self, status: Status | None, columns: dict[str, object]) -> None:
        if status is not None:
            if not may_follow(self.status, status):
                raise ValueError(f"{self.status} cannot become {status}")
            self.status = status
            self._via = self._via or status
            columns["status"] = status.value
        self._columns.update(columns)
        self._code_page = str(columns.get("code_page", self._code_page))

    def finish(self, status: Status, *, at: datetime, **columns: object) -> None:
        """Note the end status, with the kept tail of capped output and the hashes of all that is stored."""
        before = self.waiting_bytes
        self._note(status, {"finished_at": at, **columns})
        self._store_tail()
        self._changed(self, self.waiting_bytes - before)

    def _store_tail(self) -> None:
        if self._dropped:
            self._chunks.append((OutputKind.GAP, str(self._dropped).encode()))
        while self._tail:
            self._wait(*self._tail.popleft())
        self._tail_bytes = 0

    # -------------------------------------------------------------- what the writer asks for

    @property
    def has_something(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._chunks or self._columns)

    def take(self, most_bytes: int = WAITING_LIMIT_BYTES) -> Entry:
        """Hand over what was collected since the last call, of output about ``most_bytes``; called on the event loop.

        An end status stays behind until the last of the output goes with it.
        """
        entry = Entry(self.invocation_id, self.run_id, self.fence, dropped=self._dropped)
        while self._chunks and entry.bytes_taken < most_bytes:
            kind, data = self._chunks.popleft()
            entry.chunks.append((kind, data))
            entry.bytes_taken += len(data) if kind is not OutputKind.GAP else 0
        entry.is_all = not self._chunks
        if entry.is_all or "finished_at" not in self._columns:
            entry.via, entry.columns = self._via, self._columns
            self._via, self._columns = "", {}
        return entry

    def fill(self, entry: Entry) -> None:
        """Give a taken entry its offsets, totals and hashes; called in the writer's thread, in order of taking.

        Calling it again, as a repeated commit does, changes nothing.
        """
        if entry.is_filled:
            return
        entry.is_filled = True
        entry.offset, entry.stream_offsets = self._offset, dict(self._stream_offsets)
        for kind, data in entry.chunks:
            self._count(kind, data)
        if entry.chunks or entry.dropped:
            entry.columns |= self._totals(entry)
        if "finished_at" in entry.columns:
            entry.columns |= self._digests.columns()

    def committed(self, entry: Entry, *, accepted: bool) -> None:
        """Learn that an entry was committed, or refused because another worker owns the invocation now."""
        self.waiting_bytes -= entry.bytes_taken
        self.is_fenced_out = self.is_fenced_out or not accepted

    def _count(self, kind: OutputKind, data: bytes) -> None:
        if kind is OutputKind.GAP:
            self._offset += int(data)
            return
        self._digests.update(kind, data)
        self._offset += len(data)
        self._stream_offsets[kind] += len(data)
        self._last_line = (self._last_line + data[-LAST_LINE_BYTES:])[-LAST_LINE_BYTES:]

    def _totals(self, entry: Entry) -> dict[str, object]:
        return {
            "size": self._offset,
            "stdout_bytes": self._stream_offsets[OutputKind.STDOUT],
            "stderr_bytes": self._stream_offsets[OutputKind.STDERR],
            "dropped_bytes": entry.dropped,
            "last_line": last_line(self._last_line, self._code_page),
        }


class _Digests:
    """SHA-256 of each stream and of both in the order of arrival; nothing is hashed twice while there is one stream."""

    def __init__(self) -> None:
        self._of_streams: dict[OutputKind, hashlib._Hash] = {}
        self._of_all: hashlib._Hash | None = None

    def update(self, kind: OutputKind, data: bytes) -> None:
        if kind not in self._of_streams:
            for first in self._of_streams.values():
                self._of_all = first.copy()
            self._of_streams[kind] = hashlib.sha256()
        self._of_streams[kind].update(data)
        if self._of_all is not None:
            self._of_all.update(data)

    def columns(self) -> dict[str, object]:
        out, err = (self._of_streams.get(kind, hashlib.sha256()) for kind in (OutputKind.STDOUT, OutputKind.STDERR))
        both = self._of_all or (err if OutputKind.STDERR in self._of_streams else out)
        return {"sha256": both.hexdigest(), "stdout_sha256": out.hexdigest(), "stderr_sha256": err.hexdigest()}


def last_line(tail: bytes, code_page: str = "") -> str:
    """Return the last line that shows something, as plain text: escape sequences and control bytes removed."""
    text = _PLAIN.sub("", decode(tail, code_page))
    for line in reversed(text.replace("\r", "\n").split("\n")):
        shown = "".join(letter for letter in line if letter.isprintable()).strip()
        if shown:
            return shown[-LAST_LINE_CHARACTERS:]
    return ""


def _cut(chunks: Iterable[tuple[OutputKind, bytes]]) -> Iterator[tuple[OutputKind, bytes]]:
    """Make pieces of ``ROW_BYTES``: of one stream neighbours are joined, so that a chatty command makes few rows."""
    pieces: list[memoryview] = []
    size = 0
    for kind, neighbours in itertools.groupby(chunks, key=itemgetter(0)):
        for _, data in neighbours:
            if kind is OutputKind.GAP:
                yield kind, data
                continue
            view = memoryview(data)
            while view:
                pieces.append(view[: ROW_BYTES - size])
                view = view[len(pieces[-1]) :]
                size += len(pieces[-1])
                if size == ROW_BYTES:
                    yield kind, b"".join(pieces)
                    pieces, size = [], 0
        if pieces:
            yield kind, b"".join(pieces)
            pieces, size = [], 0
