import random

import pytest

from console.sessions.typed import IN_FLIGHT_BYTES, WAITING_BYTES, Typed


def who_types(writer, generation, upto, typed_upto=0, written_upto=None):
    return {
        "writer": writer,
        "generation": generation,
        "input_upto": upto,
        "typed_upto": typed_upto,
        "written_upto": upto if written_upto is None else written_upto,
    }


def sent(typed):
    return [(record.offset, record.data) for record in typed.to_send()]


def test_what_is_typed_before_it_is_shown_is_sent_by_the_one_who_types():
    typed = Typed()
    typed.add(b"early")
    assert sent(typed) == []
    assert typed.note_who_types(who_types(True, 1, 100)) == 0
    assert sent(typed) == [(100, b"early")]


def test_it_is_thrown_away_and_counted_where_somebody_else_types():
    typed = Typed()
    typed.add(b"early")
    assert typed.note_who_types(who_types(False, 1, 100)) == 5
    assert typed.note_who_types(who_types(True, 2, 120)) == 0
    assert sent(typed) == []


def test_in_a_new_generation_nothing_old_is_sent():
    typed = Typed()
    typed.note_who_types(who_types(True, 1, 0))
    typed.add(b"rm -rf ")
    sent(typed)
    assert typed.note_who_types(who_types(False, 2, 3, 3)) == 4
    typed.note_who_types(who_types(True, 3, 50))
    typed.add(b"ls")
    assert sent(typed) == [(50, b"ls")]


def test_what_arrived_without_an_acknowledgement_is_not_called_lost():
    typed = Typed()
    typed.note_who_types(who_types(True, 1, 100))
    typed.add(b"uptime\r")
    sent(typed)
    # Somebody took over and typed 50 bytes while the line was broken.
    assert typed.note_who_types(who_types(False, 2, 157, 107)) == 0


def test_what_was_taken_and_not_handed_on_is_still_on_its_way():
    typed = Typed()
    typed.note_who_types(who_types(True, 1, 0))
    typed.add(b"x" * WAITING_BYTES)
    for _ in range(3):
        taken = max((offset + len(data) for offset, data in sent(typed)), default=IN_FLIGHT_BYTES)
        typed.note_who_types(who_types(True, 1, taken, written_upto=0))
    assert (taken, sent(typed)) == (IN_FLIGHT_BYTES, [])


def test_a_flood_waits_for_what_has_arrived():
    typed = Typed()
    typed.note_who_types(who_types(True, 1, 0))
    typed.add(b"x" * WAITING_BYTES)
    assert not typed.has_room
    assert sum(len(data) for _, data in sent(typed)) == IN_FLIGHT_BYTES
    assert sent(typed) == []
    typed.acknowledge(1000)
    assert typed.has_room
    assert sent(typed)[0][0] == IN_FLIGHT_BYTES
    typed.acknowledge(10**9)
    assert typed.unsent == WAITING_BYTES - IN_FLIGHT_BYTES - 16 * 1024


@pytest.mark.parametrize("seed", range(20))
def test_every_byte_arrives_once_over_lines_that_break(seed):
    """The other side takes some of what is sent, hands some of that on, and loses the line in between."""
    dice = random.Random(seed)
    text = bytes(dice.randrange(256) for _ in range(300_000))
    typed, taken, handed, given = Typed(), bytearray(), 0, 0
    typed.note_who_types(who_types(True, 1, 0))
    while len(taken) < len(text) or typed.unsent:
        part = text[given : given + dice.randrange(30_000)]
        if typed.has_room:
            typed.add(part)
            given += len(part)
        for offset, data in sent(typed):
            if dice.random() < 0.1:
                break
            assert offset <= len(taken)
            taken += data[len(taken) - offset :]
        else:
            handed = dice.randint(handed, len(taken))
            typed.acknowledge(handed)
            if dice.random() > 0.1:
                continue
        typed.note_who_types(who_types(True, 1, len(taken)))
    assert bytes(taken) == text
