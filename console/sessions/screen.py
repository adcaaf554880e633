"""Owns what a terminal shows when somebody comes back to it: its last output, its sizes, and the modes before both.

What is kept is the bytes themselves, as a terminal in a browser draws them exactly as the first one did. Of what is no
longer kept, only the modes that programs switch on and off are remembered; ``prefix`` sets them again.
"""

import re
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from instances.engine.transport import Size

KEPT_BYTES = 1024 * 1024
# Longer ones are no sequences of a terminal's modes.
_LONGEST_SEQUENCE = 64
_SGR_KEPT = 32
# Of each kind; terminals know about as many. An instance can name any number of them, and this is kept in memory.
_MODES_KEPT = 100
_SEQUENCE = re.compile(
    rb"\x1b(?:\[(?P<private>[<=>?]?)(?P<numbers>[0-9;:]*)(?P<middle>[ !\"$'*]?)(?P<final>[@-~])"
    rb"|(?P<set>[()*+])(?P<charset>[0-9A-Za-z<=>%&])|(?P<single>[=>c78DEHM]))|[\x0e\x0f]"
)
_SECOND_SCREEN = (b"47", b"1047", b"1049")
# Wraps lines, repeats keys, shows the cursor.
_SET_AT_FIRST = frozenset({b"7", b"8", b"25"})
# The number of columns, which clears the screen, and what terminals begin with as they please.
_LEFT_ALONE = frozenset({b"", b"3", b"1034"})
# By the first letters of what is kept. Without a scroll region the cursor goes home: it is put back.
_UNDO = {
    b"keypad": b"\x1b>",
    b"keys": b"\x1b[>4m",
    b"charset": b"\x1b(B",
    b"shift": b"\x0f",
    b"region": b"\x1b7\x1b[r\x1b8",
    b"cursor": b"\x1b[0 q",
}
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9;:<=>?]*[ !\"$'*]?|[()*+]?)?\Z")


@dataclass(frozen=True)
class Piece:
    """A part of the output that was shown in one size."""

    offset: int
    data: bytes
    size: Size


class Scrollback:
    """The last output of a terminal. Offsets count its bytes since it was opened."""

    def __init__(self, size: Size, *, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: deque[Piece] = deque()
        self._modes = Modes()
        self.size = size
        self.start = self.end = 0

    def append(self, data: bytes) -> None:
        """Keep what was printed, and forget what is too old; its modes are remembered."""
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.size == self.size and len(last.data) + len(data) <= 4096:
            # Keystrokes come back one by one: an object for each would cost more than what they say.
            self._pieces[-1] = Piece(last.offset, last.data + data, self.size)
        else:
            self._pieces.append(Piece(self.end, data, self.size))
        self.end += len(data)
        while len(self._pieces) > 1 and self.end - self._pieces[1].offset >= self._limit_bytes:
            gone = self._pieces.popleft()
            self._modes.feed(gone.data)
            self.start = self._pieces[0].offset

    def read(self, offset: int, limit_bytes: int) -> Piece | None:
        """Return what follows an offset, up to a limit and in one size; None at the end.

        Raises: LookupError when that is no longer kept.
        """
        if offset >= self.end:
            return None
        if offset < self.start:
            raise LookupError(offset)
        piece = self._pieces[self._index(offset)]
        begin = offset - piece.offset
        return Piece(offset, piece.data[begin : begin + limit_bytes], piece.size)

    @property
    def first_size(self) -> Size:
        """The size in which the oldest kept byte was shown."""
        return self._pieces[0].size if self._pieces else self.size

    def prefix(self) -> bytes:
        """Return what sets a new terminal to the modes of the oldest kept byte; nothing if that is the first of all."""
        return self._modes.prefix() if self.start else b""

    def _index(self, offset: int) -> int:
        if offset >= self._pieces[-1].offset:
            return len(self._pieces) - 1
        return bisect_right(self._pieces, offset, key=lambda piece: piece.offset) - 1


class Modes:
    """The modes a terminal is in after some output; see the sequences in xterm's ctlseqs.

    Of colours the last sequences since a reset are kept as they came. The cursor is put at the bottom, where it mostly
    is: what follows prints there or moves it.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._reset()

    def _reset(self) -> None:
        self._private: dict[bytes, bytes] = {}
        self._ansi: dict[bytes, bytes] = {}
        self._sgr: deque[bytes] = deque(maxlen=_SGR_KEPT)
        self._others: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Take some output into account; a sequence may go on in the next."""
        data = self._tail + data
        for match in _SEQUENCE.finditer(data):
            self._note(match)
        unfinished = _UNFINISHED.search(data, max(0, len(data) - _LONGEST_SEQUENCE))
        self._tail = unfinished.group() if unfinished else b""

    def prefix(self) -> bytes:
        """Return the sequences that set these modes, and what came of one that goes on."""
        modes = [b"\x1b[?%s%s" % (number, final) for number, final in self._private.items()]
        modes += [b"\x1b[%s%s" % (number, final) for number, final in self._ansi.items()]
        return b"".join([*modes, *self._others.values(), b"\x1b[999;1H", *self._sgr, self._tail])

    @property
    def is_full_screen(self) -> bool:
        """Whether the second screen is shown, the one without scroll-back."""
        return any(self._private.get(number) == b"h" for number in _SECOND_SCREEN)

    def undo(self) -> bytes:
        """Return the sequences that bring a terminal from these modes back to those it starts in."""
        private = [
            b"\x1b[?%s%s" % (number, b"h" if final == b"l" else b"l")
            for number, final in self._private.items()
            if number not in _LEFT_ALONE and (final == b"l") == (number in _SET_AT_FIRST)
        ]
        ansi = [b"\x1b[%sl" % number for number, final in self._ansi.items() if final == b"h"]
        others = [sequence for name, sequence in _UNDO.items() if any(key.startswith(name) for key in self._others)]
        return b"".join([*private, *ansi, *others, b"\x1b[0m" if self._sgr else b""])

    def _note(self, match: re.Match[bytes]) -> None:
        whole, single, final = match.group(), match["single"], match["final"]
        if len(whole) > _LONGEST_SEQUENCE:
            return
        if single == b"c" or (final == b"p" and match["middle"] == b"!"):
            self._reset()
        elif single in (b"=", b">"):
            self._others[b"keypad"] = whole
        elif match["set"]:
            self._others[b"charset" + match["set"]] = whole
        elif whole in (b"\x0e", b"\x0f"):
            self._others[b"shift"] = whole
        elif final in (b"h", b"l") and not match["middle"]:
            kept = self._private if match["private"] == b"?" else self._ansi
            if match["private"] in (b"?", b""):
                for number in match["numbers"].split(b";"):
                    # Set again last: what comes later wins, as between 1049 and 47.
                    kept.pop(number, None)
                    kept[number] = final
                while len(kept) > _MODES_KEPT:
                    del kept[next(iter(kept))]
        elif final == b"m" and match["private"] == b">":
            self._others[b"keys"] = whole
        elif final == b"m" and not match["private"]:
            if match["numbers"] in (b"", b"0"):
                self._sgr.clear()
            else:
                self._sgr.append(whole)
        elif final == b"r" and not match["private"]:
            self._others[b"region"] = whole
        elif final == b"q" and match["middle"] == b" ":
            self._others[b"cursor"] = whole
