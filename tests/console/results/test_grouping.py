import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from console.results import grouping
from console.results.grouping import grouped
from console.results.normalise import NO_RULES, Rules
from console.runs.models import Invocation, Output, OutputKind
from console.runs.status import Status
from tests.support import runs

pytestmark = pytest.mark.django_db
OUT, ERR = OutputKind.STDOUT, OutputKind.STDERR


@pytest.fixture(autouse=True)
def nothing_remembered():
    grouping._remembered.clear()


def shape(run, rules=NO_RULES, **how):
    """Ordinals per group, in order."""
    return [
        [member.ordinal for member in group.members] for group in grouped(run.invocations.all(), rules, **how).groups
    ]


def test_identical_outputs_are_one_group_the_largest_first():
    run = runs.ended_with([b"b\n", b"a\n", b"a\n", b"c\n", b"a\n"])
    assert shape(run) == [[1, 2, 4], [0], [3]]


def test_an_exit_status_is_part_of_it_unless_told():
    run = runs.ended_with([b"a\n", (b"a\n", 3), b"a\n"])
    assert shape(run) == [[0, 2], [1]]
    assert shape(run, by_exit=False) == [[0, 1, 2]]


def test_no_output_is_a_group():
    run = runs.ended_with([b"", b"a\n", b""])
    groups = grouped(run.invocations.all()).groups
    assert [(group.is_empty, len(group.members)) for group in groups] == [(True, 2), (False, 1)]


def test_in_which_order_the_streams_arrived_does_not_matter():
    run = runs.ended_with([[(OUT, b"a\n"), (ERR, b"oh\n")], [(ERR, b"oh\n"), (OUT, b"a\n")], [(OUT, b"a\noh\n")]])
    assert shape(run) == [[0, 1], [2]]
    assert shape(run, Rules(times=True)) == [[0, 1], [2]]


def test_a_stream_is_not_taken_for_the_other_whatever_is_passed_over():
    run = runs.ended_with([[(OUT, b"a\n"), (ERR, b"b\n")], [(OUT, b"a\nb\n")]])
    assert shape(run, Rules(looks=True, times=True)) == [[0], [1]]


def test_what_became_of_others_is_a_group_each():
    run = runs.ended_with([b"a\n"] * 8)
    for ordinal, (status, reason) in enumerate(
        [
            (Status.UNREACHABLE, "refused"),
            (Status.UNREACHABLE, "dns"),
            (Status.UNREACHABLE, "refused"),
            (Status.TIMED_OUT, ""),
            (Status.RUNNING, ""),
            (Status.CONNECTING, ""),
            (Status.QUEUED, ""),
        ]
    ):
        run.invocations.filter(ordinal=ordinal).update(status=status, reason=reason)
    assert shape(run) == [[0, 2], [4, 5], [1], [3], [6], [7]]


def test_times_and_own_names_can_be_passed_over():
    run = runs.ended_with([b"web-01 at 10:00:01\n", b"web-02 at 10:00:02\n", b"web-01 at 10:00:01\n"])
    assert shape(run, Rules(times=True)) == [[0, 2], [1]]
    assert shape(run, Rules(times=True, own_name=True)) == [[0, 1], [2]]


def test_each_distinct_output_is_read_once_and_remembered():
    run = runs.ended_with([b"at 10:00:01\n", b"at 10:00:02\n", b"at 10:00:01\n"])
    with CaptureQueriesContext(
        connection,
    ) as first:
        assert shape(run, Rules(times=True)) == [[0, 1, 2]]
    with CaptureQueriesContext(connection) as second:
        assert shape(run, Rules(times=True)) == [[0, 1, 2]]
    assert (len(first), len(second)) == (2, 1)
    assert len(grouping._remembered) == 2


def test_without_rules_no_output_is_read(django_assert_num_queries):
    run = runs.ended_with([b"a\n"] * 3)
    with django_assert_num_queries(1):
        grouped(run.invocations.all())


def test_an_output_too_large_is_compared_as_it_is_and_counted(monkeypatch):
    monkeypatch.setattr(grouping, "NORMALISED_BYTES", 20)
    large = b"at 10:00:01\n" * 2
    run = runs.ended_with([b"at 10:00:01\n", b"at 10:00:02\n", large, large])
    answer = grouped(run.invocations.all(), Rules(times=True))
    assert [len(group.members) for group in answer.groups] == [2, 2]
    assert answer.unread == 2


def test_one_look_reads_so_much_and_the_next_the_rest(monkeypatch):
    monkeypatch.setattr(grouping, "LOOK_BYTES", 20)
    run = runs.ended_with([b"at 10:00:01\n", b"at 10:00:02\n"])
    assert grouped(run.invocations.all(), Rules(times=True)).unread == 1
    assert grouped(run.invocations.all(), Rules(times=True)).unread == 0


def test_what_retention_takes_while_it_is_read_is_not_remembered():
    run = runs.ended_with([b"at 10:00:01\n", b"at 10:00:02\n"])
    stored = Output.objects.filter(invocation_id=run.invocations.get(ordinal=0).pk)
    stored.update(data=b"at 10:00")
    assert grouped(run.invocations.all(), Rules(times=True)).unread == 1
    stored.update(data=b"at 10:00:01\n")
    assert shape(run, Rules(times=True)) == [[0, 1]]


def test_removed_output_is_compared_by_its_hash():
    run = runs.ended_with([b"at 10:00:01\n", b"at 10:00:01\n", b"at 10:00:02\n"])
    Invocation.objects.update(output_removed_at=run.finished_at)
    answer = grouped(run.invocations.all(), Rules(times=True))
    assert [(len(group.members), group.is_removed) for group in answer.groups] == [(2, True), (1, True)]
    assert answer.unread == 3


def test_a_group_keeps_its_key_while_it_grows():
    run = runs.ended_with([b"a\n", b"b\n", b"a\n"])
    whole = grouped(run.invocations.all())
    part = grouped(run.invocations.filter(ordinal__lt=2))
    assert {group.key for group in whole.groups} == {group.key for group in part.groups}


def test_a_name_that_is_said_by_another_instance_is_no_own_name():
    """The same bytes: for the one it is its own name, for the other it is not."""
    run = runs.ended_with([b"web-01 is up\n", b"web-01 is up\n", b"web-03 is up\n", b"\x1b[1mweb-\x1b[0m04 is up\n"])
    assert shape(run, Rules(own_name=True)) == [[0, 2], [1], [3]]
    assert shape(run, Rules(own_name=True, looks=True)) == [[0, 2, 3], [1]]
