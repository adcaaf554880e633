from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.runs.rate import Amount, Gate, RateRefused, Rollout, errors_of, gate_after, may_take, plan

TOTALS = st.integers(0, 1000)
AMOUNTS = st.one_of(
    st.integers(1, 6000).map(str),
    st.integers(1, 10_000).map(lambda hundredths: f"{hundredths / 100:.2f}%"),
)


def planned(total, *, max_concurrency=50, max_errors=None, **rollout):
    return plan(Rollout(**rollout), max_concurrency=max_concurrency, max_errors=max_errors, total=total)


@pytest.mark.parametrize(
    ("text", "of_200"),
    [("10", 10), ("10%", 20), (" 10 % ", 20), ("0.5%", 1), ("0.49%", 0), ("100%", 200), ("0", 0), ("33.33%", 66)],
)
def test_an_amount_is_a_number_or_a_percentage_rounded_down(text, of_200):
    assert Amount.parse(text).of(200) == of_200


@pytest.mark.parametrize("text", ["", "ten", "-1", "1.5", "101%", "100.01%", "%", "10%%", "1e3", "٣", "10 000", "\n"])
def test_anything_else_is_no_amount(text):
    assert Amount.parse(text) is None


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("max_concurrency", {"max_concurrency": "0"}),
        ("max_concurrency", {"max_concurrency": "0%"}),
        ("max_concurrency", {"max_concurrency": "1001"}),
        ("max_concurrency", {"max_concurrency": "many"}),
        ("max_errors", {"max_errors": "-1"}),
        ("max_errors", {"max_errors": "101%"}),
        ("first", {"first": "0"}),
        ("first", {"first": "one"}),
        ("batch_size", {"batch_size": "0%"}),
        ("batch_pause_s", {"batch_size": "1", "batch_pause_s": -1}),
        ("batch_pause_s", {"batch_size": "1", "batch_pause_s": 86_401}),
        ("batch_pause_s", {"batch_pause_s": 10}),
        ("ask_between", {"ask_between": True}),
        ("connect_attempts", {"connect_attempts": 0}),
        ("connect_attempts", {"connect_attempts": 6}),
        ("connect_delay_s", {"connect_delay_s": 0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_what_cannot_be_is_told_with_its_field(field, limits):
    with pytest.raises(RateRefused) as refused:
        planned(10, **limits)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("total", "limits", "expected"),
    [
        (40, {"max_concurrency": "10%"}, (4, None)),
        (9, {"max_concurrency": "10%"}, (1, None)),
        (0, {"max_concurrency": "10%"}, (1, None)),
        (50_000, {"max_concurrency": "10%"}, (1000, None)),
        (40, {"max_errors": "5%"}, (50, 2)),
        (19, {"max_errors": "5%"}, (50, 0)),
        (40, {"max_errors": "0%"}, (50, 0)),
        (40, {"max_errors": 3}, (50, 3)),
    ],
)
def test_concurrency_is_at_least_one_and_errors_may_be_none(total, limits, expected):
    made = planned(total, **limits)
    assert (made.max_concurrency, made.max_errors) == expected


@pytest.mark.parametrize(
    ("total", "rollout", "sizes"),
    [
        (5, {}, (5,)),
        (0, {"first": "1", "batch_size": "10%"}, (0,)),
        (5, {"first": "1"}, (1, 4)),
        (5, {"first": "5"}, (5,)),
        (5, {"first": "9"}, (5,)),
        (10, {"batch_size": "4"}, (4, 4, 2)),
        (11, {"first": "1", "batch_size": "50%"}, (1, 5, 5)),
        (12, {"first": "1", "batch_size": "50%"}, (1, 6, 5)),
        (3, {"batch_size": "1%"}, (1, 1, 1)),
    ],
)
def test_the_first_ones_and_then_batches(total, rollout, sizes):
    assert planned(total, **rollout).sizes == sizes


@given(total=TOTALS, first=st.one_of(st.just(""), AMOUNTS), size=st.one_of(st.just(""), AMOUNTS))
def test_every_instance_is_in_one_batch_and_no_batch_is_larger_than_asked(total, first, size):
    made = planned(total, first=first, batch_size=size)
    assert sum(made.sizes) == total
    runs = [(number, sum(1 for _ in same)) for number, same in groupby(made.batch_numbers())]
    assert runs == [(number, part) for number, part in enumerate(made.sizes) if part]
    asked = Amount.parse(size)
    if asked is not None:
        rest = made.sizes[1:] if first else made.sizes
        assert all(0 < part <= max(1, asked.of(total)) for part in rest if total)


@given(total=TOTALS, hundredths=st.integers(1, 10_000))
def test_a_percentage_never_allows_more_than_it_says(total, hundredths):
    share = Fraction(hundredths, 10_000)
    text = f"{hundredths / 100:.2f}%"
    made = planned(total, max_concurrency=text, max_errors=text)
    assert made.max_errors <= share * total
    assert made.max_concurrency == 1 or made.max_concurrency <= share * total


@given(slots=st.integers(0, 2000), active=st.integers(0, 2000), most=st.integers(1, 1000))
def test_what_is_taken_never_exceeds_the_limit(slots, active, most):
    taken = may_take(slots=slots, active=active, max_concurrency=most)
    assert 0 <= taken <= slots
    assert taken == 0 or active + taken <= most


@pytest.mark.parametrize(
    ("rollout", "batch", "all_succeeded", "is_over", "gate"),
    [
        ({"first": "1"}, 0, True, False, Gate.ASK),
        ({"first": "1"}, 1, True, False, Gate.OPEN),
        ({"first": "1"}, 0, False, True, Gate.OPEN),
        ({"first": "1", "ask_unless_ok": True}, 0, True, False, Gate.OPEN),
        ({"first": "1", "ask_unless_ok": True}, 0, False, False, Gate.ASK),
        ({"first": "1", "ask_unless_ok": True, "batch_pause_s": 5}, 0, True, False, Gate.PAUSE),
        ({"first": "1", "batch_pause_s": 5}, 0, True, False, Gate.ASK),
        ({"batch_size": "1"}, 0, False, False, Gate.OPEN),
        ({"batch_size": "1", "batch_pause_s": 5}, 3, False, False, Gate.PAUSE),
        ({"batch_size": "1", "ask_between": True}, 3, True, False, Gate.ASK),
        ({"batch_size": "1", "ask_between": True, "ask_unless_ok": True}, 3, True, False, Gate.OPEN),
    ],
)
def test_what_stands_before_the_next_batch(rollout, batch, all_succeeded, is_over, gate):
    assert gate_after(Rollout(**rollout), batch=batch, all_succeeded=all_succeeded, is_over=is_over) is gate


def test_unreachable_counts_as_an_error_unless_told():
    counts = {"failed": 1, "timed_out": 2, "lost": 4, "unreachable": 8, "succeeded": 16, "skipped": 32}
    assert errors_of(counts, ignore_unreachable=False) == 15
    assert errors_of(counts, ignore_unreachable=True) == 7


def test_a_rollout_is_stored_without_its_defaults_and_read_again():
    rollout = Rollout(first="1", batch_pause_s=30)
    assert rollout.as_json() == {"first": "1", "batch_pause_s": 30}
    assert Rollout.of({**rollout.as_json(), "of a later version": 1}) == rollout


def test_percentages_are_kept_as_entered():
    made = planned(40, max_concurrency="10%", max_errors="5 %", first="1", batch_size="25%")
    assert made.rollout.as_json() == {
        "first": "1",
        "batch_size": "25%",
        "max_concurrency": "10%",
        "max_errors": "5 %",
    }
