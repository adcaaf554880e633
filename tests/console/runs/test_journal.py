import hashlib

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.runs.journal import ROW_BYTES, TAIL_BYTES, WAITING_LIMIT_BYTES, Journal, last_line
from console.runs.models import OutputKind
from console.runs.status import Status

OUT, ERR, GAP = OutputKind.STDOUT, OutputKind.STDERR, OutputKind.GAP


class Brake:
    def __init__(self):
        self.is_paused = False

    def pause(self):
        self.is_paused = True

    def resume(self):
        self.is_paused = False


def journal(cap_bytes=64 * 1024 * 1024):
    made = Journal(invocation_id=1, run_id=1, fence=1, cap_bytes=cap_bytes, changed=lambda _journal, _more: None)
    made.attach(Brake())
    return made


def drain(source):
    entry = source.take()
    source.fill(entry)
    source.committed(entry, accepted=True)
    return entry


def end(source):
    source.set(Status.RUNNING)
    source.finish(Status.SUCCEEDED, at=timezone.now())


pieces = st.lists(st.tuples(st.sampled_from([OUT, ERR]), st.binary(max_size=200)), max_size=30)


@given(pieces, st.integers(min_value=1, max_value=7))
def test_rows_are_contiguous_and_hold_every_byte_in_order(written, commit_every):
    source = journal()
    rows = []
    for number, (kind, data) in enumerate(written):
        source.write(kind, data)
        if number % commit_every == 0:
            rows += drain(source).rows()
    end(source)
    last = drain(source)
    rows += last.rows()
    offsets = [row.offset for row in rows]
    assert offsets == [sum(row.length for row in rows[:i]) for i in range(len(rows))]
    for kind in (OUT, ERR):
        sent = b"".join(data for k, data in written if k is kind)
        assert b"".join(row.data for row in rows if row.kind is kind) == sent
        assert last.columns[f"{kind.name.lower()}_sha256"] == hashlib.sha256(sent).hexdigest()
    assert last.columns["sha256"] == hashlib.sha256(b"".join(data for _, data in written)).hexdigest()


@given(st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=40))
def test_beyond_the_cap_the_tail_is_kept_and_the_rest_counted(written):
    cap = TAIL_BYTES + 50_000
    source = journal(cap_bytes=cap)
    for data in written:
        source.write(OUT, data)
    end(source)
    entry = drain(source)
    sent = b"".join(written)
    kept = b"".join(row.data for row in entry.rows() if row.kind is not GAP)
    dropped = sum(row.length for row in entry.rows() if row.kind is GAP)
    assert len(kept) + dropped == len(sent)
    assert sent.startswith(kept[: min(50_000, len(kept))])
    assert sent.endswith(kept[50_000:])
    if len(sent) <= cap:
        assert dropped == 0
    else:
        assert entry.columns["dropped_bytes"] == dropped > 0
        assert entry.columns["size"] == len(sent)


def test_a_row_never_holds_more_than_its_limit():
    source = journal()
    source.write(OUT, b"x" * (3 * ROW_BYTES + 1))
    assert [len(row.data) for row in drain(source).rows()] == [ROW_BYTES] * 3 + [1]


def test_small_pieces_of_one_stream_share_a_row():
    source = journal()
    for _ in range(1000):
        source.write(OUT, b"x")
    source.write(ERR, b"y")
    assert [(row.kind, len(row.data)) for row in drain(source).rows()] == [(OUT, 1000), (ERR, 1)]


def test_reading_pauses_while_too_much_waits_for_a_commit():
    source = journal()
    brake = Brake()
    source.attach(brake)
    source.write(OUT, b"x" * (WAITING_LIMIT_BYTES + 1))
    assert brake.is_paused
    drain(source)
    source.resume()
    assert not brake.is_paused


def test_the_first_byte_that_is_not_kept_is_told_once():
    source = journal(cap_bytes=4 * TAIL_BYTES)
    told = []
    source.when_capped = lambda: told.append(source._dropped)
    for _ in range(4):
        source.write(OUT, b"x" * TAIL_BYTES)
    assert told == []
    for _ in range(4):
        source.write(OUT, b"x" * TAIL_BYTES)
    assert told == [0]


def test_a_large_output_is_taken_in_parts_and_its_end_with_the_last():
    source = journal()
    source.set(Status.RUNNING)
    for _ in range(3):
        source.write(OUT, b"x" * ROW_BYTES)
    source.finish(Status.SUCCEEDED, at=timezone.now())
    entries = [source.take(ROW_BYTES) for _ in range(3)]
    for entry in entries:
        source.fill(entry)
    assert [entry.is_all for entry in entries] == [False, False, True]
    assert [entry.via for entry in entries] == ["", "", "running"]
    assert [entry.columns["size"] // ROW_BYTES for entry in entries] == [1, 2, 3]
    assert [row.offset // ROW_BYTES for entry in entries for row in entry.rows()] == [0, 1, 2]
    assert entries[2].columns["sha256"] == hashlib.sha256(b"x" * 3 * ROW_BYTES).hexdigest()
    assert not source.has_something


@pytest.mark.parametrize("kinds", [[], [OUT], [ERR], [OUT, ERR], [ERR, OUT, ERR]])
def test_each_stream_and_both_have_their_digest(kinds):
    source = journal()
    for kind in kinds:
        source.write(kind, b"one")
        source.write(kind, b"two")
    end(source)
    columns = drain(source).columns
    both = b"onetwo" * len(kinds)
    for name, data in (
        ("", both),
        ("stdout_", b"onetwo" * kinds.count(OUT)),
        ("stderr_", b"onetwo" * kinds.count(ERR)),
    ):
        assert columns[f"{name}sha256"] == hashlib.sha256(data).hexdigest()


def test_a_commit_repeated_after_a_locked_database_gives_the_same_rows():
    source = journal()
    source.write(OUT, b"once")
    entry = source.take()
    source.fill(entry)
    first, columns = list(entry.rows()), dict(entry.columns)
    source.fill(entry)
    assert (list(entry.rows()), entry.columns) == (first, columns)


def test_two_changes_between_commits_ask_for_the_first_transition():
    source = journal()
    source.set(Status.RUNNING, remote_pid=7)
    source.finish(Status.SUCCEEDED, at=timezone.now(), exit_status=0)
    entry = drain(source)
    assert entry.via == Status.RUNNING
    assert (entry.columns["status"], entry.columns["remote_pid"]) == ("succeeded", 7)


def test_an_impossible_transition_is_a_mistake_of_ours():
    source = journal()
    end(source)
    with pytest.raises(ValueError, match="succeeded cannot become running"):
        source.set(Status.RUNNING)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", ""),
        (b"one\ntwo\n", "two"),
        (b"one\n   \n\n", "one"),
        (b"10 %\r20 %\r", "20 %"),
        (b"\x1b[32mgreen\x1b[0m\n", "green"),
        (b"caf\xc3", "caf\N{REPLACEMENT CHARACTER}"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}abc".encode(), "abc"),
    ],
)
def test_the_last_line_is_what_a_person_would_read(tail, expected):
    assert last_line(tail) == expected
