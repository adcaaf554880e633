import itertools

import pytest

from console.sessions.escapes import Escape, Escapes, escape_character

PASTE = b"\x1b[200~one\r~.two\r~t\x1b[201~"
# What is typed, and what comes of it, whatever pieces it comes in.
CASES = [
    (b"ls\r", [b"ls\r"]),
    (b"~.", [Escape.DETACH]),
    (b"ls\r~.", [b"ls\r", Escape.DETACH]),
    (b"ls\n~?", [b"ls\n", Escape.HELP]),
    (b"\r~t~.", [b"\r", Escape.TAKE_OVER, Escape.DETACH]),
    (b"\r~\x1a", [b"\r", Escape.SUSPEND]),
    (b"\r~~.", [b"\r~."]),
    (b"\r~~~.", [b"\r~~."]),
    (b"\r~/bin\r", [b"\r~/bin\r"]),
    (b"\r~\r~.", [b"\r~\r", Escape.DETACH]),
    (b"cd ~.\r", [b"cd ~.\r"]),
    (b"x~.", [b"x~."]),
    (PASTE + b"~.", [PASTE + b"~."]),
    (PASTE + b"\r~.", [PASTE + b"\r", Escape.DETACH]),
    (b"\x1b[1;1R\r~.", [b"\x1b[1;1R\r", Escape.DETACH]),
]


def joined(events):
    """With neighbouring pieces put together: where they were cut does not count."""
    typed = b""
    for event in [*events, None]:
        if isinstance(event, bytes):
            typed += event
            continue
        yield from [typed] if typed else []
        yield from [event] if event else []
        typed = b""


@pytest.mark.parametrize(("typed", "expected"), CASES, ids=[repr(typed)[2:-1] for typed, _ in CASES])
def test_escapes_are_found_however_they_are_cut(typed, expected):
    for first, second in itertools.combinations_with_replacement(range(len(typed) + 1), 2):
        escapes = Escapes(b"~")
        pieces = (typed[:first], typed[first:second], typed[second:])
        assert list(joined(event for piece in pieces for event in escapes.feed(piece))) == expected
    escapes = Escapes(b"~")
    assert list(joined(event for byte in typed for event in escapes.feed(bytes([byte])))) == expected


def test_another_character_or_none():
    assert Escapes(b"\x1d").feed(b"\r~.\r\x1d.") == [b"\r~.\r", Escape.DETACH]
    assert Escapes(None).feed(b"\r~.") == [b"\r~."]


def test_what_the_option_takes():
    assert [escape_character(text) for text in ("~", "^]", "^a", "none", "#")] == [b"~", b"\x1d", b"\x01", None, b"#"]
    for text in ("", "ab", "é", "^é", "\x01"):
        with pytest.raises(ValueError, match="takes one character"):
            escape_character(text)
