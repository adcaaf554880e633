"""The worker's look at the clock: what breaks is told once, and keeps nobody else from being on time."""

import asyncio
import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from console.runs.models import Run
from console.schedules import ticker
from console.schedules.models import Firing, Outcome, Overlap, Schedule
from tests.console.schedules.conftest import look, outcomes, utc

pytestmark = pytest.mark.django_db
NOON = utc(2026, 6, 1, 12)


async def here(call, *args):
    return call(*args)


def tick(now) -> None:
    """Look once. Nothing of it waits for an event loop when the database is asked right here."""
    looking = ticker.tick(here, lambda: now)
    with pytest.raises(StopIteration):
        looking.send(None)


def test_everything_that_is_due_is_acted_on(make):
    schedules = [make(due=NOON), make(due=NOON), make(due=NOON + timedelta(hours=1))]
    tick(NOON)
    assert [schedule.firings.count() for schedule in schedules] == [1, 1, 0]


def test_one_that_breaks_is_paused_and_says_so_and_the_others_are_on_time(make, caplog):
    broken, sound = make(due=NOON - timedelta(seconds=1)), make(due=NOON)
    Schedule.objects.filter(pk=broken.pk).update(values={"command": 5})
    with caplog.at_level(logging.CRITICAL, ticker.logger.name):
        tick(NOON)
    broken.refresh_from_db()
    assert (broken.next_at, broken.pause_reason, broken.paused_by) == (None, ticker.BROKE, "the console")
    assert outcomes(broken) == [("refused", "11:59")]
    assert outcomes(sound) == [("fired", "12:00")]
    tick(NOON)
    assert broken.firings.count() == 1


def test_one_that_waited_and_breaks_is_refused(make, caplog):
    schedule = make(due=NOON, overlap=Overlap.QUEUE)
    look(NOON)
    look(NOON + timedelta(minutes=1))
    Schedule.objects.filter(pk=schedule.pk).update(values={"command": 5})
    Run.objects.update(finished_at=NOON + timedelta(seconds=70))
    with caplog.at_level(logging.CRITICAL, ticker.logger.name):
        tick(NOON + timedelta(seconds=80))
    assert schedule.firings.get(due_at=NOON + timedelta(minutes=1)).outcome == Outcome.REFUSED


def test_a_worker_that_drains_starts_nothing(make):
    make(due=timezone.now())

    async def drained() -> None:
        draining = asyncio.Event()
        draining.set()
        await ticker.tick_until(draining, here)

    asyncio.run(drained())
    assert not Firing.objects.exists()
