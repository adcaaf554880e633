import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.reports.differences import DIFFERING_LINES, difference

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


def drawn(before, now):
    return [f"{line.sign}{line.text}" for line in difference(before, now).lines]


def test_what_was_removed_and_added_stands_between_lines_that_are_the_same():
    before = ["1", "2", "3", "4", "5", "old", "6", "7", "8", "9", "10"]
    now = ["1", "2", "3", "4", "5", "new", "6", "7", "8", "9", "10"]
    assert drawn(before, now) == [
        "2 lines that are the same", "3", "4", "5", "-old", "+new", "6", "7", "8", "2 lines that are the same",
    ]  # fmt: skip
    found = difference(before, now)
    assert (found.added, found.removed) == (1, 1)
    assert [(line.before, line.now) for line in found.lines][3:6] == [(5, 5), (6, None), (None, 6)]


def test_one_line_is_not_left_out_for_a_line_that_says_so():
    assert drawn(["1", "2", "3", "4", "old"], ["1", "2", "3", "4", "new"]) == ["1", "2", "3", "4", "-old", "+new"]


@given(LINES, LINES)
def test_either_side_can_be_made_of_the_lines_shown(before, now):
    """What is left out is the same on both, so with it the sides are whole again."""
    found = difference(before, now).lines
    for side, kind, number in [(before, "removed", "before"), (now, "added", "now")]:
        shown = {getattr(line, number): line.text for line in found if line.kind in {kind, "same"}}
        assert all(side[at - 1] == text for at, text in shown.items())
        hidden = len(side) - len(shown)
        said = sum(int(line.text.split()[0]) for line in found if line.kind == "left_out")
        assert hidden == said


@pytest.mark.parametrize(
    "make",
    [lambda n: str(n), lambda n: "ab"[n % 2], lambda n: str(n % 97), lambda n: "x"],
    ids=["unique", "two", "many", "one"],
)
def test_however_much_differs_it_ends_soon_and_says_what_is_missing(make):
    before = [make(n) for n in range(20_000)]
    found = difference(["first", *before], ["other", *before[::-1], "last"])
    assert len(found.lines) <= 2 * DIFFERING_LINES + 10
    assert found.is_cut


def test_a_long_line_is_cut():
    (removed, added) = difference(["x" * 5000], ["y"]).lines
    assert removed.text.endswith("3,000 more characters")
    assert added.text == "y"
