import itertools
import re
from datetime import UTC, datetime

import pytest

from console.schedules import firing, services
from console.schedules.models import Schedule, Source
from console.schedules.timing import Kind, Rule
from instances.access.models import Role
from tests.support import factories

_numbers = itertools.count(1)


@pytest.fixture
def owner():
    return factories.UserFactory(role=Role.OPERATOR, username="olga")


@pytest.fixture
def member(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def instance():
    return factories.InstanceFactory(name="web-1")


@pytest.fixture
def make(owner, instance):
    """A function that makes a schedule through the service, every minute unless told, due from ``due`` on."""

    def make_schedule(due=None, **given) -> Schedule:
        values = given.pop("values", {"command": ["uptime"], "command_type": ["shell"], "ids": [str(instance.pk)]})
        rule = given.pop("rule", Rule(Kind.CRON, expression="* * * * *"))
        plan = services.Plan(name=f"schedule {next(_numbers)}", rule=rule, values=values, **given)
        schedule = services.add(given.get("actor", owner), plan)
        if due:
            Schedule.objects.filter(pk=schedule.pk).update(next_at=due, last_due_at=None)
            schedule.refresh_from_db()
        return schedule

    return make_schedule


def look(now: datetime) -> list[bool]:
    """What a worker's look at the clock comes to at ``now``: of each thing it found due, whether it acted."""
    acted = [firing.act(pk, due_at, now) for pk, due_at in firing.due(now)]
    return acted + [firing.start_waiting(pk, now) for pk in firing.waiting()]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def outcomes(schedule: Schedule) -> list[tuple[str, str]]:
    """(outcome, due time) of a schedule's firings, the oldest first."""
    rows = schedule.firings.order_by("due_at")
    return [(row.outcome, f"{row.due_at:%H:%M}") for row in rows]


def told(answer) -> str:
    """What an answer shows, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


__all__ = ["Source", "look", "outcomes", "told", "utc"]
