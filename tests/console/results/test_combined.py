from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from console.results import combined
from console.results.combined import Cursor, page, whole
from console.runs.models import Invocation, Output, OutputKind
from console.runs.status import Status
from tests.support import runs

pytestmark = pytest.mark.django_db
OUT, ERR, GAP = OutputKind.STDOUT, OutputKind.STDERR, OutputKind.GAP


def arrive(run, *pieces):
    """Replace a run's output by (ordinal, kind, bytes), one a second in this order."""
    Output.objects.all().delete()
    by_ordinal = {invocation.ordinal: invocation for invocation in run.invocations.all()}
    sizes = dict.fromkeys(by_ordinal, 0)
    began = timezone.now() - timedelta(hours=1)
    rows = []
    for second, (ordinal, kind, data) in enumerate(pieces):
        length = int(data) if kind == GAP else len(data)
        at = began + timedelta(seconds=second)
        place = {"offset": sizes[ordinal], "stream_offset": sizes[ordinal]}
        rows.append(Output(invocation=by_ordinal[ordinal], kind=kind, data=data, at=at, **place))
        sizes[ordinal] += length
    Output.objects.bulk_create(rows)
    for ordinal, size in sizes.items():
        run.invocations.filter(ordinal=ordinal).update(size=size)
    return run


def texts(lines):
    return [(line.ordinal, line.text) for line in lines]


@pytest.fixture
def run():
    return runs.ended_with([b"x"] * 3)


def test_lines_come_in_the_order_in_which_they_arrived(run):
    arrive(run, (1, OUT, b"b1\n"), (0, OUT, b"a1\na2\n"), (1, ERR, b"b2\n"))
    shown = page(run.invocations.all())
    assert texts(shown.lines) == [(1, "b1"), (0, "a1"), (0, "a2"), (1, "b2")]
    assert [line.kind for line in shown.lines] == [OUT, OUT, OUT, ERR]
    assert not shown.has_earlier
    assert not shown.has_later


def test_a_line_is_whole_and_stands_where_its_end_arrived(run):
    arrive(run, (0, OUT, b"on"), (1, OUT, b"two\n"), (0, ERR, b"oh\n"), (0, OUT, b"e\n"))
    assert texts(page(run.invocations.all()).lines) == [(1, "two"), (0, "oh"), (0, "one")]


def test_what_has_no_line_end_is_shown_when_none_can_come(run):
    arrive(run, (0, OUT, b"a"), (0, ERR, b"b"), (1, OUT, b"c"))
    run.invocations.filter(ordinal=1).update(status=Status.RUNNING, finished_at=None)
    assert texts(page(run.invocations.all()).lines) == [(0, "a"), (0, "b")]


def test_what_has_no_line_end_comes_once_to_who_watches_when_it_has_ended(run):
    arrive(run, (0, OUT, b"a"), (0, ERR, b"b\n"), (1, OUT, b"c\n"), (2, OUT, b"d\n"))
    run.invocations.update(status=Status.RUNNING, finished_at=None, revision=5)
    shown = page(run.invocations.all())
    assert (texts(shown.lines), shown.revision) == ([(0, "b"), (1, "c"), (2, "d")], 5)
    run.invocations.filter(ordinal__lt=2).update(status=Status.FAILED, finished_at=timezone.now(), revision=6)
    later = page(run.invocations.all(), after=shown.last, ended_since=shown.revision)
    assert (texts(later.lines), later.revision, later.has_later) == ([(0, "a")], 6, False)
    again = page(run.invocations.all(), after=later.last, ended_since=later.revision)
    assert texts(again.lines) == []


def test_what_ended_with_more_output_is_not_said_twice(run):
    arrive(run, (0, OUT, b"a"), (1, OUT, b"c\n"))
    run.invocations.update(status=Status.RUNNING, finished_at=None, revision=5)
    shown = page(run.invocations.all())
    invocation = run.invocations.get(ordinal=0)
    Output.objects.create(invocation=invocation, offset=1, stream_offset=1, kind=OUT, data=b"b", at=timezone.now())
    run.invocations.filter(ordinal=0).update(size=2, status=Status.FAILED, finished_at=timezone.now(), revision=6)
    later = page(run.invocations.all(), after=shown.last, ended_since=shown.revision)
    assert texts(later.lines) == [(0, "ab")]
    assert texts(page(run.invocations.all(), after=later.last, ended_since=later.revision).lines) == []


def test_last_lines_come_whose_end_was_noted_before_lines_of_others_were_stored(run):
    """An end is noted when it is seen; its rows get the time at which they are stored."""
    arrive(run, (0, OUT, b"a\n"), (1, OUT, b"c\n"), (0, OUT, b"b\n"))
    first, between, _ = Output.objects.order_by("at").values_list("at", flat=True)
    run.invocations.filter(ordinal=0).update(finished_at=first + (between - first) / 2)
    shown = Cursor(between, run.invocations.get(ordinal=1).pk, 0)
    assert texts(page(run.invocations.all(), after=shown, ended_since=0).lines) == [(0, "b")]


def test_an_instance_that_leaves_the_filter_between_two_looks_breaks_nothing(run, monkeypatch):
    arrive(run, (0, OUT, b"a\n"), (1, OUT, b"b\n"))
    known = combined._by_pk

    def late(invocations):
        run.invocations.filter(ordinal=0).update(status=Status.LOST)
        return known(invocations)

    monkeypatch.setattr(combined, "_by_pk", late)
    assert texts(page(run.invocations.filter(status=Status.SUCCEEDED)).lines) == [(1, "b")]


def test_an_instance_that_comes_into_the_filter_between_two_looks_breaks_nothing(run, monkeypatch):
    arrive(run, (0, OUT, b"a\n"), (1, OUT, b"b\n"))
    run.invocations.filter(ordinal=0).update(status=Status.RUNNING)
    known = combined._by_pk

    def early(invocations):
        found = known(invocations)
        run.invocations.filter(ordinal=0).update(status=Status.SUCCEEDED)
        return found

    monkeypatch.setattr(combined, "_by_pk", early)
    assert texts(whole(run.invocations.filter(status=Status.SUCCEEDED))) == [(1, "b")]


def test_what_was_not_kept_is_a_line(run):
    arrive(run, (0, OUT, b"a\n"), (0, GAP, b"1500"), (0, OUT, b"b\n"))
    assert texts(page(run.invocations.all()).lines) == [(0, "a"), (0, "1,500 bytes were not kept"), (0, "b")]


@settings(max_examples=30)
@given(st.data())
def test_pages_forward_and_backward_are_the_whole(data):
    """Whatever arrives and wherever rows are cut, no line is torn, doubled or lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combined, "PAGE_ROWS", data.draw(st.integers(1, 4)))
        piece = st.tuples(
            st.integers(0, 2), st.sampled_from([OUT, ERR]), st.sampled_from([b"a", b"b\n", b"\n", b"c\nd"])
        )
        run = runs.ended_with([b"x"] * 3, instances=None) if not Invocation.objects.exists() else None
        invocations = (run or Invocation.objects.latest("pk").run).invocations.all()
        arrive(invocations[0].run, *data.draw(st.lists(piece, min_size=1, max_size=12)))
        everything = texts(whole(invocations))
        forward, after = [], Cursor.parse("0-0-0")
        while (part := page(invocations, after=after)).lines or part.has_later:
            forward += texts(part.lines)
            after = part.last
        backward = (part := page(invocations)).lines
        while part.has_earlier:
            part = page(invocations, before=part.first)
            backward = [*part.lines, *backward]
    assert forward == everything
    assert texts(backward) == everything


def test_a_page_holds_so_many_bytes_and_at_least_one_row(run, monkeypatch):
    monkeypatch.setattr(combined, "PAGE_BYTES", 3)
    arrive(run, (0, OUT, b"long line\n"), (1, OUT, b"a\n"), (2, OUT, b"b\n"))
    last = page(run.invocations.all())
    assert (texts(last.lines), last.has_earlier) == ([(2, "b")], True)


def test_a_page_takes_a_few_queries_whatever_the_number_of_instances(run, django_assert_max_num_queries):
    arrive(run, *((ordinal, OUT, b"a\n") for ordinal in range(3)))
    with django_assert_max_num_queries(3):
        assert len(page(run.invocations.all()).lines) == 3


def test_a_code_page_is_read(run):
    arrive(run, (0, OUT, "größe\n".encode("cp850")))
    run.invocations.update(code_page="850")
    assert texts(page(run.invocations.all()).lines) == [(0, "größe")]


def test_removed_output_is_not_there(run):
    arrive(run, (0, OUT, b"a\n"), (1, OUT, b"b\n"))
    run.invocations.filter(ordinal=0).update(output_removed_at=timezone.now())
    assert texts(page(run.invocations.all()).lines) == [(1, "b")]


@pytest.mark.parametrize("text", ["", "1", "1-2", "a-b-c", "1-2-3-4", "9" * 30 + "-1-1", "-1--1--1"])
def test_a_wrong_cursor_is_none(text):
    assert Cursor.parse(text) is None


def test_a_cursor_is_its_text(run):
    cursor = page(run.invocations.all()).last
    assert Cursor.parse(str(cursor)) == cursor
