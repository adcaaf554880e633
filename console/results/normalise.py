"""Owns what is passed over when outputs are compared: times, the instance's own name, colours, numbers.

Pure. Every rule is one pass whose time grows with the length of the text alone (RE2, or a pattern that cannot go back):
output is nobody's to trust.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

import re2

# What stands for a thing passed over: bytes that are in no UTF-8 text and that no rule looks for.
TIME, OWN_NAME, NUMBER = b"\xf8\xff", b"\xf9\xff", b"\xfa\xff"

_BYTES = re2.Options()
_BYTES.encoding = re2.Options.Encoding.LATIN1
_BYTES.log_errors = False
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?"
_ZONE = r"(?: ?(?:UTC|GMT|Z|[+-]\d\d:?\d\d))?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
# docs/how-to/find-out.md lists the same.
_TIMES = "|".join(
    (
        # 2026-11-21, 2026/11/21 17:09, 2026-11-21T17:09:04.123+01:00
        rf"\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]{_CLOCK}{_ZONE})?",
        # Sat Nov 21 17:09:04 UTC 2026, Sat, 21 Nov 2026 17:09:04 +0000
        rf"{_DAY},? {{1,2}}(?:{_MONTH} {{1,2}}\d{{1,2}}|\d{{1,2}} {_MONTH} \d{{4}}) {{1,2}}{_CLOCK}"
        r"(?: [AP]M)?(?: [A-Z]{2,5}| [+-]\d{4})?(?: \d{4})?",
        # Nov 21 17:09:04
        rf"{_MONTH} {{1,2}}\d{{1,2}} {_CLOCK}",
        # 21/Nov/2026:17:09:04 +0000
        rf"\d\d/{_MONTH}/\d{{4}}:{_CLOCK}(?: [+-]\d{{4}})?",
        # 17:09:04, 17:09:04.123
        r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?",
        # Seconds and milliseconds since 1970, from 2001 to 2033
        r"1\d{9}(?:\d{3})?(?:\.\d{1,9})?",
    )
)
_TIME = re2.compile(rf"\b(?:{_TIMES})\b".encode(), _BYTES)
# Numbers are many; the standard library is quicker where a match is the rule, and this pattern cannot go back.
_NUMBER = re.compile(rb"\b\d++\b")
# The same sequences as js/ansi.js, which sees one line at a time.
_ESCAPES = re2.compile(
    rb"\x1b\[[0-9;:<=>?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-~]"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
    _BYTES,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is passed over. Each is a toggle of the groups view, and the name of its field in the address."""

    times: bool = False
    own_name: bool = False
    looks: bool = False
    numbers: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether outputs are compared as they are."""
        return not any(getattr(self, field.name) for field in fields(self))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules that are on."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


NO_RULES = Rules()


def own_words(name: str, address: str) -> tuple[bytes, ...]:
    """Return what an instance may call itself in its output: its name, that without the domain, its address.

    The longest comes first. ``address`` is "host:port" as an invocation keeps it.
    """
    host = address.rpartition(":")[0].strip("[]")
    words = {word for whole in (name, host) for word in (whole, "" if _is_address(whole) else whole.partition(".")[0])}
    return tuple(sorted((word.encode() for word in words if len(word) > 1), key=lambda word: (-len(word), word)))


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def normalise(data: bytes, rules: Rules, own: Iterable[bytes] = ()) -> bytes:
    """Return output with what the rules name passed over. The number of lines stays, and a second time changes nothing.

    ``own``: what the instance calls itself (``own_words``), for the rule ``own_name``.
    """
    if rules.looks:
        data = without_escapes(data)
        data = b"\n".join(line.rstrip(b" \t\r") for line in data.split(b"\n"))
    if rules.times:
        data = _replaced(_TIME, TIME, data)
    if rules.own_name:
        data = _without(data, [word for word in own if word in data])
    if rules.numbers:
        data = _NUMBER.sub(NUMBER, data)
    return data


def without_escapes(data: bytes) -> bytes:
    """Return output without colours, other escape sequences and control characters; its lines stay."""
    return _replaced(_ESCAPES, b"", data)


def _without(data: bytes, words: list[bytes]) -> bytes:
    if not words:
        return data
    return _replaced(_own_pattern(words), OWN_NAME, data)


def _replaced(pattern: "re2._Regexp[bytes]", by: bytes, data: bytes) -> bytes:
    """Return what ``pattern.sub`` would: that reads ``by`` anew for every match."""
    parts, end = [], 0
    for match in pattern.finditer(data):
        parts.append(data[end : match.start()])
        end = match.end()
    return by.join([*parts, data[end:]]) if parts else data


def _own_pattern(words: list[bytes]) -> "re2._Regexp[bytes]":
    # A word beside another letter is part of another name; "web-1" is not meant by "web-12".
    return re2.compile(rb"\b(?:" + b"|".join(map(re2.escape, words)) + rb")\b", _BYTES)
