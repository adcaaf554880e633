"""From the Send Command form to a schedule, and what its pages say; without scripts."""

import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.runs.models import Run
from console.schedules import services
from console.schedules.models import Firing, Outcome, Schedule, Source
from console.schedules.timing import Kind, Rule
from instances.access.models import Role
from instances.inventory.models import Instance
from tests.console.schedules.conftest import look, utc
from tests.support import factories

pytestmark = pytest.mark.django_db
NOON = utc(2026, 6, 1, 12)


@pytest.fixture
def member(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def sent(instance):
    """What the Send Command form sends."""
    return {
        "command": "uptime\nid",
        "command_type": "shell",
        "ids": str(instance.pk),
        "timeout_s": "30",
        "request_key": "k",
    }


def page_after(member, sent, **changed):
    """The schedule's form, and what it holds, after Schedule… was pressed."""
    answer = member.post(reverse("add-schedule"), sent | changed)
    assert answer.status_code == 200
    return answer.context["form"]


def filled(form, **given) -> dict[str, str]:
    """What the page sends when these fields are filled in."""
    drawn = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in (drawn | given | {"do": "save"}).items() if value is not None}


def told(answer) -> str:
    """What an answer shows, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


# ------------------------------------------------------------------ make


def test_the_send_form_leads_to_the_schedule_and_nothing_is_sent_on_the_way(member, sent, owner):
    form = page_after(member, sent)
    assert form["name"].value() == "uptime"
    assert not Run.objects.exists()
    answer = member.post(
        reverse("add-schedule"), filled(form, kind="cron", expression=" 30 6 * * MON-FRI", zone="Europe/Berlin")
    )
    schedule = Schedule.objects.get()
    assert answer.url == reverse("schedule", args=[schedule.pk])
    assert (schedule.owner, schedule.expression, schedule.zone) == (owner, "30 6 * * MON-FRI", "Europe/Berlin")
    assert schedule.values["command"] == ["uptime\nid"]
    assert schedule.values["timeout_s"] == ["30"]
    assert not schedule.values.keys() & {"request_key", "csrfmiddlewaretoken"}
    local = schedule.next_at.astimezone(schedule.time_zone)
    assert (local.hour, local.minute, local.weekday() < 5) == (6, 30, True)
    assert not Run.objects.exists()
    page = told(member.get(answer.url))
    assert "At 06:30 on Monday through Friday" in page
    assert "1 instance: web-1" in page
    assert "Time limit (s) 30" in page


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"kind": "cron", "expression": "61 * * * *"}, "expression", "wrong with the minute"),
        ({"kind": "cron", "expression": ""}, "expression", "five fields"),
        ({"kind": "once", "at": ""}, "at", "Enter a date"),
        ({"kind": "once", "at": "2001-01-01T00:00"}, "at", "has passed"),
        ({"kind": "once", "at": "soon"}, "at", "such as 2030-01-31 06:30"),
        ({"kind": "once", "at": "9999-12-31T23:59"}, "at", "too far"),
        ({"kind": "once", "at": "2027-03-28T02:30", "zone": "Europe/Berlin"}, "at", "skip 02:30"),
        ({"kind": "every", "every": "0"}, "every", "greater than or equal to 1"),
        ({"kind": "every", "every": "99999999"}, "every", "At most"),
        ({"kind": "cron", "expression": "* * * * *", "ends": "2001-01-01T00:00"}, "ends", "has passed"),
        ({"kind": "cron", "expression": "* * * * *", "zone": "Mars/Olympus"}, "zone", "no time zone"),
        ({"kind": "cron", "expression": "* * * * *", "name": " "}, "name", "required"),
        ({"kind": "cron", "expression": "* * * * *", "late_within_minutes": "9999"}, "late_within_minutes", "1440"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_beside_its_field_and_nothing_is_lost(member, sent, given, field, said):
    data = filled(page_after(member, sent), **given)
    answer = member.post(reverse("add-schedule"), data)
    assert answer.status_code == 422
    form = answer.context["form"]
    assert said in " ".join(form.errors[field])
    assert json.loads(form["values"].value())["command"] == ["uptime\nid"]
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("values", ["", "[]", "{", '{"command": "x"}', '{"command": []}', "null"])
def test_values_that_the_page_did_not_make_are_refused(member, sent, values):
    data = filled(page_after(member, sent), kind="every", values=values)
    assert member.post(reverse("add-schedule"), data).status_code == 422
    assert not Schedule.objects.exists()


def test_what_could_not_be_sent_is_refused_in_the_send_form(member, sent):
    answer = member.post(reverse("add-schedule"), sent | {"command": "", "timeout_s": "-1"})
    assert answer.status_code == 422
    assert answer.context["form"].errors["timeout_s"]
    answer = member.post(reverse("add-schedule"), sent | {"command": " "})
    assert answer.context["form"].errors["command"] == ["Enter a command."]
    answer = member.post(reverse("add-schedule"), sent | {"ids": ""})
    assert "no instance to send to" in answer.context["form"].errors["ids"][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("secret_environment", "TOKEN=k4nary-in-a-schedule"), ("prompt_password", "k4nary-in-a-schedule")],
)
def test_secrets_are_not_scheduled_nor_kept(member, sent, field, value):
    answer = member.post(reverse("add-schedule"), sent | {field: value})
    assert answer.status_code == 422
    assert "A schedule keeps no" in answer.context["form"].errors[field][0]
    assert "k4nary" not in answer.content.decode()


def test_a_script_file_is_scheduled_with_its_name(member, sent, tmp_path):
    script = tmp_path / "say.sh"
    script.write_text("#!/bin/sh\necho from a file\n")
    with script.open("rb") as file:
        form = page_after(member, sent, command="", script=file)
    values = json.loads(form["values"].value())
    assert (values["command"], values["script_name"]) == (["#!/bin/sh\necho from a file\n"], ["say.sh"])


def test_a_saved_command_is_offered_in_its_latest_version(member, sent):
    saved = factories.saved_command(name="disk", text="df")
    form = page_after(member, sent, command="df", saved_version=saved.latest.pk)
    assert (form["name"].value(), form["source"].value()) == ("disk", Source.LATEST)
    member.post(reverse("add-schedule"), filled(form, kind="every"))
    assert Schedule.objects.get().saved == saved
    changed = page_after(member, sent, command="df -h", saved_version=saved.latest.pk)
    assert changed["source"].value() == Source.TEXT


def test_a_name_is_taken_once_by_a_person(member, sent):
    for status in (302, 422):
        data = filled(page_after(member, sent), kind="every", name="nightly")
        assert member.post(reverse("add-schedule"), data).status_code == status


def test_without_scripts_a_button_shows_the_next_times(member, sent):
    data = filled(page_after(member, sent), kind="cron", expression="0 6 * * *") | {"do": "look"}
    answer = member.post(reverse("add-schedule"), data)
    assert answer.status_code == 200
    assert len(re.findall(r"-\d\d 06:00 ", told(answer))) == 5
    assert not Schedule.objects.exists()


def test_the_preview_says_the_next_five_times_or_what_is_wrong(member):
    asked = {"kind": "cron", "expression": "0 6 * * *", "zone": "Asia/Kathmandu", "unit": "hours"}
    said = told(member.get(reverse("preview-schedule"), asked))
    assert len(re.findall(r"-\d\d 06:00 ", said)) == 5
    assert "At 06:00 every day" in said
    assert "wrong with the minute" in told(member.get(reverse("preview-schedule"), asked | {"expression": "x * * * *"}))
    once = {"kind": "once", "at": "2027-10-31T02:30", "zone": "Europe/Berlin", "unit": "hours"}
    assert "It is the first of the two" in told(member.get(reverse("preview-schedule"), once))


# ------------------------------------------------------------------ change


def test_what_is_sent_and_when_are_changed_and_neither_loses_the_other(member, make, sent):
    schedule = make()
    edit = reverse("edit-schedule", args=[schedule.pk])
    form = member.get(edit).context["form"]
    back = member.post(edit, filled(form, kind="cron", expression="5 5 * * *", name="renamed") | {"do": "back"})
    assert back.context["form"]["command"].value() == "uptime"
    action = back.context["schedule_url"]
    form = member.post(action, sent | {"command": "id"}).context["form"]
    assert (form["expression"].value(), form["name"].value()) == ("5 5 * * *", "renamed")
    assert member.post(edit, filled(form)).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.name, schedule.expression, schedule.values["command"]) == ("renamed", "5 5 * * *", ["id"])
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "rule",
    [
        Rule(Kind.ONCE, zone="Europe/Berlin", anchor=utc(2036, 7, 1, 4, 0)),
        Rule(Kind.CRON, zone="Asia/Kathmandu", expression="5 5 * * *", ends_at=utc(2036, 7, 1, 4, 0)),
        Rule(Kind.EVERY, zone="America/New_York", anchor=utc(2030, 7, 1, 4, 0, 5), every=3),
    ],
    ids=["once", "cron", "every"],
)
def test_saving_the_form_as_it_is_changes_nothing(member, make, rule):
    schedule = make(rule=rule)
    edit = reverse("edit-schedule", args=[schedule.pk])
    assert member.post(edit, filled(member.get(edit).context["form"])).status_code == 302
    assert Schedule.objects.get().rule == rule


def test_nobody_changes_the_schedule_of_somebody_else(client, make):
    schedule = make()
    client.force_login(factories.UserFactory(role=Role.ADMINISTRATOR))
    assert client.get(reverse("edit-schedule", args=[schedule.pk])).status_code == 403
    assert client.post(reverse("run-schedule", args=[schedule.pk])).status_code == 403
    client.force_login(factories.UserFactory(role=Role.OPERATOR))
    assert client.get(reverse("schedule", args=[schedule.pk])).status_code == 404


# ------------------------------------------------------------------ look, pause, run now


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
    assert "all that match “db”; looked up each time" in told(answer)
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


def test_the_list_takes_as_many_queries_for_many_as_for_few(member, make, django_assert_max_num_queries, owner):
    values = {"command": ["id"], "command_type": ["shell"], "by_query": ["1"], "query": ["web"]}
    for _ in range(8):
        services.pause(owner, schedule=make(values=values))
    with django_assert_max_num_queries(12):
        member.get(reverse("schedules"))
    assert not Firing.objects.filter(outcome=Outcome.FIRED).exists()
