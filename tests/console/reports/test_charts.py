import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.reports import charts
from console.reports.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Column,
    bins_of,
    histogram,
    nice_top,
    stacked,
)

KINDS = ["good", "bad"]
PARTS = st.fixed_dictionaries({}, optional={kind: st.integers(0, 10_000) for kind in KINDS})
VALUES = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=50)


def column(**parts):
    return Column("one", parts, "one: so many")


@given(st.lists(PARTS, max_size=80))
def test_every_bar_is_inside_and_as_high_as_its_number(parts):
    chart = stacked([Column(str(place), one, "") for place, one in enumerate(parts)], KINDS)
    room = HEIGHT - TOP - BOTTOM
    top = nice_top(max((sum(one.values()) for one in parts), default=0))
    for shape in chart.shapes:
        assert LEFT - 0.01 <= shape.x <= shape.x + shape.width <= WIDTH - RIGHT + 0.01
        assert TOP - 0.01 <= shape.y <= shape.y + shape.height <= HEIGHT - BOTTOM + 0.02
    drawn = sum(shape.height for shape in chart.shapes)
    assert math.isclose(
        drawn, sum(sum(one.values()) for one in parts) / top * room, abs_tol=0.01 * 2 * len(parts) + 0.01
    )


def test_parts_stand_on_top_of_each_other_in_order():
    low, high = stacked([column(bad=1, good=3)], KINDS).shapes
    assert (low.kind, high.kind) == ("good", "bad")
    assert math.isclose(high.y + high.height, low.y, abs_tol=0.02)
    assert low.height == pytest.approx(3 * high.height, abs=0.05)


def test_what_is_nothing_is_not_drawn():
    assert stacked([column(good=0), column()], KINDS).shapes == []
    assert stacked([], KINDS).shapes == []


@given(st.integers(0, 10**9))
def test_the_axis_ends_at_or_above_the_highest_with_four_whole_steps(most):
    top = nice_top(most)
    assert top >= most
    assert top % 4 == 0
    assert top <= max(4, 3 * most)


@given(VALUES)
def test_every_value_is_in_one_bin(values):
    bins = bins_of(values)
    assert len(bins) <= charts.BINS + 1
    assert sum(one.number for one in bins) == len(values)
    assert bins[0].start == 0
    assert bins[-1].end >= max(values) * (1 - 1e-9)
    assert all(one.end == pytest.approx(other.start) for one, other in itertools.pairwise(bins))


@given(VALUES)
def test_the_lines_at_values_of_interest_are_inside(values):
    bins = bins_of(values)
    words = [str(place) for place in range(len(bins) + 1)]
    chart = histogram(bins, [("half", sorted(values)[0]), ("most", max(values))], words=words)
    assert all(LEFT - 0.01 <= mark.x <= WIDTH - RIGHT + 0.01 for mark in chart.values)
    first, second = chart.values
    assert second.y > first.y
    assert 1 <= len(chart.ticks) <= charts.LABELS_BELOW


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 5), (0.95, 10), (0.1, 1), (0.11, 2), (1, 10)], ids=lambda one: f"{one}"
)
def test_a_quantile_is_a_value_that_occurs(share, value):
    assert charts.quantile(list(range(1, 11)), share) == value
