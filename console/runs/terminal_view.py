"""Owns how a run is shown in a terminal: its instances' output on the same streams here, its end as an exit status."""

import base64
import json
import re
import signal
from dataclasses import dataclass, field
from typing import BinaryIO

from console.runs import output
from console.runs.models import Invocation, OutputKind, Run
from console.runs.status import END, Status

NEVER_RAN, TIMED_OUT, INTERRUPTED, PIPE_CLOSED = 255, 124, 130, 141
# A line longer than this is shown in parts.
LINE_BYTES = 64 * 1024
# Not splitlines: a progress bar drawn with carriage returns is one line.
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
STREAMS = {OutputKind.STDOUT: "stdout", OutputKind.STDERR: "stderr"}


@dataclass
class _Shown:
    """How much of one invocation was shown. ``rest`` holds the unfinished line of each stream."""

    offset: int = 0
    has_ended: bool = False
    rest: dict[OutputKind, bytes] = field(default_factory=dict)


class TerminalView:
    """Writes what is new of a run each time it is asked.

    One instance: its bytes as they are. Several: whole lines, each with ``name: `` in front. ``as_json``: one object
    per line on stdout, of type ``output`` (``text``, or ``base64`` where the bytes are not UTF-8), ``gap``, ``end``
    (one per instance) or ``run`` (the last line).
    """

    def __init__(self, run: Run, *, stdout: BinaryIO, stderr: BinaryIO, as_json: bool = False) -> None:
        self._run_id = run.pk
        self._is_single = run.target_count == 1
        self._as_json = as_json
        self._files = {OutputKind.STDOUT: stdout, OutputKind.STDERR: stderr}
        self._shown: dict[int, _Shown] = {}
        self._revision = 0
        self.is_broken = False

    def draw(self) -> bool:
        """Write what was committed since the last call; return True once everything is shown and the run is over.

        Side effects: queries; writes, and flushes both files. A closed pipe sets ``is_broken`` and is written to no
        more.
        """
        run = Run.objects.get(pk=self._run_id)
        rows = Invocation.objects.filter(run=run, revision__gt=self._revision).order_by("ordinal")
        for invocation in rows.iterator(chunk_size=500):
            self._draw_one(invocation)
        self._revision = run.revision
        if run.has_ended and not self._is_single:
            self._say_the_end(run)
        if run.has_ended and run.is_dry_run and not self._as_json:
            self._note("Dry run, nothing was executed.")
        self._flush()
        return run.has_ended

    def exit_status(self) -> int:
        """Return what the command line ends with.

        One instance: the command's own status, 128 + the signal that ended it, 124 at the time limit, 130 when it
        was stopped, otherwise 255. Several: 0 if all succeeded, else 1.
        """
        invocations = Invocation.objects.filter(run_id=self._run_id)
        if not self._is_single:
            return int(invocations.exclude(status=Status.SUCCEEDED).exists())
        return _exit_status(invocations.get())

    # ------------------------------------------------------------------ one invocation

    def _draw_one(self, invocation: Invocation) -> None:
        shown = self._shown.setdefault(invocation.pk, _Shown())
        while shown.offset < invocation.size:
            pieces = output.read(invocation.pk, after=shown.offset)
            if not pieces:
                break
            for piece in pieces:
                self._draw_piece(invocation, shown, piece)
            shown.offset = pieces[-1].end
        if invocation.output_removed_at and shown.offset < invocation.size:
            rest = invocation.size - shown.offset
            self._draw_piece(invocation, shown, output.Piece(shown.offset, OutputKind.GAP, b"", rest))
            shown.offset = invocation.size
        if invocation.status in END and not shown.has_ended:
            shown.has_ended = True
            self._draw_rest(invocation, shown)
            self._draw_end(invocation)

    def _draw_piece(self, invocation: Invocation, shown: _Shown, piece: output.Piece) -> None:
        if piece.kind is OutputKind.GAP:
            if self._as_json:
                self._write_json({"type": "gap", "instance": invocation.instance_name, "bytes": piece.length})
            else:
                self._note(f"{invocation.instance_name}: {piece.length} bytes were not kept")
        elif self._is_single and not self._as_json:
            self._write(piece.kind, piece.data)
        else:
            lines = _LINE.findall(shown.rest.pop(piece.kind, b"") + piece.data)
            if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < LINE_BYTES:
                shown.rest[piece.kind] = lines.pop()
            for line in lines:
                self._write_line(invocation, piece.kind, line)

    def _draw_rest(self, invocation: Invocation, shown: _Shown) -> None:
        for kind, line in shown.rest.items():
            self._write_line(invocation, kind, line)
        shown.rest.clear()

    def _draw_end(self, invocation: Invocation) -> None:
        if self._as_json:
            self._write_json(_end_of(invocation))
            return
        status = invocation.status
        if status == Status.SUCCEEDED or (self._is_single and status == Status.FAILED and _has_outcome(invocation)):
            return
        self._note(f"{invocation.instance_name}: {status.replace('_', ' ')}: {_why(invocation)}")

    def _say_the_end(self, run: Run) -> None:
        if self._as_json:
            self._write_json({"type": "run", "run": run.pk, "status": run.status, "counts": run.counts})
            return
        counts = " · ".join(f"{number} {name.replace('_', ' ')}" for name, number in run.counts.items() if number)
        self._note(f"Run {run.pk}: {counts}")

    # ------------------------------------------------------------------ writing

    def _write_line(self, invocation: Invocation, kind: OutputKind, line: bytes) -> None:
        if not self._as_json:
            end = b"" if line.endswith(b"\n") else b"\n"
            self._write(kind, invocation.instance_name.encode() + b": " + line + end)
            return
        said: dict[str, object] = {"type": "output", "instance": invocation.instance_name, "stream": STREAMS[kind]}
        try:
            said["text"] = line.decode()
        except UnicodeDecodeError:
            said["base64"] = base64.b64encode(line).decode()
        self._write_json(said)

    def _write_json(self, value: dict[str, object]) -> None:
        self._write(OutputKind.STDOUT, json.dumps(value, ensure_ascii=False).encode() + b"\n")

    def _note(self, sentence: str) -> None:
        self._flush()
        self._write(OutputKind.STDERR, sentence.encode(errors="replace") + b"\n")

    def _write(self, kind: OutputKind, data: bytes) -> None:
        if self.is_broken:
            return
        try:
            self._files[kind].write(data)
        except BrokenPipeError:
            self.is_broken = True

    def _flush(self) -> None:
        for file in self._files.values():
            try:
                if not self.is_broken:
                    file.flush()
            except BrokenPipeError:
                self.is_broken = True


def _has_outcome(invocation: Invocation) -> bool:
    return invocation.exit_status is not None or bool(invocation.exit_signal)


def _why(invocation: Invocation) -> str:
    if invocation.message:
        return invocation.message
    if invocation.exit_signal:
        return f"signal {invocation.exit_signal}"
    return f"exit status {invocation.exit_status}" if invocation.exit_status is not None else invocation.reason


def _end_of(invocation: Invocation) -> dict[str, object]:
    return {
        "type": "end",
        "instance": invocation.instance_name,
        "address": invocation.address,
        "status": invocation.status,
        "reason": invocation.reason,
        "message": invocation.message,
        "exit_status": invocation.exit_status,
        "exit_signal": invocation.exit_signal,
        "took_s": invocation.took_s,
        "bytes": invocation.size,
        "sha256": invocation.sha256,
    }


def _exit_status(invocation: Invocation) -> int:
    if invocation.status in {Status.SUCCEEDED, Status.FAILED} and _has_outcome(invocation):
        if invocation.exit_signal:
            number = getattr(signal, f"SIG{invocation.exit_signal.removeprefix('SIG')}", 0)
            return 128 + int(number) if number else NEVER_RAN
        status = invocation.exit_status or 0
        # A shell sees 8 bits of it: a Windows code such as 256 must not become 0.
        return status & 0xFF or int(status != 0)
    return {Status.TIMED_OUT: TIMED_OUT, Status.STOPPED: INTERRUPTED, Status.CANCELLED: INTERRUPTED}.get(
        Status(invocation.status), NEVER_RAN
    )
