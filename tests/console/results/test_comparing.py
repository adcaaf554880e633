import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from console.results import comparing
from console.results.comparing import Side, compare, side_of
from console.results.normalise import NO_RULES, Rules
from console.runs.models import OutputKind
from tests.support import runs

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=25)


def side(lines):
    return Side(lines, [line.encode() for line in lines])


def signs(comparison):
    return [(line.sign, line.text) for line in comparison.lines]


def test_only_what_differs_is_marked():
    found = compare(side(["a", "b", "c"]), side(["a", "x", "c"]))
    assert signs(found) == [(" ", "a"), ("-", "b"), ("+", "x"), (" ", "c")]
    assert (found.added, found.removed, found.is_same, found.limits) == (1, 1, False, [])


def test_what_is_the_same_for_long_is_left_out_and_counted():
    many = [str(number) for number in range(100)]
    found = compare(side(many), side([*many[:50], "new", *many[50:]]))
    assert signs(found) == [
        ("@", "47 lines that are the same"),
        *((" ", str(number)) for number in (47, 48, 49)),
        ("+", "new"),
        *((" ", str(number)) for number in (50, 51, 52)),
        ("@", "47 lines that are the same"),
    ]
    assert [(line.left, line.right) for line in found.lines[3:6]] == [(50, 50), (None, 51), (51, 52)]


@given(LINES, LINES)
def test_what_is_shown_leads_from_one_to_the_other(left, right):
    assume(left != right)
    lines = compare(side(left), side(right), context=1000).lines
    assert [line.text for line in lines if line.sign in " -"] == left
    assert [line.text for line in lines if line.sign in " +"] == right
    assert [line.left for line in lines if line.left] == list(range(1, len(left) + 1))
    assert [line.right for line in lines if line.right] == list(range(1, len(right) + 1))


def test_outputs_with_nothing_in_common_are_compared_in_part_and_it_is_said():
    found = compare(side([f"l{n}" for n in range(50_000)]), side([f"r{n}" for n in range(50_000)]))
    assert (found.added, found.removed) == (1000, 1000)
    assert found.limits == ["Only 1,000 lines from the first difference on are compared."]


@pytest.mark.parametrize("period", [1, 2, 7, 30, 100, 333])
def test_lines_that_come_again_and_again_are_no_trap(period):
    """For difflib the worst: the same lines, in another order."""
    left = [str(n % period) for n in range(1000)]
    right = [str((n * 7 + n // 3) % period) for n in range(1000)]
    assert compare(side(["first", *left]), side(["other", *right])).removed >= 1


def test_a_long_line_is_shown_in_part():
    found = compare(side(["x" * 5000]), side([]))
    assert found.lines[0].text == "x" * 2000 + " ⋯ 3,000 more characters"


@pytest.mark.django_db
def test_lines_are_shown_as_they_are_and_compared_as_the_rules_say():
    run = runs.ended_with([b"web-01 at 10:00:01\nup\n", b"web-02 at 10:00:02\ndown\n"])
    left, right = (side_of(one, Rules(times=True, own_name=True)) for one in run.invocations.all())
    assert signs(compare(left, right)) == [(" ", "web-01 at 10:00:01"), ("-", "up"), ("+", "down")]


@pytest.mark.django_db
def test_a_large_output_is_read_in_part_and_it_is_said(monkeypatch):
    monkeypatch.setattr(comparing, "COMPARED_BYTES", 64 * 1024)
    run = runs.ended_with([b"a\n" * 60_000, b"a\n" * 60_000 + b"b\n"])
    found = compare(*(side_of(one, NO_RULES) for one in run.invocations.all()))
    assert found.is_same
    assert found.limits == ["Only the first 64 KiB of each output are compared."]


@pytest.mark.django_db
def test_the_streams_are_compared_one_after_the_other():
    out, err = OutputKind.STDOUT, OutputKind.STDERR
    run = runs.ended_with([[(out, b"a\n"), (err, b"oh\n"), (out, b"b\n")], [(out, b"a\nb\n"), (err, b"oh\n")]])
    assert compare(*(side_of(one, NO_RULES) for one in run.invocations.all())).is_same
