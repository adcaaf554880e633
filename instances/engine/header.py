"""Owns the split between what the engine's own first lines say and what the command prints."""

import re
from collections.abc import Callable

from instances.engine.shells import HEADER_BYTES
from instances.engine.types import Flow, Sink, Started, Stream

_EXIT = re.compile(rb" exit (-?\d{1,10})\r?")


class Header:
    """A sink that takes the engine's lines out and passes on what follows them, per stream.

    On stdout "<nonce> <pid> <start time>", as another user a second time, and later "<nonce> <verdict>"; the verdict
    "ok" opens the output. ``started`` is the first: the leader of the session, sudo itself. On stderr
    the nonce alone on a line. What came before (a noisy ~/.bashrc) is not the command's and is not passed on.
    With ``has_exit_line``, stdout also ends with "NUL <nonce> exit <code>", which is taken out as well.
    """

    def __init__(self, nonce: bytes, sink: Sink, *, has_exit_line: bool = False) -> None:
        self._nonce = nonce
        self._sink = sink
        self._flow: Flow | None = None
        self._waiting: dict[Stream, bytearray] = {stream: bytearray() for stream in Stream}
        self._is_open = dict.fromkeys(Stream, False)
        self.on_change: Callable[[], None] = lambda: None
        self._exit_line = b"\0" + nonce if has_exit_line else b""
        self.exit_code: int | None = None
        self.started: Started | None = None
        self.has_become = False
        self.verdict = ""
        self.is_hopeless = False
        self.is_paused = False

    @property
    def noise(self) -> str:
        """The beginning of what came instead of the header, as one line for a message."""
        text = bytes(self._waiting[Stream.STDERR][:500] + self._waiting[Stream.STDOUT][:500])
        return " ".join(text.decode("utf-8", "replace").split())[:300]

    def attach(self, flow: Flow) -> None:
        """Put itself between the brake and the sink, to know when output is held back."""
        self._flow = flow
        self._sink.attach(self)

    def pause(self) -> None:
        """Hold the output back."""
        self.is_paused = True
        if self._flow is not None:
            self._flow.pause()

    def resume(self) -> None:
        """Let the output come again."""
        self.is_paused = False
        if self._flow is not None:
            self._flow.resume()
        self.on_change()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take bytes in any pieces."""
        if self._is_open[stream]:
            self._pass_on(stream, data)
            return
        waiting = self._waiting[stream]
        waiting += data
        while not self._is_open[stream] and (line := self._next_line(waiting)) is not None:
            self._read(stream, line)
        if self._is_open[stream]:
            if waiting:
                rest = bytes(waiting)
                waiting.clear()
                self._pass_on(stream, rest)
        elif len(waiting) > HEADER_BYTES:
            if stream is Stream.STDERR:
                del waiting[: -len(self._nonce)]
            else:
                self.is_hopeless = True
                self.on_change()

    def release(self) -> None:
        """Pass on what was held back, for nothing more will come."""
        for stream in Stream:
            if self._is_open[stream] and self._waiting[stream]:
                self._sink.write(stream, bytes(self._waiting[stream]))
                self._waiting[stream].clear()

    def _pass_on(self, stream: Stream, data: bytes) -> None:
        if not self._exit_line or stream is not Stream.STDOUT or self.exit_code is not None:
            self._sink.write(stream, data)
            return
        # What may be the beginning of the exit line is kept; output seldom ends with a NUL.
        waiting = self._waiting[stream]
        waiting += data
        begin = waiting.find(self._exit_line)
        end = waiting.find(b"\n", begin) if begin >= 0 else -1
        if begin >= 0 and end >= 0:
            match = _EXIT.fullmatch(waiting, begin + len(self._exit_line), end)
            self.exit_code = int(match[1]) if match else None
            if match:
                del waiting[begin : end + 1]
            begin = len(waiting)
        elif begin < 0:
            begin = len(waiting) - _overlap(waiting, self._exit_line)
        if begin:
            self._sink.write(stream, bytes(waiting[:begin]))
            del waiting[:begin]

    def _next_line(self, waiting: bytearray) -> bytes | None:
        """Cut off everything up to the end of the next line with the nonce; return what follows the nonce on it."""
        begin = waiting.find(self._nonce)
        end = waiting.find(b"\n", begin) if begin >= 0 else -1
        if end < 0:
            return None
        line = bytes(waiting[begin + len(self._nonce) : end])
        del waiting[: end + 1]
        return line

    def _read(self, stream: Stream, line: bytes) -> None:
        if stream is Stream.STDERR:
            self._is_open[stream] = True
            return
        words = line.decode("ascii", "replace").split()
        if words and words[0].isdigit():
            self.has_become = self.started is not None
            now = Started(int(words[0]), *words[1:3]) if words[1:] else Started(int(words[0]), "")
            self.started = self.started or now
        elif words and not self.verdict:
            self.verdict = words[0]
            self._is_open[stream] = self.verdict == "ok"
        self.on_change()


def _overlap(text: bytearray, line: bytes) -> int:
    """Return how many of the last bytes may be the beginning of the line."""
    return next((size for size in range(min(len(text), len(line) - 1), 0, -1) if text.endswith(line[:size])), 0)
