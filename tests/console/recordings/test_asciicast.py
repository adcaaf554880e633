import json
from datetime import UTC, datetime

import pytest

from console.recordings import asciicast
from console.recordings.asciicast import Room, Tape, events
from instances.engine.transport import Size

BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tape(clock):
    return Tape(Size(80, 24), title="web-1", started_at=BEGAN, clock=clock)


def taken(tape):
    """What was on a tape: the header, and its events as (seconds, kind, text)."""
    header, *lines = [json.loads(line) for line in file_of(tape).splitlines()]
    return header, [tuple(line) for line in lines]


def file_of(tape):
    return b"".join(lines.data for lines in iter(lambda: tape.take(1000), None))


def test_it_begins_with_a_header_even_if_nothing_is_shown(tape):
    header, lines = taken(tape)
    assert header == {
        "version": 2,
        "width": 80,
        "height": 24,
        "timestamp": int(BEGAN.timestamp()),
        "title": "web-1",
        "env": {"TERM": "xterm-256color"},
    }
    assert lines == []
    assert tape.is_empty


def test_output_and_sizes_are_events_in_order(tape, clock):
    clock.now += 1.5
    tape.write(b"\x1b[31mred\r\n")
    clock.now += 0.25
    tape.resize(Size(101, 31))
    tape.write(b"wider")
    assert taken(tape)[1] == [(1.5, "o", "\x1b[31mred\r\n"), (1.75, "r", "101x31"), (1.75, "o", "wider")]


def test_what_comes_at_the_same_moment_is_one_event(tape, clock):
    for letter in b"abc":
        tape.write(bytes([letter]))
        clock.now += 0.002
    clock.now += 0.05
    tape.write(b"d")
    assert [text for _, _, text in taken(tape)[1]] == ["abc", "d"]


@pytest.mark.parametrize("cut", range(1, 7))
def test_letters_survive_being_cut(tape, clock, cut):
    shown = "é…😀".encode()
    tape.write(shown[:cut])
    clock.now += 1
    tape.write(shown[cut:])
    assert "".join(text for _, _, text in taken(tape)[1]) == "é…😀"


def test_letters_survive_being_taken_off_in_between(tape, clock):
    shown = "é…😀".encode()
    whole = b""
    for byte in shown:
        tape.write(bytes([byte]))
        clock.now += 1
        whole += file_of(tape)
    assert "".join(event.text for event in events([whole])) == "é…😀"


def test_what_is_no_text_is_replaced(tape):
    tape.write(b"a\xffb\xc3")
    tape.end()
    assert "".join(text for _, _, text in taken(tape)[1]) == "a\ufffdb\ufffd"


def test_every_byte_there_is_makes_a_file_that_can_be_read(tape):
    tape.write(bytes(range(256)) * 4)
    (event,) = taken(tape)[1]
    assert event[2].startswith("\x00\x01")


def test_what_finds_no_room_is_counted_and_said(tape, clock, monkeypatch):
    monkeypatch.setattr(asciicast, "WAITING_BYTES", 1000)
    tape.write(b"a" * 900)
    tape.write(b"b" * 900)
    clock.now += 1
    tape.write(b"c" * 100)
    tape.resize(Size(100, 30))
    _, lines = taken(tape)
    assert [(kind, text[:1]) for _, kind, text in lines] == [("o", "a")]
    clock.now += 1
    tape.write(b"d")
    lines = [json.loads(line) for line in file_of(tape).splitlines()]
    assert lines == [
        [2.0, "o", "\x18\r\n[… 1,000 bytes not recorded]\r\n"],
        [2.0, "r", "100x30"],
        [2.0, "o", "d"],
    ]


def test_what_was_lost_last_is_said_at_the_end(tape, monkeypatch):
    monkeypatch.setattr(asciicast, "WAITING_BYTES", 100)
    tape.write(b"a" * 900)
    tape.end()
    lines = tape.take(1000)
    assert b"900 bytes not recorded" in lines.data
    assert lines.lost == 900


def test_all_that_wait_share_their_room(clock):
    room = Room(limit_bytes=1000)
    first, second = (Tape(Size(80, 24), title="", started_at=BEGAN, room=room, clock=clock) for _ in range(2))
    first.write(b"a" * 800)
    second.write(b"b" * 800)
    assert "b" not in str(taken(second))
    assert "a" * 800 in str(taken(first))
    assert room.used_bytes == 0
    second.write(b"c")
    assert "800 bytes not recorded" in str([json.loads(line) for line in file_of(second).splitlines()])


def test_a_full_recording_says_so_once_and_takes_no_more(tape, clock):
    tape.limit_bytes = 2000
    for _ in range(100):
        tape.write(b"x" * 100)
        clock.now += 1
    tape.end()
    _, lines = taken(tape)
    texts = [text for _, _, text in lines]
    kept = sum(len(text) for text in texts if text.startswith("x"))
    assert kept <= 2000
    assert [text for text in texts if not text.startswith("x")] == [
        "\x18\r\n[… the recording is full; what follows is not recorded]\r\n",
        f"\x18\r\n[… {10_000 - kept:,} bytes not recorded]\r\n",
    ]


def test_what_is_thrown_away_gives_its_room_back(tape):
    tape.write(b"x" * 100)
    tape.throw_away()
    tape.write(b"y")
    assert tape.is_empty
    assert tape._room.used_bytes == 0


def test_a_file_is_read_however_it_is_cut(tape, clock):
    for text in ("a\n", "é", "\x1b[0m"):
        tape.write(text.encode())
        clock.now += 1
    whole = file_of(tape)
    for size in (1, 2, 7, 1000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [event.text for event in events(pieces)] == ["a\n", "é", "\x1b[0m"]
