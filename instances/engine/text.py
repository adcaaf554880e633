"""Owns the way from a command's bytes to text for people; what is stored stays bytes."""

import codecs
import unicodedata

# What browsers call the code pages of more than 256 letters.
WEB_NAMES = {"932": "shift_jis", "936": "gbk", "949": "euc-kr", "950": "big5"}


class Decoder:
    """Turns bytes into text piece by piece, so that a letter split over two pieces is not lost.

    Bytes that are no text become U+FFFD. ``encoding`` may be a Windows code page such as "cp850".
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def decode(self, data: bytes, *, is_last: bool = False) -> str:
        """Return the text that is complete so far; with ``is_last`` an unfinished letter becomes U+FFFD."""
        return self._decoder.decode(data, is_last)


def is_line(text: str) -> bool:
    """Say whether a text is one line without control characters."""
    return not any(unicodedata.category(letter) == "Cc" for letter in text)


def decode(data: bytes, code_page: str = "") -> str:
    """Return bytes as text, line by line: as UTF-8, and what is none in the OEM code page of the machine, if known.

    static/js/decoding.js does the same in the browser.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        codec = _codec(code_page)
        return "".join(_decode_line(line, codec) for line in data.splitlines(keepends=True))


def letters_of(code_page: str) -> str:
    """Return the letters of the bytes 128 to 255, empty for a code page that has more or is unknown."""
    codec = _codec(code_page)
    return bytes(range(128, 256)).decode(codec, "replace") if codec and code_page not in WEB_NAMES else ""


def _decode_line(line: bytes, codec: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(codec or "utf-8", "replace")


def _codec(code_page: str) -> str:
    """Return Python's name of an OEM code page, empty for none, UTF-8, and what Python does not know."""
    if not code_page.isdecimal() or code_page == "65001":
        return ""
    try:
        return codecs.lookup(f"cp{code_page}").name
    except LookupError:
        return ""


def tail(data: bytes, limit_bytes: int) -> str:
    """Return the last bytes as text, starting at a whole letter."""
    start = max(0, len(data) - limit_bytes)
    while start and start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "replace")
