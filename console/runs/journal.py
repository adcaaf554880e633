"""Owns what an invocation has produced and become, until the writer commits it.

``Journal`` is one invocation's side: bytes come in on the event loop, statuses are set by ``invoke``; ``take`` hands
everything over as one ``Entry``. What a viewer can see is only what was committed.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from console.runs.models import OutputKind
from console.runs.status import Status, may_follow

# A row of the output log holds at most this much.
ROW_BYTES = 64 * 1024
# Bytes that may wait for a commit before reading from the instance pauses, so that a flood costs a fixed memory.
WAITING_LIMIT_BYTES = 8 * 1024 * 1024
# Of output beyond the cap the last part is kept.
TAIL_BYTES = 256 * 1024
# How often the count of what is not kept is shown while it grows.
TELL_DROPPED_BYTES = 16 * 1024 * 1024
LAST_LINE_CHARACTERS = 200
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
    """

    invocation_id: int
    run_id: int
    fence: int
    via: str = ""
    columns: dict[str, object] = field(default_factory=dict)
    chunks: list[tuple[OutputKind, bytes]] = field(default_factory=list)
    dropped: int = 0
    bytes_taken: int = 0
    rows: list[Row] = field(default_factory=list)


class Journal:
    """Collects one invocation's output and changes between two commits.

    ``changed`` is called whenever there is something to commit. Raises nothing from ``write``: output is never a
    reason for an invocation to fail.
    """

    def __init__(
        self,
        *,
        invocation_id: int,
        run_id: int,
        fence: int,
        cap_bytes: int,
        changed: Callable[["Journal"], None],
        size: int = 0,
    ) -> None:
        self.invocation_id, self.run_id, self.fence = invocation_id, run_id, fence
        self.status: Status = Status.CONNECTING
        self.is_fenced_out = False
        self.waiting_bytes = 0
        self._cap_bytes = cap_bytes
        self._changed = changed
        self._flow: Flow | None = None
        self._is_paused = False
        self._chunks: list[tuple[OutputKind, bytes]] = []
        self._chunk_bytes = 0
        self._accepted = 0
        self._offset = size
        self._stream_offsets = {OutputKind.STDOUT: 0, OutputKind.STDERR: 0}
        self._dropped = self._dropped_told = 0
        self._tail: deque[tuple[OutputKind, bytes]] = deque()
        self._tail_bytes = 0
        self._hashes = {kind: hashlib.sha256() for kind in (None, OutputKind.STDOUT, OutputKind.STDERR)}
        self._last_line = b""
        self._via = ""
        self._columns: dict[str, object] = {}

    # -------------------------------------------------------------- what comes from the engine

    def attach(self, flow: Flow) -> None:
        """Remember how to pause the instance this journal listens to."""
        self._flow = flow

    def write(self, stream: int, data: bytes) -> None:
        """Take a piece of output; pauses the instance while too much waits for a commit."""
        kind = OutputKind(stream)
        room = self._cap_bytes - TAIL_BYTES - self._accepted
        if room > 0:
            self._accept(kind, data[:room])
            data = data[room:]
        if data:
            self._accepted = max(self._accepted, self._cap_bytes - TAIL_BYTES)
            self._keep_as_tail(kind, data)
        if self.waiting_bytes > WAITING_LIMIT_BYTES:
            self.pause()
        self._changed(self)

    def _accept(self, kind: OutputKind, data: bytes) -> None:
        self._chunks.append((kind, data))
        self._chunk_bytes += len(data)
        self._accepted += len(data)
        self.waiting_bytes += len(data)

    def _keep_as_tail(self, kind: OutputKind, data: bytes) -> None:
        self._tail.append((kind, data))
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0][1]) >= TAIL_BYTES:
            _, dropped = self._tail.popleft()
            self._tail_bytes -= len(dropped)
            self._dropped += len(dropped)
        if self._dropped - self._dropped_told >= TELL_DROPPED_BYTES:
            self._dropped_told = self._columns["dropped_bytes"] = self._dropped

    def pause(self) -> None:
        """Stop reading from the instance."""
        if self._flow and not self._is_paused:
            self._is_paused = True
            self._flow.pause()

    def resume(self) -> None:
        """Read from the instance again, if it was paused."""
        if self._flow and self._is_paused:
            self._is_paused = False
            self._flow.resume()

    # -------------------------------------------------------------- what comes from invoke

    def set(self, status: Status | None = None, **columns: object) -> None:
        """Note a new status and columns for the next commit.

        Raises: ValueError when the status may not follow the present one.
        """
        if status is not None:
            if not may_follow(self.status, status):
                raise ValueError(f"{self.status} cannot become {status}")
            self.status = status
            self._via = self._via or status
            columns["status"] = status.value
        self._columns.update(columns)
        self._changed(self)

    def finish(self, status: Status, *, at: datetime, **columns: object) -> None:
        """Note the end status, with the kept tail of capped output and the hashes of all that is stored."""
        self._store_tail()
        self.set(status, finished_at=at, **columns)

    def _store_tail(self) -> None:
        if self._dropped:
            self._chunks.append((OutputKind.GAP, str(self._dropped).encode()))
        while self._tail:
            kind, data = self._tail.popleft()
            self._chunks.append((kind, data))
            self._chunk_bytes += len(data)
            self.waiting_bytes += len(data)
        self._tail_bytes = 0

    # -------------------------------------------------------------- what the writer asks for

    @property
    def has_something(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._chunks or self._columns)

    def take(self) -> Entry:
        """Hand over everything collected since the last call; called on the event loop, cheap."""
        entry = Entry(self.invocation_id, self.run_id, self.fence, via=self._via, columns=self._columns)
        entry.chunks, entry.dropped, entry.bytes_taken = self._chunks, self._dropped, self._chunk_bytes
        self._chunks, self._chunk_bytes = [], 0
        self._via, self._columns = "", {}
        return entry

    def fill(self, entry: Entry) -> None:
        """Turn a taken entry's bytes into rows, totals and hashes; called in the writer's thread, in order of taking.

        Calling it again, as a repeated commit does, changes nothing.
        """
        if entry.chunks:
            entry.rows, entry.chunks = self._rows(entry.chunks), []
        if entry.rows or entry.dropped:
            entry.columns |= self._totals(entry)
        if "finished_at" in entry.columns:
            entry.columns |= self._digests()

    def committed(self, entry: Entry, *, accepted: bool) -> None:
        """Learn that an entry was committed, or refused because another worker owns the invocation now."""
        self.waiting_bytes -= entry.bytes_taken
        self.is_fenced_out = self.is_fenced_out or not accepted

    def _rows(self, chunks: list[tuple[OutputKind, bytes]]) -> list[Row]:
        rows: list[Row] = []
        for kind, data in _joined(chunks):
            if kind is OutputKind.GAP:
                rows.append(Row(self._offset, kind, 0, data))
                self._offset += int(data)
                continue
            self._hashes[None].update(data)
            self._hashes[kind].update(data)
            for start in range(0, len(data), ROW_BYTES):
                piece = data[start : start + ROW_BYTES]
                rows.append(Row(self._offset, kind, self._stream_offsets[kind], piece))
                self._offset += len(piece)
                self._stream_offsets[kind] += len(piece)
            self._last_line = (self._last_line + data)[-4 * LAST_LINE_CHARACTERS :]
        return rows

    def _totals(self, entry: Entry) -> dict[str, object]:
        return {
            "size": self._offset,
            "stdout_bytes": self._stream_offsets[OutputKind.STDOUT],
            "stderr_bytes": self._stream_offsets[OutputKind.STDERR],
            "dropped_bytes": entry.dropped,
            "last_line": last_line(self._last_line),
        }

    def _digests(self) -> dict[str, object]:
        return {
            "sha256": self._hashes[None].hexdigest(),
            "stdout_sha256": self._hashes[OutputKind.STDOUT].hexdigest(),
            "stderr_sha256": self._hashes[OutputKind.STDERR].hexdigest(),
        }


def last_line(tail: bytes) -> str:
    """Return the last line that shows something, as plain text: escape sequences and control bytes removed."""
    text = _PLAIN.sub("", tail.decode(errors="replace"))
    for line in reversed(text.replace("\r", "\n").split("\n")):
        shown = "".join(letter for letter in line if letter.isprintable()).strip()
        if shown:
            return shown[-LAST_LINE_CHARACTERS:]
    return ""


def _joined(chunks: list[tuple[OutputKind, bytes]]) -> list[tuple[OutputKind, bytes]]:
    """Join neighbours of one stream, so that a chatty command does not make a row for every packet."""
    joined: list[tuple[OutputKind, list[bytes]]] = []
    for kind, data in chunks:
        if joined and joined[-1][0] is kind and kind is not OutputKind.GAP:
            joined[-1][1].append(data)
        else:
            joined.append((kind, [data]))
    return [(kind, b"".join(pieces)) for kind, pieces in joined]
