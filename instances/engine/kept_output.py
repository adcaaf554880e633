"""Owns the split of a kept shell's output: which bytes are a command's, and what the engine's marks in between say.

A mark is U+001E, a nonce, and a payload up to the end of the line. Its nonce is new each time and reaches the machine
with the command, so nothing that was printed before can be taken for it.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from instances.engine.types import Flow, Sink, Stream

_SIGN = b"\x1e"
_NONCE_BYTES = 16
NOISE_BYTES = 500


def new_nonce() -> str:
    """Return a value that nobody can guess."""
    return secrets.token_hex(_NONCE_BYTES)


@dataclass(frozen=True)
class Marks:
    """The nonces of one command: printed right before it, on both streams, and right after it."""

    begin: str = field(default_factory=new_nonce)
    end: str = field(default_factory=new_nonce)


class KeptOutput:
    """The sink of a kept shell: passes on what comes between the marks of a command, per stream, and drops the rest.

    ``begun`` and ``ended`` are the payloads of the marks on stdout, None until they came. ``answered`` is the nonce of
    the last mark that ``ask`` announced, with ``answer`` as its payload.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._flow: Flow | None = None
        self._sink: Sink | None = None
        self._held: dict[Stream, bytes] = dict.fromkeys(Stream, b"")
        self._is_open = dict.fromkeys(Stream, False)
        self._has_ended = dict.fromkeys(Stream, False)
        self._marks: Marks | None = None
        self._asked = ""
        self._noise = b""
        self.begun: str | None = None
        self.ended: str | None = None
        self.answer: str | None = None
        self.is_paused = False

    @property
    def is_complete(self) -> bool:
        """Whether the command's output has ended on both streams."""
        return all(self._has_ended.values())

    @property
    def noise(self) -> str:
        """The beginning of what the shell said instead of beginning with the command, as one line for a message."""
        return " ".join(self._noise.decode("utf-8", "replace").split())[:300]

    def attach(self, flow: Flow) -> None:
        """Take the brake of the shell's channel."""
        self._flow = flow

    def pause(self) -> None:
        """Hold the output back."""
        self.is_paused = True
        if self._flow is not None:
            self._flow.pause()

    def resume(self) -> None:
        """Let the output come again."""
        if self.is_paused:
            self.is_paused = False
            if self._flow is not None:
                self._flow.resume()
            self.on_change()

    def expect(self, marks: Marks, sink: Sink) -> None:
        """Give the sink what comes between these marks, from now on."""
        self._marks, self._sink, self._noise = marks, sink, b""
        self.begun = self.ended = self.answer = None
        self._asked = ""
        self._is_open = dict.fromkeys(Stream, False)
        self._has_ended = dict.fromkeys(Stream, False)
        sink.attach(self)

    def ask(self, nonce: str) -> None:
        """Watch stdout for the mark with this nonce; what was asked before counts no more."""
        self._asked, self.answer = nonce, None

    def forget(self) -> None:
        """Give the sink what is held back for it, and nothing more; the brake is let go."""
        for stream in Stream:
            self._pass_on(stream, self._held[stream])
            self._held[stream] = b""
            self._is_open[stream] = False
        self._marks = self._sink = None
        self.resume()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take bytes in any pieces."""
        data = self._held[stream] + data
        self._held[stream] = b""
        while (found := self._first_mark(stream, data)) is not None:
            begin, nonce = found
            end = data.find(b"\n", begin)
            self._pass_on(stream, data[:begin])
            if end < 0:
                self._held[stream] = data[begin:]
                return
            payload = data[begin + len(_SIGN) + len(nonce) : end].decode("ascii", "replace").strip()
            data = data[end + 1 :]
            self._read(stream, nonce, payload)
        # Only the last sign can begin a mark that has not come as a whole.
        begin = data.rfind(_SIGN, -2 * _NONCE_BYTES)
        if begin >= 0 and any(nonce.startswith(data[begin + 1 :].decode("latin-1")) for nonce in self._nonces(stream)):
            self._held[stream] = data[begin:]
            data = data[:begin]
        self._pass_on(stream, data)

    def _nonces(self, stream: Stream) -> list[str]:
        nonces = [self._marks.begin, self._marks.end] if self._marks is not None else []
        return [*nonces, self._asked] if self._asked and stream is Stream.STDOUT else nonces

    def _first_mark(self, stream: Stream, data: bytes) -> tuple[int, str] | None:
        found = ((data.find(_SIGN + nonce.encode()), nonce) for nonce in self._nonces(stream))
        return min(((begin, nonce) for begin, nonce in found if begin >= 0), default=None)

    def _pass_on(self, stream: Stream, data: bytes) -> None:
        if self._sink is None or not data:
            return
        if self._is_open[stream]:
            self._sink.write(stream, data)
        elif self.begun is None and len(self._noise) < NOISE_BYTES:
            self._noise += data[:NOISE_BYTES]

    def _read(self, stream: Stream, nonce: str, payload: str) -> None:
        if nonce == self._asked:
            self._asked, self.answer = "", payload
        elif self._marks is not None and nonce == self._marks.begin:
            self._is_open[stream] = not self._has_ended[stream]
            if stream is Stream.STDOUT:
                self.begun = payload
        else:
            # A command that was broken off is followed by its end mark more than once.
            is_first = not self._has_ended[stream]
            self._is_open[stream] = False
            self._has_ended[stream] = True
            if stream is Stream.STDOUT and is_first:
                self.ended = payload
        self.on_change()
