import zlib

import pytest

from console.recordings import reading, services
from console.recordings.models import RecordingPart
from console.recordings.reading import Transcript
from instances.engine.transport import Size
from tests.support import factories


def lines_of(*outputs):
    """The lines a transcript makes of outputs that come one a second, as (seconds, text); empty ones left out."""
    text, lines = Transcript(), []
    for seconds, output in enumerate(outputs):
        lines += text.feed(seconds, output)
    return [line for line in [*lines, *text.rest()] if line[1]]


@pytest.mark.parametrize(
    ("outputs", "lines"),
    [
        (["one\r\ntwo\r\n"], ["one", "two"]),
        (["\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain\x1b(B\r\n"], ["red and plain"]),
        (["a \x1b[3", "1mcut\x1b", "[0m sequence\x1b]0;ti", "tle\x1b", "\\!\r\n"], ["a cut sequence!"]),
        (["10%\r20%\r100%\r\n"], ["10%", "20%", "100%"]),
        (["pasw\b\bssword\x07\r\n"], ["password"]),
        (["\x1b[2J\x1b[Htop - 12:00\x1b[2;1HTasks:\x1b[10Crunning"], ["top - 12:00", "Tasks: running"]),
        (["name\tsize\r\n"], ["name size"]),
        (["\x1bP1$r0m\x1b\\status\r\n"], ["status"]),
        (["x" * 10_000], ["x" * 10_000]),
    ],
    ids=["lines", "colours", "cut", "progress", "rubbed-out", "full-screen", "tabs", "device-strings", "endless"],
)
def test_what_a_terminal_is_sent_becomes_lines(outputs, lines):
    assert [text for _, text in lines_of(*outputs)] == lines


def test_a_line_is_there_when_its_last_letter_came():
    assert lines_of("$ ", "ls", "", "\r\n", "file\r\n") == [(1, "$ ls"), (4, "file")]


@pytest.fixture
def owner(db):
    return factories.UserFactory()


@pytest.fixture
def instance(db):
    return factories.InstanceFactory(name="web-1")


def whole(recording):
    return b"".join(reading.pieces(recording))


def test_any_part_of_the_file_is_read(owner, instance):
    recording = factories.recording(instance, owner, *(f"{number} é\r\n".encode() * 2000 for number in range(20)))
    file = whole(recording)
    assert len(file) == recording.size > 3 * services.PART_BYTES
    assert file.count(b"\n") == recording.events + 1
    for start, stop in ((0, 1), (65_535, 65_537), (65_536, 131_072), (70_000, 200_001), (recording.size - 1, None)):
        assert b"".join(reading.pieces(recording, start, stop)) == file[start:stop]


def test_short_parts_become_full_ones(owner, instance):
    recording = factories.recording(instance, owner, is_live=True)
    for number in range(300):
        recording.refresh_from_db()
        data = f"{number:05d} ".encode() * 200
        services.append([services.Addition(recording.pk, recording.size, data, 1, number, 0)])
    recording.refresh_from_db()
    parts = list(recording.parts.order_by("offset"))
    full = recording.size // services.PART_BYTES
    assert [part.offset for part in parts[:full]] == [number * services.PART_BYTES for number in range(full)]
    assert {len(zlib.decompress(part.data)) for part in parts[:full]} == {services.PART_BYTES}
    assert len(parts) - full < 60
    assert whole(recording)[-6:] == b"00299 "
    assert len(whole(recording)) == recording.size


def test_what_is_removed_meanwhile_ends_it(owner, instance):
    recording = factories.recording(instance, owner, b"x" * 300_000)
    reader = reading.pieces(recording)
    assert len(next(reader)) == services.PART_BYTES
    RecordingPart.objects.all().delete()
    assert list(reader) == []


def test_a_search_gives_time_and_line(owner, instance):
    outputs = (b"$ ", b"ls /etc\r\n", b"\x1b[1mFSTAB\x1b[0m  hosts\r\n", Size(100, 30), b"$ ", b"exit\r\n")
    found = reading.search(factories.recording(instance, owner, *outputs), "fstab")
    assert [(hit.seconds, hit.text) for hit in found.hits] == [(3.0, "FSTAB  hosts")]
    assert found.searched_s is None
    assert reading.search(factories.recording(instance, owner, *outputs), "nowhere").hits == []


def test_a_line_that_is_drawn_again_and_again_is_found_once(owner, instance):
    recording = factories.recording(instance, owner, *([b"\x1b[Hload average\r\n"] * 50), b"other load\r\n")
    assert [hit.text for hit in reading.search(recording, "load").hits] == ["load average", "other load"]


def test_a_long_line_is_shown_around_what_was_found(owner, instance):
    recording = factories.recording(instance, owner, b"a" * 1000 + b"needle" + b"b" * 1000)
    (hit,) = reading.search(recording, "needle").hits
    assert hit.text.startswith("…aaa")
    assert "aneedleb" in hit.text
    assert len(hit.text) < 300


def test_a_search_ends_in_time_and_with_enough_hits(owner, instance):
    recording = factories.recording(instance, owner, b"".join(b"line %d\r\n" % number for number in range(1000)))
    found = reading.search(recording, "line")
    assert len(found.hits) == reading.HITS
    assert found.searched_s is not None
    assert reading.search(recording, "nowhere", within_s=0).searched_s is not None
