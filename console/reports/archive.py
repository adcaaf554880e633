"""Owns a run's outputs as a zip that is made while it is sent: any size, in bounded memory.

Shape of the archive: ``run-N/outputs/0001-web-01.stdout.txt`` and ``.stderr.txt`` for each stream that has something,
``.combined.txt`` with both in order of arrival where both do; ``run.json`` and ``invocations.csv``, the record;
``manifest.json``, every file of outputs with size and SHA-256, what is missing; ``SHA256SUMS`` for ``sha256sum -c``.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from console.members.models import User
from console.reports.record import invocations_of, iso, run_csv, run_json
from console.runs import output
from console.runs.models import Invocation, OutputKind, Run
from console.runs.status import NEVER_RAN

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FORMAT = "muster-run-archive/1"
# What is sent at a time.
PIECE_BYTES = 256 * 1024
# Text comes down to a fifth at this level; the higher ones take three times as long for a tenth less.
LEVEL = 1
NAME_LETTERS = 60


class _Sink(io.RawIOBase):
    """Takes what the archive writes, until it is sent. It cannot seek, so sizes are written behind each file."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        view = memoryview(data)
        self._waiting += view
        return view.nbytes

    def taken(self, least: int = 0) -> Iterator[bytes]:
        """Yield all that waits, as one piece, if it is that much."""
        if self._waiting and len(self._waiting) >= least:
            yield bytes(self._waiting)
            self._waiting.clear()


class _Archive:
    """One archive being made. Each method gives the pieces that are ready to be sent meanwhile."""

    def __init__(self, run: Run) -> None:
        self._folder = f"run-{run.pk}"
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._sums: list[str] = []
        self.files: list[dict[str, Any]] = []
        self.missing: list[dict[str, Any]] = []

    def add(self, path: str, pieces: Iterable[bytes], at: datetime, **facts: Any) -> Iterator[bytes]:
        """Add a file; ``facts`` are what the manifest says of it besides."""
        info = zipfile.ZipInfo(f"{self._folder}/{path}", at.timetuple()[:6])
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        digest, size = hashlib.sha256(), 0
        # How long it gets is not known before: hence the wide form of sizes (Zip64), whatever they come to.
        with self._zip.open(info, "w", force_zip64=True) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
                yield from self._sink.taken(PIECE_BYTES)
        self._sums.append(f"{digest.hexdigest()}  {path}\n")
        recorded = facts.get("recorded_sha256")
        facts["matches"] = digest.hexdigest() == recorded if recorded else None
        self.files.append({"path": path, "size": size, "sha256": digest.hexdigest(), **facts})

    def add_sums(self, at: datetime) -> Iterator[bytes]:
        """Add the list that ``sha256sum -c`` takes."""
        yield from self.add("SHA256SUMS", ["".join(self._sums).encode()], at)

    def close(self) -> Iterator[bytes]:
        """End it with its directory; what waited is dropped when nobody takes it."""
        self._zip.close()
        yield from self._sink.taken()


def run_archive(user: User, run: Run) -> Iterator[bytes]:
    """Return a run's archive in pieces: of the instances that a user may see, what is stored at that moment.

    Breaking off ends the reading too. Memory: a row of output, a piece, and some 2 kB for each instance.
    """
    archive, now = _Archive(run), timezone.now()
    for row in invocations_of(user, run):
        yield from _add_outputs(archive, row)
    yield from archive.add("run.json", run_json(user, run), now)
    yield from archive.add("invocations.csv", run_csv(user, run), now)
    manifest = {
        "format": FORMAT,
        "run": run.pk,
        "made_at": iso(now),
        "made_by": user.get_username(),
        "run_has_ended": run.has_ended,
        "command_sha256": run.command_sha256,
        "files": list(archive.files),
        "missing": archive.missing,
    }
    yield from archive.add("manifest.json", [json.dumps(manifest, indent=1).encode()], now)
    yield from archive.add_sums(now)
    yield from archive.close()


def _add_outputs(archive: _Archive, row: Invocation) -> Iterator[bytes]:
    for why in _missing(row):
        archive.missing.append({"ordinal": row.ordinal, "instance": row.instance_name, **why})
    at = row.finished_at or timezone.now()
    for stream, recorded in _streams(row):
        try:
            pieces = _pieces(row, stream)
        except output.OutputRemoved:
            # Since the row was read.
            gone = {"ordinal": row.ordinal, "instance": row.instance_name, "stream": stream}
            archive.missing.append({**gone, "why": "removed_by_retention"})
            continue
        path = f"outputs/{file_name(row)}.{stream}.txt"
        facts = {"ordinal": row.ordinal, "instance": row.instance_name, "stream": stream}
        yield from archive.add(path, pieces, at, **facts, recorded_sha256=recorded or None)


def _streams(row: Invocation) -> Iterator[tuple[str, str]]:
    """Return which files there are of an invocation, each with the hash in its end row."""
    if row.output_removed_at:
        return
    if row.stdout_bytes:
        yield "stdout", row.stdout_sha256
    if row.stderr_bytes:
        yield "stderr", row.stderr_sha256
    if row.stdout_bytes and row.stderr_bytes:
        yield "combined", row.sha256


def _pieces(row: Invocation, stream: str) -> Iterator[bytes]:
    if stream == "combined":
        return output.stored_bytes(row, 0, output.stored_size(row))
    return output.stored_stream(row, OutputKind[stream.upper()])


def _missing(row: Invocation) -> Iterator[dict[str, Any]]:
    """Return what is not in the archive of an invocation, and why."""
    if row.output_removed_at:
        yield {"why": "removed_by_retention", "at": iso(row.output_removed_at), "bytes": row.size}
    if row.dropped_bytes:
        yield {"why": "dropped_by_cap", "bytes": row.dropped_bytes}
    if row.finished_at is None:
        yield {"why": "not_ended", "status": row.status}
    elif row.status in NEVER_RAN:
        yield {"why": "never_ran", "status": row.status, "reason": row.reason}
    elif not row.size:
        yield {"why": "no_output", "status": row.status}


def file_name(row: Invocation) -> str:
    """Return a file name for an invocation that every system takes: its place makes it the only one of its run."""
    safe = "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in "-._" else "_" for letter in row.instance_name
    )
    return f"{row.ordinal + 1:04}-{safe[:NAME_LETTERS]}"
