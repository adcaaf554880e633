"""Owns what is passed over when outputs are compared: times, the instance's own name, colours, numbers.

Pure. Every rule is one pass whose time grows with the length of the text alone: output is nobody's to trust. Escape
sequences have no greatest length and are left to RE2, which cannot go back; the other patterns can go back over a few
characters only. Those are the standard library's, which replaces several times as quickly where a match is the rule.
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
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _rest(words: Iterable[str]) -> str:
    """Return a pattern for these words from their second letter on."""
    # A letter to begin with is tried faster than what was before it.
    return "(?:" + "|".join(f"{word[1:]}(?<={word})" for word in words) + ")"


_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?"
_ZONE = r"(?: ?(?:UTC|GMT|Z|[+-]\d\d:?\d\d))?"
_MONTH = f"(?:{'|'.join(_MONTHS)})"
# Each from its second character on. docs/how-to/find-out.md lists the same.
_WITH_DIGIT = "|".join(
    (
        # 2026-11-21, 2026/11/21 17:09, 2026-11-21T17:09:04.123+01:00
        rf"\d{{3}}[-/]\d\d[-/]\d\d(?:[T ]{_CLOCK}{_ZONE})?",
        # 21/Nov/2026:17:09:04 +0000
        rf"\d/{_MONTH}/\d{{4}}:{_CLOCK}(?: [+-]\d{{4}})?",
        # 17:09:04, 17:09:04.123
        r"\d?:\d\d:\d\d(?:[.,]\d{1,9})?",
        # Seconds and milliseconds since 1970, from 2001 to 2033
        r"\d{9}(?<=1\d{9})(?:\d{3})?(?:\.\d{1,9})?",
    )
)
_WITH_LETTER = "|".join(
    (
        # Sat Nov 21 17:09:04 UTC 2026, Sat, 21 Nov 2026 17:09:04 +0000
        rf"{_rest(_DAYS)},? {{1,2}}(?:{_MONTH} {{1,2}}\d{{1,2}}|\d{{1,2}} {_MONTH} \d{{4}}) {{1,2}}{_CLOCK}"
        r"(?: [AP]M)?(?: [A-Z]{2,5}| [+-]\d{4})?(?: \d{4})?",
        # Nov 21 17:09:04
        rf"{_rest(_MONTHS)} {{1,2}}\d{{1,2}} {_CLOCK}",
    )
)
# What a pattern begins with is looked for much faster than the rest is tried, if that is characters alone: the border
# before the first one, "(?<!\w.)", comes after it.
_FIRST = "".join({word[0] for word in _DAYS + _MONTHS})
_TIME = re.compile(rf"[\d{_FIRST}](?<!\w.)(?:(?<=\d)(?:{_WITH_DIGIT})|{_WITH_LETTER})\b".encode())
# What was passed over, with a letter, a digit or another of its kind before or after it.
_BESIDE_A_LETTER = re.compile(re.escape(OWN_NAME) + rb"(?:(?=[\w\xf9])|(?<=\w..))")
_NUMBER = re.compile(rb"\b\d++\b")
# The same sequences as js/ansi.js, which sees one line at a time.
_ESCAPES = re2.compile(
    rb"\x1b\[[0-9;:<=>?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-~]"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
    _BYTES,
)
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\n\r"})


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
    return without_own(without_shared(data, rules), rules, own)


def without_shared(data: bytes, rules: Rules) -> bytes:
    """Do the first half of ``normalise``: what comes to the same whichever instance said it."""
    if rules.looks:
        data = b"\n".join(line.rstrip(b" \t\r") for line in without_escapes(data).split(b"\n"))
    return _TIME.sub(TIME, data) if rules.times else data


def without_own(data: bytes, rules: Rules, own: Iterable[bytes]) -> bytes:
    """Do the second half of ``normalise``, where words of ``own`` that are not in the data change nothing."""
    if rules.own_name:
        for word in own:
            data = _without_word(data, word)
    return _NUMBER.sub(NUMBER, data) if rules.numbers else data


def without_escapes(data: bytes) -> bytes:
    """Return output without colours, other escape sequences and control characters; its lines stay."""
    # Most has none, which is seen much faster than none is found.
    if len(data.translate(None, _CONTROLS)) == len(data):
        return data
    # ``sub`` of RE2 reads its replacement anew for every match.
    parts, end = [], 0
    for match in _ESCAPES.finditer(data):
        parts.append(data[end : match.start()])
        end = match.end()
    return b"".join([*parts, data[end:]])


def _without_word(data: bytes, word: bytes) -> bytes:
    """Pass over a word, but not where it is part of another one: "web-1" is not meant by "web-12"."""
    replaced = data.replace(word, OWN_NAME)
    # Mostly it never is, and a pattern for each instance takes longer to make than to use.
    if not _BESIDE_A_LETTER.search(replaced):
        return replaced
    literal = re.escape(word)
    before = rb"(?<!\w" + literal + rb")" if re.match(rb"\w", word) else b""
    after = rb"(?!\w)" if re.match(rb"\w", word[-1:]) else b""
    return re.sub(literal + before + after, OWN_NAME, data)
