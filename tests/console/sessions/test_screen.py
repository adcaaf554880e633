import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.sessions.screen import Modes, Scrollback
from instances.engine.transport import Size

SIZE = Size(80, 24)
PIECES = st.lists(st.one_of(st.binary(max_size=40), st.tuples(st.integers(2, 200), st.integers(1, 50))), max_size=30)


def everything(kept, start):
    found, offset = b"", start
    while piece := kept.read(offset, 7):
        assert piece.offset == offset
        found += piece.data
        offset += len(piece.data)
    return found


@given(PIECES, st.integers(0, 200))
def test_what_is_kept_is_the_end_of_what_came_in_the_sizes_it_came_in(pieces, limit):
    kept, all_of_it, size_at = Scrollback(SIZE, limit_bytes=limit), b"", {}
    size = SIZE
    for piece in pieces:
        if isinstance(piece, tuple):
            size = kept.size = Size(*piece)
        elif piece:
            size_at |= dict.fromkeys(range(len(all_of_it), len(all_of_it) + len(piece)), size)
            all_of_it += piece
            kept.append(piece)
    assert kept.end == len(all_of_it)
    assert everything(kept, kept.start) == all_of_it[kept.start :]
    assert kept.end - kept.start >= min(limit, len(all_of_it))
    for offset in range(kept.start, kept.end):
        piece = kept.read(offset, 1)
        assert (piece.data, piece.size) == (all_of_it[offset : offset + 1], size_at[offset])


def test_what_is_no_longer_kept_is_not_made_up():
    kept = Scrollback(SIZE, limit_bytes=10)
    for _ in range(10):
        kept.append(b"x" * 4097)
    with pytest.raises(LookupError):
        kept.read(0, 10)
    assert kept.read(kept.end, 10) is None


def test_nothing_comes_before_the_first_byte():
    kept = Scrollback(SIZE)
    kept.append(b"\x1b[?2004h$ ")
    assert kept.prefix() == b""


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"\x1b[?2004h", b"\x1b[?2004h"),
        (b"\x1b[?2004h\x1b[?2004l", b"\x1b[?2004l"),
        (b"\x1b[?1049;25h", b"\x1b[?1049h"),
        (b"\x1b[31m\x1b[1m", b"\x1b[31m\x1b[1m"),
        (b"\x1b[31m\x1b[0m", b""),
        (b"\x1b[2;20r", b"\x1b[2;20r"),
        (b"\x1b(0", b"\x1b(0"),
        (b"\x1b=", b"\x1b="),
        (b"\x1b[4h", b"\x1b[4h"),
        (b"\x1b[?1h\x1bc", b""),
        (b"\x1b[?1h\x1b[!p", b""),
        (b"\x1b[3 q", b"\x1b[3 q"),
    ],
)
def test_modes_are_set_again(printed, expected):
    for cut in range(len(printed) + 1):
        modes = Modes()
        modes.feed(printed[:cut])
        modes.feed(printed[cut:])
        prefix = modes.prefix()
        assert expected in prefix
        if not expected:
            assert prefix == b"\x1b[999;1H"


def test_modes_that_an_instance_makes_up_fill_no_memory():
    modes = Modes()
    for number in range(5000):
        modes.feed(b"\x1b[?%dh\x1b[%dh\x1b[38;%s%dm\x1b[%s1;2r" % (number, number, b"5;" * 200, number, b"1;" * 200))
    modes.feed(b"\x1b[?2004h\x1b[31m")
    # One frame of the relay, which is also what a page attaches with.
    assert len(modes.prefix()) < 8 * 1024
    assert modes.prefix().endswith(b"\x1b[999;1H\x1b[31m")
    assert b"\x1b[?2004h" in modes.prefix()


def test_a_sequence_that_goes_on_in_what_is_kept_begins_in_the_prefix():
    modes = Modes()
    modes.feed(b"some text\x1b[38;5")
    assert modes.prefix().endswith(b"\x1b[38;5")


@given(st.binary(max_size=300))
def test_a_prefix_holds_nothing_but_sequences(printed):
    modes = Modes()
    modes.feed(printed)
    rest = re.sub(
        rb"\x1b\[[0-9;:<=>?]*[ !\"$'*]?[@-~]|\x1b[()*+][0-9A-Za-z<=>%&]|\x1b[=>]|[\x0e\x0f]", b"", modes.prefix()
    )
    assert rest in (b"", modes._tail)


@pytest.mark.parametrize(
    ("printed", "undone"),
    [
        (b"\x1b[?1049h\x1b[?2004h", b"\x1b[?1049l\x1b[?2004l"),
        (b"\x1b[?25l\x1b[?7l", b"\x1b[?25h\x1b[?7h"),
        (b"\x1b[?1049h\x1b[?1049l\x1b[?25l\x1b[?25h", b""),
        (b"\x1b[4h\x1b[31m", b"\x1b[4l\x1b[0m"),
        (b"\x1b=\x1b(0\x0e\x1b[2;9r\x1b[3 q\x1b[>4;2m", b"\x1b>\x1b[>4m\x1b(B\x0f\x1b7\x1b[r\x1b8\x1b[0 q"),
        (b"\x1b[?3h\x1b[?1034h", b""),
    ],
    ids=["screen", "cursor", "undone already", "colours", "others", "left alone"],
)
def test_modes_are_undone(printed, undone):
    modes = Modes()
    modes.feed(printed)
    assert modes.undo() == undone
    modes.feed(modes.undo())
    assert not modes.is_full_screen
