"""What the pages of schedules show of what became of them, and what is done there."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.runs.models import Run
from console.schedules import services
from console.schedules.models import Firing, Outcome, Schedule
from instances.access.models import Role
from instances.inventory.models import Instance
from tests.console.schedules.conftest import look, told, utc
from tests.support import factories

pytestmark = pytest.mark.django_db
NOON = utc(2026, 6, 1, 12)


def test_an_administrator_sees_and_pauses_everybodys_and_the_owner_sees_who_and_why(client, make, owner):
    schedule = make()
    client.force_login(factories.UserFactory(username="ada"))
    assert schedule.name in told(client.get(reverse("schedules")))
    client.post(reverse("pause-schedule", args=[schedule.pk]), {"why": "maintenance"})
    schedule.refresh_from_db()
    assert schedule.next_at is None
    client.force_login(owner)
    assert "Paused by ada, just now : maintenance" in told(client.get(reverse("schedule", args=[schedule.pk])))
    client.post(reverse("resume-schedule", args=[schedule.pk]))
    schedule.refresh_from_db()
    assert schedule.next_at > timezone.now()
    assert not schedule.firings.exists()


def test_the_history_says_what_became_of_each_time(member, make):
    schedule = make(due=NOON)
    look(NOON + timedelta(minutes=10))
    look(NOON + timedelta(minutes=11))
    page = told(member.get(reverse("schedule", args=[schedule.pk])))
    assert "Mon 2026-06-01 12:00 to Mon 2026-06-01 12:09 Missed 10 times" in page
    assert "Started Run" in page
    assert re.search(r"Left out Run \d+ had not ended", page)


def test_a_firing_that_was_refused_is_loud_on_the_page_and_in_the_list(member, make):
    factories.InstanceFactory(name="db-1")
    schedule = make(due=NOON, values={"command": ["id"], "command_type": ["shell"], "by_query": ["1"], "query": ["db"]})
    Instance.objects.filter(name="db-1").delete()
    look(NOON)
    answer = member.get(reverse("schedule", args=[schedule.pk]))
    assert '<div class="notice notice--error" role="alert">' in answer.content.decode()
    assert "There is no instance to send to" in told(answer)
    assert "everything that matches db; looked up each time" in told(answer)
    assert "Refused" in told(member.get(reverse("schedules")))


def test_run_now_leads_to_the_run_which_says_by_which_schedule(member, client, make):
    schedule = make()
    answer = member.post(reverse("run-schedule", args=[schedule.pk]), {"key": "pressed"})
    run = Run.objects.get()
    assert answer.url == reverse("run", args=[run.pk])
    page = member.get(answer.url).content.decode()
    assert f'by schedule <a href="{reverse("schedule", args=[schedule.pk])}">{schedule.name}</a>' in re.sub(
        r"\s+", " ", page
    )
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    said = told(client.get(answer.url))
    assert "by a schedule" in said
    assert schedule.name not in said


def test_a_key_that_looks_like_a_schedules_does_not_make_a_run_one(member, make, instance):
    schedule = make()
    member.post(
        reverse("send"),
        {"command": "id", "command_type": "shell", "ids": instance.pk, "request_key": f"schedule-{schedule.pk}-x"},
    )
    assert "by schedule" not in told(member.get(reverse("run", args=[Run.objects.get().pk])))


def test_deleting_it_leaves_its_runs(member, make):
    schedule = make(due=NOON)
    look(NOON)
    assert member.post(reverse("delete-schedule", args=[schedule.pk])).url == reverse("schedules")
    assert (Schedule.objects.count(), Firing.objects.count(), Run.objects.count()) == (0, 0, 1)
    assert "Nothing is scheduled" in told(member.get(reverse("schedules")))


def test_an_empty_list_does_not_say_of_others_what_it_cannot_know_nor_lead_a_viewer_to_a_refusal(client, make):
    make()
    for role in (Role.OPERATOR, Role.VIEWER):
        client.force_login(factories.UserFactory(role=role))
        page = told(client.get(reverse("schedules")))
        assert "Nothing is scheduled by you." in page
        assert ("Choose instances" in page) == (role == Role.OPERATOR)
    Schedule.objects.all().delete()
    client.force_login(factories.UserFactory())
    assert "Nothing is scheduled." in told(client.get(reverse("schedules")))


def test_the_list_takes_as_many_queries_for_many_as_for_few(member, make, django_assert_max_num_queries, owner):
    values = {"command": ["id"], "command_type": ["shell"], "by_query": ["1"], "query": ["web"]}
    for _ in range(8):
        services.pause(owner, schedule=make(values=values))
    with django_assert_max_num_queries(12):
        member.get(reverse("schedules"))
    assert not Firing.objects.filter(outcome=Outcome.FIRED).exists()
