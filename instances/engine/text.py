"""Owns the way from a command's bytes to text for people; what is stored stays bytes."""

import codecs


class Decoder:
    """Turns bytes into text piece by piece, so that a letter split over two pieces is not lost.

    Bytes that are no text become U+FFFD. ``encoding`` may be a Windows code page such as "cp850".
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def decode(self, data: bytes, *, is_last: bool = False) -> str:
        """Return the text that is complete so far; with ``is_last`` an unfinished letter becomes U+FFFD."""
        return self._decoder.decode(data, is_last)


def tail(data: bytes, limit_bytes: int) -> str:
    """Return the last bytes as text, starting at a whole letter."""
    start = max(0, len(data) - limit_bytes)
    while start and start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "replace")
