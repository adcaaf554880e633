"""From the Send Command form to a schedule, and how it is changed; without scripts."""

import json
import re

import pytest
from django.urls import reverse

from console.notifications.models import Destination
from console.runs.models import Run
from console.runs.services import send_command
from console.schedules import services, views
from console.schedules.models import Schedule, Source
from console.schedules.timing import Kind, Rule
from instances.access.models import Role
from instances.inventory.models import Instance
from tests.console.schedules.conftest import look, told, utc
from tests.support import factories

pytestmark = pytest.mark.django_db
NOON = utc(2026, 6, 1, 12)


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
        ({"kind": "every", "every": "0"}, "every", "At least 1."),
        ({"kind": "every", "every": "99999999"}, "every", "At most"),
        ({"kind": "cron", "expression": "* * * * *", "ends": "2001-01-01T00:00"}, "ends", "has passed"),
        ({"kind": "cron", "expression": "* * * * *", "zone": "Mars/Olympus"}, "zone", "no time zone"),
        ({"kind": "cron", "expression": "* * * * *", "name": " "}, "name", "required"),
        (
            {"kind": "cron", "expression": "* * * * *", "late_within_minutes": "9999"},
            "late_within_minutes",
            "Between 0 and 1,440 minutes.",
        ),
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


@pytest.mark.parametrize("field", ["secret_environment", "prompt_password"])
def test_secrets_that_are_put_into_the_page_are_not_kept_either(member, sent, field):
    form = page_after(member, sent)
    values = json.loads(form["values"].value()) | {field: ["TOKEN=sesame"]}
    given = filled(form, values=json.dumps(values), kind="cron", expression="* * * * *", zone="UTC")
    answer = member.post(reverse("add-schedule"), given)
    assert answer.status_code == 422
    assert "A schedule keeps no" in told(answer)
    assert not Schedule.objects.exists()


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


@pytest.mark.parametrize("way", ["filter", "group", "names", "run"])
def test_every_way_to_choose_is_looked_up_when_it_is_due(member, sent, instance, owner, way):
    group = factories.GroupFactory(name="Paris")
    instance.group = group
    instance.save()
    former = send_command(owner, instances=[instance], command="id", request_key="former")
    chosen, said = {
        "filter": ({"filter_text": "web"}, "everything that matches web"),
        "group": ({"in_group": str(group.pk)}, "everything in group Paris"),
        "names": ({"names": "web-[1-1]"}, "web-1"),
        "run": ({"former_run": str(former.pk), "which": "all"}, f"all in run {former.pk}"),
    }[way]
    form = page_after(member, sent | {"ids": ""}, choose=way, shown=str(instance.pk), **chosen)
    member.post(reverse("add-schedule"), filled(form, kind="cron", expression="* * * * *", zone="UTC"))
    schedule = Schedule.objects.get()
    page = told(member.get(reverse("schedule", args=[schedule.pk])))
    assert f"{said}; looked up each time" in page
    assert "Choose" not in page

    newer = factories.InstanceFactory(name="web-2", group=group)
    assert look(schedule.next_at) == [True]
    run = schedule.firings.get().run
    expected = {instance.pk, newer.pk} if way in {"filter", "group"} else {instance.pk}
    assert set(run.invocations.values_list("instance_id", flat=True)) == expected


def test_what_was_not_shown_is_not_scheduled(member, sent, instance):
    answer = member.post(reverse("add-schedule"), sent | {"ids": "", "choose": "filter", "filter_text": "web"})
    assert answer.status_code == 422
    assert "Look at them, then send." in told(answer)


@pytest.mark.parametrize("name", ["\u202ecod", "\u200b", "a\nb"], ids=["turned", "invisible", "two lines"])
def test_a_name_shows_what_it_is(member, sent, name):
    form = page_after(member, sent, command=f"date\t{name}")
    assert form["name"].value().isprintable()
    answer = member.post(reverse("add-schedule"), filled(form, name=name, kind="cron", expression="* * * * *"))
    assert answer.status_code == 422
    assert "visible characters" in answer.context["form"].errors["name"][0]


def test_why_it_is_paused_is_one_line_that_every_database_takes(member, make):
    schedule = make()
    member.post(reverse("pause-schedule", args=[schedule.pk]), {"why": " a\0 \u202ewindow\n at night "})
    schedule.refresh_from_db()
    assert schedule.pause_reason == "a window at night"


def test_options_are_said_in_words_and_a_destination_that_is_gone_holds_up_nothing(member, sent):
    ops = Destination.objects.create(name="ops", kind="email", addresses=["ops@example.com"])
    gone = Destination.objects.create(name="gone", kind="email", addresses=["gone@example.com"])
    chosen = {"notify_to": [ops.pk, gone.pk], "notify_when": "failures", "batch_size": "1", "ask_between": "1"}
    form = page_after(member, sent, **chosen)
    member.post(reverse("add-schedule"), filled(form, kind="cron", expression="* * * * *", zone="UTC"))
    schedule = Schedule.objects.get()
    page = told(member.get(reverse("schedule", args=[schedule.pk])))
    assert "Notify to gone ops" in page
    assert "Notify when Only if not all succeeded" in page
    assert "Ask between batches Yes" in page

    Destination.objects.filter(pk=gone.pk).update(is_disabled=True)
    assert look(schedule.next_at) == [True]
    run = schedule.firings.get().run
    assert run is not None
    assert run.notify_to == [ops.pk]
    assert "Notify to ops" in told(member.get(reverse("schedule", args=[schedule.pk])))


def test_whom_to_tell_stays_as_it_was_ticked_whatever_page_comes_in_between(member, sent):
    told_to = [Destination.objects.create(pk=pk, name=f"to {pk}", kind="email") for pk in (1, 2, 12, 34)][2:]
    given = sent | {"notify_to": [one.pk for one in told_to]}
    looked = member.post(reverse("send"), given | {"look": "1"})
    asked = member.post(reverse("add-schedule"), given).context["form"]
    back = member.post(reverse("add-schedule"), {"values": asked["values"].value(), "do": "back"})
    for page in (looked, back):
        boxes = re.findall(r'<input type="checkbox" name="notify_to" value="(\d+)"[^>]* checked', page.content.decode())
        assert boxes == ["12", "34"]


def test_nothing_is_said_of_whom_to_tell_when_nobody_is(member, make):
    schedule = make(values={"command": ["id"], "command_type": ["shell"], "ids": [str(Instance.objects.get().pk)]})
    Schedule.objects.update(values=schedule.values | {"notify_when": ["end"]})
    assert "Notify when" not in told(member.get(reverse("schedule", args=[schedule.pk])))


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


def test_two_schedules_changed_in_two_tabs_at_once_do_not_get_what_was_entered_for_the_other(member, make, sent):
    backs = []
    for name in ("first", "second"):
        stored = make()
        edit = reverse("edit-schedule", args=[stored.pk])
        form = member.get(edit).context["form"]
        backs.append(member.post(edit, filled(form, name=f"{name}, renamed") | {"do": "back"}))
    names = [member.post(back.context["schedule_url"], sent).context["form"]["name"].value() for back in backs]
    assert names == ["first, renamed", "second, renamed"]
    for _ in range(views.DRAFTS_KEPT):
        member.post(edit, filled(member.get(edit).context["form"]) | {"do": "back"})
    assert len(member.session[views._DRAFTS]) == views.DRAFTS_KEPT
    # One from long ago begins with what is stored.
    assert member.post(backs[1].context["schedule_url"], sent).context["form"]["name"].value() == stored.name


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


def test_who_was_overtaken_in_another_window_is_told_loses_nothing_and_may_save_after_it(member, make, sent):
    schedule = make()
    edit = reverse("edit-schedule", args=[schedule.pk])
    first, second = (member.get(edit).context["form"] for _ in "ab")
    services.pause(schedule.owner, schedule=schedule)
    assert member.post(edit, filled(first, name="first")).status_code == 302
    # Round by the Send Command form, too: what was looked at stays the base.
    back = member.post(edit, filled(second, name="second") | {"do": "back"})
    second = member.post(back.context["schedule_url"], sent | {"command": "id"}).context["form"]
    refused = member.post(edit, filled(second))
    assert refused.status_code == 422
    assert "changed meanwhile, in another window. Nothing was saved." in told(refused)
    schedule.refresh_from_db()
    assert (schedule.name, schedule.values["command"]) == ("first", ["uptime"])
    assert refused.context["form"]["name"].value() == "second"
    assert member.post(edit, filled(refused.context["form"], base=refused.context["base"])).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.name, schedule.values["command"]) == ("second", ["id"])


def test_nobody_changes_the_schedule_of_somebody_else(client, make):
    schedule = make()
    client.force_login(factories.UserFactory(role=Role.ADMINISTRATOR))
    for refused in (
        client.get(reverse("edit-schedule", args=[schedule.pk])),
        client.post(reverse("run-schedule", args=[schedule.pk])),
    ):
        assert refused.status_code == 403
        assert "acts as its owner: nobody else can change it or start it." in told(refused)
    client.force_login(factories.UserFactory(role=Role.OPERATOR))
    assert client.get(reverse("schedule", args=[schedule.pk])).status_code == 404
