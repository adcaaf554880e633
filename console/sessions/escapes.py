"""Owns what is typed for ``manage.py attach`` itself, as in ssh: a character at the start of a line, and the next."""

import enum

PASTE_BEGINS, PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_SUSPEND = 0x1A
_LINE_ENDS = b"\r\n"


class Escape(enum.Enum):
    """What can be asked for."""

    DETACH = "."
    HELP = "?"
    TAKE_OVER = "t"
    SUSPEND = "^Z"


def escape_character(text: str) -> bytes | None:
    """Return the character that ``--escape`` names: itself, or with ``^`` for Ctrl; None for ``none``.

    Raises: ValueError, with a sentence.
    """
    if text == "none":
        return None
    if len(text) == 2 and text[0] == "^" and "@" <= text[1].upper() <= "_":
        return bytes([ord(text[1].upper()) & 0x1F])
    if len(text) != 1 or not text.isascii() or not text.isprintable():
        raise ValueError("--escape takes one character such as ~, one with Ctrl such as ^], or none.")
    return text.encode()


class Escapes:
    """Tells what is meant for the terminal from what is meant here, however it is cut into pieces.

    What is pasted is never meant here, where the terminal marks it (bracketed paste).
    """

    def __init__(self, character: bytes | None) -> None:
        self._character = character[0] if character else None
        self._is_line_start = True
        self._is_held = False
        self._is_pasting = False
        self._last = bytearray()

    def feed(self, data: bytes) -> list[bytes | Escape]:
        """Return what was typed, in order, and what was asked for in between."""
        if self._character is None:
            return [data] if data else []
        events: list[bytes | Escape] = []
        typed = bytearray()
        for byte in data:
            asked = self._asked(byte, typed)
            if asked is not None:
                if typed:
                    events.append(bytes(typed))
                    typed.clear()
                events.append(asked)
        if typed:
            events.append(bytes(typed))
        return events

    def _asked(self, byte: int, typed: bytearray) -> Escape | None:
        """Take one byte into what is typed, unless it is a part of an escape; return one that is complete."""
        self._note_paste(byte)
        if self._is_held:
            self._is_held = False
            asked = _MEANINGS.get(byte)
            if asked is not None:
                # Another may follow at once.
                return asked
            if byte != self._character:
                typed.append(self._character or 0)
        elif byte == self._character and self._is_line_start and not self._is_pasting:
            self._is_held = True
            return None
        typed.append(byte)
        self._is_line_start = byte in _LINE_ENDS
        return None

    def _note_paste(self, byte: int) -> None:
        self._last.append(byte)
        del self._last[: -len(PASTE_BEGINS)]
        if self._last == PASTE_BEGINS:
            self._is_pasting = True
        elif self._last == PASTE_ENDS:
            self._is_pasting = False


_MEANINGS = {ord("."): Escape.DETACH, ord("?"): Escape.HELP, ord("t"): Escape.TAKE_OVER, _SUSPEND: Escape.SUSPEND}
