"""Sets of numbers as short text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.runs.number_sets import fold, unfold


@given(st.sets(st.integers(min_value=0, max_value=500)))
def test_what_is_folded_unfolds_to_the_same_set(numbers):
    assert unfold(fold(numbers), most=501) == numbers


def test_it_is_short_and_in_order():
    assert fold([7, 1, 2, 3, 5]) == "1-3,5,7"
    assert fold([]) == ""


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1--2", "²", "1-2-3", "9" * 19])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"number|More|backwards"):
        unfold(text, most=10)


def test_more_than_are_allowed_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="More than 10"):
        unfold("1-999999999999999999", most=10)
