import io
import re

import pytest
from django.core.management import call_command

from console.schedules import services
from console.schedules.models import Schedule
from console.schedules.timing import Kind, Rule
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def schedule() -> Schedule:
    values = {"command": ["id"], "command_type": ["shell"], "ids": [str(factories.InstanceFactory().pk)]}
    rule = Rule(Kind.CRON, zone="Asia/Kathmandu", expression="30 6 * * *")
    return services.add(factories.UserFactory(username="olga"), services.Plan("nightly", rule, values))


def schedules(*arguments) -> str:
    out = io.StringIO()
    call_command("schedules", *arguments, stdout=out)
    return out.getvalue()


def test_it_lists_them_with_their_next_time_on_their_own_clocks(schedule):
    line = rf"{schedule.pk}\tnightly\tolga\tAt 06:30 every day\tnext \d{{4}}-\d\d-\d\d 06:30:00 Asia/Kathmandu\n"
    assert re.fullmatch(line, schedules())


def test_it_pauses_with_why_and_resumes(schedule):
    assert schedules("--pause", str(schedule.pk), "--why", "maintenance").endswith("\tpaused by cli: maintenance\n")
    assert "\tnext " in schedules("--resume", str(schedule.pk))


def test_one_that_is_not_there_or_not_seen_is_one_sentence(schedule, capsys):
    factories.UserFactory(username="vera", role="viewer")
    for arguments in (["--pause", "999"], ["--pause", str(schedule.pk), "--as", "vera"]):
        with pytest.raises(SystemExit) as ended:
            schedules(*arguments)
        assert ended.value.code == 2
        assert "There is no schedule" in capsys.readouterr().err
    schedule.refresh_from_db()
    assert schedule.paused_at is None
