"""Owns when a schedule is due: pure, without a database or a clock of its own; every moment is handed in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

MAX_EXPRESSION_CHARACTERS = 200
# Of the due times that were missed no more are counted one by one; a console may have been away for years.
MOST_COUNTED = 1000
# Letters are names of months and days, and L and W; the library's own messages are for what is left.
_LETTERS = re.compile(r"[0-9A-Za-z*,/#\-\s]*")
_TAKEN = {
    "minute": "0 to 59, or *",
    "hour": "0 to 23, or *",
    "day-of-month": "1 to 31, L, LW, or *",
    "month": "1 to 12, JAN to DEC, or *",
    "day-of-week": "0 to 7, SUN to SAT, such as 5L or MON#2, or *",
}


class Kind(StrEnum):
    """How a schedule says when."""

    ONCE = "once"
    CRON = "cron"
    EVERY = "every"


class Unit(StrEnum):
    """What is counted between two due times of ``EVERY``."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


_LENGTHS = {Unit.MINUTES: timedelta(minutes=1), Unit.HOURS: timedelta(hours=1), Unit.DAYS: timedelta(days=1)}


class TimingError(ValueError):
    """It cannot be said when that is. ``field`` names the form field the message belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Rule:
    """When something is due.

    ``ONCE``: at ``anchor``. ``CRON``: as ``expression`` says on the clocks of ``zone``. ``EVERY``: at ``anchor`` and
    each ``every`` ``unit`` after it; minutes and hours are those that pass, days keep the time on the clocks of
    ``zone``. Nothing is due after ``ends_at``. Moments are in UTC.
    """

    kind: Kind
    zone: str = "UTC"
    anchor: datetime | None = None
    expression: str = ""
    every: int = 1
    unit: Unit = Unit.HOURS
    ends_at: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due time after a moment, in UTC; None when there is none any more.

        Raises: TimingError for an expression or zone that was never checked.
        """
        found = self._unbounded(moment)
        return None if found is None or (self.ends_at and found > self.ends_at) else found

    def _unbounded(self, moment: datetime) -> datetime | None:
        if self.kind == Kind.CRON:
            return _cron_after(self.expression, zone_of(self.zone), moment)
        if self.anchor is None or self.anchor > moment:
            return self.anchor
        if self.kind == Kind.ONCE:
            return None
        if self.unit == Unit.DAYS:
            return _days_after(self.anchor, self.every, zone_of(self.zone), moment)
        step = _LENGTHS[self.unit] * self.every
        return self.anchor + step * ((moment - self.anchor) // step + 1)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """Return the next due times after a moment, at most so many."""
        return list(_first(self.after(moment), count))

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield every due time after a moment, in order; without an end unless the rule has one."""
        due = self.next_after(moment)
        while due is not None:
            yield due
            due = self.next_after(due)


@dataclass(frozen=True, slots=True)
class Lateness:
    """What a look at the clock comes to, for a rule that was due.

    ``due``: the one due time to act on, if there is any; ``is_late`` when it is beyond what is usual. ``missed``: how
    many others passed, from ``first`` to ``last``; ``is_more`` when they were not counted to their end.
    """

    due: datetime | None = None
    is_late: bool = False
    missed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    is_more: bool = False


# A worker looks each second; one that starts, or a database that is busy, may take this much longer.
PUNCTUAL = timedelta(seconds=60)


def judge(rule: Rule, due: datetime, now: datetime, late_within: timedelta = timedelta()) -> Lateness:
    """Say what becomes of the due times from ``due`` (the next one expected) until now.

    At most one of them is acted on, however far the clock has jumped: the last, if it is ``PUNCTUAL`` or else came
    within ``late_within``. All others were missed.
    """
    latest = _latest(rule, due, now, max(PUNCTUAL, late_within))
    missed = 0
    last = None
    for moment in _until(rule, due, now):
        if moment == latest:
            break
        if missed == MOST_COUNTED:
            return Lateness(latest, _is_late(latest, now), missed, due, latest or now, is_more=True)
        missed, last = missed + 1, moment
    return Lateness(latest, _is_late(latest, now), missed, due if missed else None, last)


def _is_late(latest: datetime | None, now: datetime) -> bool:
    return latest is not None and now - latest > PUNCTUAL


def _latest(rule: Rule, due: datetime, now: datetime, window: timedelta) -> datetime | None:
    start = max(due, now - window)
    found = due if start == due else None
    for moment in rule.after(start if start == due else start - timedelta(microseconds=1)):
        if moment > now:
            break
        found = moment
    return found


def _until(rule: Rule, due: datetime, now: datetime) -> Iterator[datetime]:
    yield due
    for moment in rule.after(due):
        if moment > now:
            return
        yield moment


def _first(moments: Iterator[datetime], count: int) -> Iterator[datetime]:
    for _, moment in zip(range(count), moments, strict=False):
        yield moment


# ------------------------------------------------------------------ time zones


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA time zone, whatever case its name is written in. Raises: TimingError."""
    known = _zones().get(name.lower())
    if known is None:
        raise TimingError("zone", f"There is no time zone named {name[:64]!r}. Try Europe/Berlin, or UTC.")
    return ZoneInfo(known)


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of every time zone this machine knows, in order; not what it calls its own."""
    names = available_timezones() - {"localtime", "Factory"}
    return tuple(sorted(name for name in names if not name.startswith(("posix/", "right/"))))


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in zone_names()}


def moment_of(local: datetime, zone: ZoneInfo, field: str = "at") -> datetime:
    """Return the moment at which the clocks of a zone show ``local``; where they show it twice, the first.

    Raises: TimingError for a time the clocks skip.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        after = moment.astimezone(zone)
        raise TimingError(
            field,
            f"The clocks of {zone.key} skip {local:%H:%M} on {local:%Y-%m-%d}: they go forward then. "
            f"Choose {after:%H:%M}, or another time.",
        )
    return moment


def is_shown_twice(local: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks of a zone show this time twice, because they are put back."""
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


def _days_after(anchor: datetime, every: int, zone: ZoneInfo, moment: datetime) -> datetime:
    local = anchor.astimezone(zone).replace(tzinfo=None)
    # A day early: the clocks may have moved since the anchor.
    steps = max(0, ((moment - anchor).days - 1) // every)
    while True:
        found = _first_shown(local + timedelta(days=steps * every), zone)
        if found > moment:
            return found
        steps += 1


def _first_shown(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks show a time, the first of two; for one that they skip, when they have skipped it."""
    while True:
        try:
            return moment_of(local, zone)
        except TimingError:
            local += timedelta(minutes=1)


# ------------------------------------------------------------------ cron


def check_expression(expression: str) -> str:
    """Return a cron expression with single blanks. Raises: TimingError saying what is wrong with it."""
    tidy = " ".join(expression.split())
    if not tidy:
        raise TimingError("expression", "Enter five fields: minute, hour, day of month, month, day of week.")
    if len(tidy) > MAX_EXPRESSION_CHARACTERS or not _LETTERS.fullmatch(tidy):
        raise TimingError("expression", "A cron expression is made of numbers, names of days and months, and * , - / #")
    if (count := len(tidy.split(" "))) != 5:
        raise TimingError(
            "expression", f"Five fields are needed, not {count}: minute, hour, day of month, month, day of week."
        )
    if next(iter(_sim(tidy, datetime(2024, 1, 1, tzinfo=UTC))), None) is None:
        raise TimingError("expression", "That never comes: no month has such a day.")
    return tidy


def explain(expression: str) -> str:
    """Say a cron expression in words. Raises: TimingError."""
    said: str = _sim(check_expression(expression), datetime(2024, 1, 1, tzinfo=UTC)).explain()
    return said


def _sim(expression: str, start: datetime) -> CronSim:
    try:
        return CronSim(expression, start)
    except CronSimError as error:
        raise TimingError("expression", _wrong(expression, str(error).removeprefix("Bad "))) from None
    except (AssertionError, TypeError, ValueError):
        raise TimingError("expression", "It cannot be read.") from None


def _wrong(expression: str, field: str) -> str:
    """Say what is wrong, of the field that the library names."""
    if field == "day-of-month" and _is_read(re.sub(r"\S+( \S+)$", r"*\1", expression)):
        return "That never comes: the month has no such day."
    return f"There is something wrong with the {field}: {_TAKEN.get(field, 'it cannot be read')}."


def _is_read(expression: str) -> bool:
    try:
        CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError, TypeError, ValueError):
        return False
    return True


def _cron_after(expression: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    # Where clocks are put back the library counts on local time and would name a moment before this one.
    for local in _sim(expression, moment.astimezone(zone)):
        if (found := local.astimezone(UTC)) > moment:
            return found
    return None
