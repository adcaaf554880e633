"""Owns reading a recording: any bytes of its file, and the text it shows, however long it is."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from console.recordings.asciicast import events
from console.recordings.models import Recording

HITS = 200
SEARCH_S = 10.0
_LONGEST_SEQUENCE = 4096
_LONGEST_LINE = 4096
_SHOWN_BEFORE, _SHOWN_LINE = 60, 240

# What moves to another line, what leaves a distance in the same one, and all the rest.
_AWAY = re.compile(r"\x1b(?:\[[0-9;]*[ABEFHSTdf]|[DEMc])|\r\n?|\v|\f")
_ASIDE = re.compile(r"\x1b\[[0-9;]*[CG]|\t")
_REST = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-OQ-WYZ\\`-~])"
    r"|[\x00-\x07\x0e-\x1f\x7f]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z")


def pieces(recording: Recording, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of the file from ``start`` up to ``stop`` (its present end), a part at a time.

    Fewer come only when it is removed meanwhile. Side effects: a query for each part.
    """
    at, stop = start, recording.size if stop is None else stop
    while at < stop:
        part = recording.parts.filter(offset__lte=at).order_by("-offset").first()
        data = zlib.decompress(part.data)[at - part.offset : stop - part.offset] if part is not None else b""
        if not data:
            return
        yield data
        at += len(data)


@dataclass(frozen=True)
class Hit:
    """A line that holds what was searched for, and the second at which it was there as a whole."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Found:
    """The first hits. ``searched_s`` is up to where it was searched, None for all of it."""

    hits: list[Hit]
    searched_s: float | None = None


def search(recording: Recording, words: str, *, within_s: float = SEARCH_S) -> Found:
    """Return the first lines that hold ``words``, in any case; a line that is drawn again and again counts once."""
    wanted, hits, ends_at = words.casefold(), list[Hit](), monotonic() + within_s
    seconds = 0.0
    for seconds, line in _lines(recording):
        if line and wanted in line.casefold() and (not hits or hits[-1].text != _shown(line, wanted)):
            hits.append(Hit(seconds, _shown(line, wanted)))
            if len(hits) >= HITS:
                return Found(hits, seconds)
        if monotonic() > ends_at:
            return Found(hits, seconds)
    return Found(hits)


def _lines(recording: Recording) -> Iterator[tuple[float, str]]:
    text = Transcript()
    for event in events(pieces(recording)):
        if event.kind == "o":
            yield from text.feed(event.seconds, event.text)
    yield from text.rest()


class Transcript:
    """Makes lines of what a terminal is sent: sequences are taken out, and what moves to another line ends one.

    Times are those at which the last letter of a line came.
    """

    def __init__(self) -> None:
        self._sequence = ""
        self._line = ""
        self._seconds = 0.0

    def feed(self, seconds: float, text: str) -> Iterator[tuple[float, str]]:
        """Take some output; yield the lines that are over."""
        text = self._sequence + text
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        self._sequence = unfinished.group() if unfinished else ""
        text = text[: len(text) - len(self._sequence)]
        plain = _REST.sub("", _ASIDE.sub(" ", _AWAY.sub("\n", text)))
        *lines, last = plain.split("\n")
        for line in lines:
            yield (seconds if line else self._seconds), _rubbed_out(self._line + line)
            self._line = ""
        if last:
            self._line += last
            self._seconds = seconds
        if len(self._line) > _LONGEST_LINE:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[float, str]]:
        """Yield the line that is not over."""
        yield self._seconds, _rubbed_out(self._line)
        self._line = ""


def _rubbed_out(line: str) -> str:
    if "\b" not in line:
        return line.strip()
    kept: list[str] = []
    for letter in line:
        if letter != "\b":
            kept.append(letter)
        elif kept:
            kept.pop()
    return "".join(kept).strip()


def _shown(line: str, wanted: str) -> str:
    """Return the part of a long line around what was found."""
    if len(line) <= _SHOWN_LINE:
        return line
    start = max(0, line.casefold().find(wanted) - _SHOWN_BEFORE)
    before, after = "…" if start else "", "…" if start + _SHOWN_LINE < len(line) else ""
    return before + line[start : start + _SHOWN_LINE] + after
