"""When a schedule is due, compared with a reference that looks at every minute."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.schedules.timing import (
    MOST_COUNTED,
    PUNCTUAL,
    Kind,
    Rule,
    TimingError,
    Unit,
    check_expression,
    explain,
    is_shown_twice,
    judge,
    moment_of,
    zone_names,
    zone_of,
)

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)
# Clocks that move by an hour and by half an hour, at midnight, on the other side of the year, and never.
ZONES = [BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "Asia/Kathmandu", "UTC"]
# Days on which the clocks of one of them move, among others.
MOMENTS = st.sampled_from(
    [
        datetime(2026, *day, tzinfo=UTC)
        for day in ((3, 28), (10, 24), (3, 7), (10, 31), (4, 4), (10, 3), (9, 5), (4, 23), (6, 1))
    ]
)
fast = settings(max_examples=60)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def cron(expression: str, zone: str = "UTC", **given) -> Rule:
    return Rule(Kind.CRON, zone=zone, expression=expression, **given)


@st.composite
def fields(draw):
    """Minute, hour and day of week as sets of numbers, and the expression that says them."""
    minutes = draw(st.sets(st.integers(0, 59), min_size=1, max_size=3))
    hours = draw(st.sets(st.integers(0, 23), min_size=1, max_size=4))
    days = draw(st.sets(st.integers(0, 6), min_size=1, max_size=7))
    texts = [",".join(map(str, sorted(one))) for one in (minutes, hours, days)]
    return minutes, hours, days, f"{texts[0]} {texts[1]} * * {texts[2]}"


def expected(minutes, hours, days, zone, after, count) -> list[datetime]:
    """What a person would do with a calendar: times that clocks skip are when they have; of two, the first."""
    found: set[datetime] = set()
    day = after.astimezone(zone).date() - timedelta(days=1)
    while len([moment for moment in found if moment > after]) < count + 24:
        if (day.weekday() + 1) % 7 in days:
            for hour in hours:
                for minute in minutes:
                    local = datetime(day.year, day.month, day.day, hour, minute)
                    while (moment := local.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(
                        tzinfo=None
                    ) != local:
                        local += MINUTE
                    found.add(moment)
        day += timedelta(days=1)
    return sorted(moment for moment in found if moment > after)[:count]


@fast
@given(fields(), st.sampled_from(ZONES), MOMENTS, st.integers(0, 3 * 24 * 60))
def test_a_cron_expression_comes_when_a_calendar_says(given, zone, day, minutes):
    *sets, expression = given
    after = day + minutes * MINUTE
    found = cron(expression, zone).upcoming(after, 12)
    assert found == expected(*sets, ZoneInfo(zone), after, 12)


EVERY = st.builds(
    Rule,
    kind=st.just(Kind.EVERY),
    zone=st.sampled_from(ZONES),
    anchor=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)).map(
        lambda at: at.replace(microsecond=0, tzinfo=UTC)
    ),
    every=st.integers(1, 500),
    unit=st.sampled_from(Unit),
)
CRON = st.builds(
    cron,
    st.sampled_from(
        [
            "* * * * *",
            "*/7 * * * *",
            "0 */5 * * *",
            "30 2 * * *",
            "15,45 1-3 * * *",
            "0 0 L * *",
            "0 0 1 * MON",
            "5 0 * * 0#2",
        ]
    ),
    st.sampled_from(ZONES),
)


@fast
@given(st.one_of(EVERY, CRON), MOMENTS, st.integers(0, 5000))
def test_times_rise_strictly_and_a_later_look_finds_the_same_ones(rule, day, minutes):
    after = day + minutes * MINUTE
    times = rule.upcoming(after, 10)
    assert all(earlier < later for earlier, later in zip([after, *times], times, strict=False))
    # Computed from any moment in between, the next one is the same: nothing drifts.
    for earlier, later in pairwise(times):
        assert rule.next_after(earlier + (later - earlier) / 3) == later


def test_where_any_zone_moves_its_clocks_no_day_is_lost_or_doubled():
    noons = [utc(2026, 1, 1, 12) + timedelta(days=number) for number in range(365)]
    moves = 0
    for name in zone_names():
        zone = zone_of(name)
        offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
        for before, offset, following in zip(noons, offsets, offsets[1:], strict=False):
            if offset == following:
                continue
            moves += 1
            for expression in ("30 0 * * *", "30 2 * * *"):
                times = cron(expression, name).upcoming(before - timedelta(days=1), 4)
                days = [moment.astimezone(zone).date() for moment in times]
                assert days == [days[0] + timedelta(days=number) for number in range(4)], (name, before)
    assert moves > 200


def test_minutes_and_hours_are_those_that_pass_and_days_keep_the_time_on_the_clock():
    start = utc(2026, 3, 28, 1, 30)
    hours = Rule(Kind.EVERY, zone=BERLIN, anchor=start, every=12, unit=Unit.HOURS)
    assert hours.upcoming(start, 3) == [start + timedelta(hours=number) for number in (12, 24, 36)]
    days = Rule(Kind.EVERY, zone=BERLIN, anchor=start, every=1, unit=Unit.DAYS)
    # 02:30 in Berlin; on the 29th the clocks skip it.
    assert days.upcoming(start, 2) == [utc(2026, 3, 29, 1, 0), utc(2026, 3, 30, 0, 30)]


def test_a_time_that_the_clocks_skip_comes_when_they_have_and_one_shown_twice_comes_once():
    assert cron("30 2 * * *", BERLIN).upcoming(utc(2026, 3, 28, 12), 2) == [
        utc(2026, 3, 29, 1, 0),
        utc(2026, 3, 30, 0, 30),
    ]
    assert cron("30 2 * * *", BERLIN).upcoming(utc(2026, 10, 24, 12), 2) == [
        utc(2026, 10, 25, 0, 30),
        utc(2026, 10, 26, 1, 30),
    ]


def test_in_the_repeated_hour_what_is_meant_by_the_minute_goes_on():
    assert cron("*/30 * * * *", BERLIN).upcoming(utc(2026, 10, 24, 23, 45), 5) == [
        utc(2026, 10, 25, 0, 0) + number * 30 * MINUTE for number in range(5)
    ]


def test_once_and_an_end():
    at = utc(2026, 5, 1, 12)
    assert Rule(Kind.ONCE, anchor=at).upcoming(at - MINUTE, 5) == [at]
    assert Rule(Kind.ONCE, anchor=at).next_after(at) is None
    assert cron("0 12 * * *", ends_at=at).upcoming(at - timedelta(days=2, hours=1), 5) == [
        at - timedelta(days=2),
        at - timedelta(days=1),
        at,
    ]


def test_a_local_time_that_does_not_exist_is_refused_with_the_next_that_does():
    with pytest.raises(TimingError, match=r"skip 02:30 on 2026-03-29.*Choose 03:30"):
        moment_of(datetime(2026, 3, 29, 2, 30), zone_of(BERLIN))
    assert moment_of(datetime(2026, 10, 25, 2, 30), zone_of(BERLIN)) == utc(2026, 10, 25, 0, 30)
    assert is_shown_twice(datetime(2026, 10, 25, 2, 30), zone_of(BERLIN))
    assert not is_shown_twice(datetime(2026, 3, 29, 2, 30), zone_of(BERLIN))


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\0", "/etc/localtime", "Europe", "localtime", "posix/UTC"],
)
def test_an_unknown_time_zone_is_refused(name):
    with pytest.raises(TimingError, match="There is no time zone named"):
        zone_of(name)


def test_the_case_of_a_time_zone_does_not_matter():
    assert zone_of("europe/berlin").key == "Europe/Berlin"


# ------------------------------------------------------------------ expressions


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "five fields"),
        ("* * * *", "not 4"),
        ("* * * * * *", "not 6"),
        ("60 * * * *", "with the minute: 0 to 59"),
        ("* 24 * * *", "with the hour"),
        ("* * 0 * *", "with the day-of-month"),
        ("* * * 13 *", "with the month"),
        ("* * * * MON#6", "with the day-of-week"),
        ("*/0 * * * *", "with the minute"),
        ("0 0 32 2 *", "with the day-of-month: 1 to 31"),
        ("0 0 31 4 *", "That never comes"),
        ("0 0 30 2 *", "That never comes"),
        ("@daily", "is made of numbers"),
        ("* * * * *; reboot", "is made of numbers"),
        ("1," * 150 + "1 * * * *", "is made of numbers"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_wrong(expression, said):
    with pytest.raises(TimingError, match=said) as refused:
        check_expression(expression)
    assert refused.value.field == "expression"


def test_blanks_do_not_matter_and_an_expression_is_said_in_words():
    assert check_expression("  30  6 * *\tMON-FRI ") == "30 6 * * MON-FRI"
    assert explain("30 6 * * MON-FRI") == "At 06:30 on Monday through Friday"


@settings(max_examples=300)
@given(st.lists(st.text("0123456789*,/-#LWMONFRIJAN", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join))
@example("* * * * L/2")
@example("* * L,LW * *")
def test_an_expression_is_refused_with_a_reason_or_comes(expression):
    try:
        tidy = check_expression(expression)
    except TimingError:
        return
    assert explain(tidy)
    assert cron(tidy, BERLIN).next_after(utc(2026, 1, 1)) is not None


# ------------------------------------------------------------------ clocks that jump


NOON = utc(2026, 6, 1, 12)
HOURLY = cron("0 * * * *")


def test_what_is_punctual_is_due_and_nothing_is_missed():
    for late in (timedelta(), timedelta(seconds=1), PUNCTUAL):
        judged = judge(HOURLY, NOON, NOON + late)
        assert (judged.due, judged.is_late, judged.missed) == (NOON, False, 0)


def test_a_clock_that_jumps_ahead_misses_and_does_not_burst():
    judged = judge(HOURLY, NOON, NOON + timedelta(hours=5, minutes=10))
    assert judged.due is None
    assert (judged.missed, judged.first, judged.last) == (6, NOON, NOON + timedelta(hours=5))


def test_the_last_of_them_comes_late_if_that_was_asked_for():
    now = NOON + timedelta(hours=5, minutes=10)
    judged = judge(HOURLY, NOON, now, late_within=timedelta(minutes=15))
    assert (judged.due, judged.is_late) == (NOON + timedelta(hours=5), True)
    assert (judged.missed, judged.first, judged.last) == (5, NOON, NOON + timedelta(hours=4))
    assert judge(HOURLY, NOON, now, late_within=timedelta(minutes=5)).due is None


def test_years_of_minutes_are_not_counted_one_by_one():
    judged = judge(cron("* * * * *"), utc(2016, 1, 1), NOON)
    assert (judged.missed, judged.is_more, judged.due) == (MOST_COUNTED, True, NOON)


@settings(max_examples=25)
@given(st.one_of(EVERY, CRON), MOMENTS, st.integers(0, 100_000), st.integers(0, 2000))
def test_every_due_time_is_acted_on_or_missed_and_none_twice(rule, day, late_s, late_within):
    due = rule.next_after(day)
    now = due + timedelta(seconds=late_s)
    judged = judge(rule, due, now, timedelta(minutes=late_within))
    if judged.is_more:
        return
    passed = [due, *(moment for moment in rule.upcoming(due, MOST_COUNTED + 5) if moment <= now)]
    assert judged.missed + (judged.due is not None) == len(passed)
    assert judged.due in (passed[-1], None)
    assert (judged.due is not None) == (now - passed[-1] <= max(PUNCTUAL, timedelta(minutes=late_within)))
