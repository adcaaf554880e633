"""The Send Command form with sessions, the page of such a run, sending it again, and finding it."""

import re

import pytest
from django.urls import reverse

from console.runs.models import Run
from console.runs.presentation import run_view
from console.sessions.models import Session, State
from instances.access.models import Role
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory, saved_command, session
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


@pytest.fixture
def two(operator):
    return [session(InstanceFactory(name=f"web-0{n}"), operator, name=f"deploy-{n}") for n in (1, 2)]


def ids_of(*sessions):
    return ",".join(str(one.pk) for one in sessions)


def post(client, sessions, **fields):
    return client.post("/send/", {"command": "true", "command_type": "shell", "sessions": ids_of(*sessions), **fields})


def switched_off(page):
    """The names of the fields that are in the page and are not sent."""
    parts = re.findall(r'<fieldset class="through" hidden disabled>(.*?)\n\s*</fieldset>\n', page, re.DOTALL)
    return set(re.findall(r'name="(\w+)"', "".join(parts)))


# ------------------------------------------------------------------ the form


def test_the_form_shows_exactly_the_chosen_sessions(client, two):
    page = client.get(f"/send/?sessions={ids_of(*reversed(two))}").content.decode()
    assert re.findall(r"<li><b>(\S+)</b> on (\S+)", page) == [("deploy-2", "web-02"), ("deploy-1", "web-01")]
    assert f'name="sessions" value="{ids_of(*reversed(two))}"' in page
    assert "Run in 2 sessions" in page


def test_a_number_that_is_nobodys_is_passed_over(client, two):
    assert "Run in 1 session<" in client.get(f"/send/?sessions={ids_of(two[0])},{10**30}").content.decode()
    assert client.get(f"/send/?ids={10**30}").status_code == 200


def test_what_makes_no_sense_there_is_not_sent_along(client, two):
    off = switched_off(client.get(f"/send/?sessions={ids_of(*two)}").content.decode())
    assert off >= {"interpreter", "working_directory", "run_as", "dry_run", "first", "batch_size", "address", "names"}
    assert not off & {"command", "environment", "secret_environment", "arguments", "timeout_s", "stop_at_cap"}
    assert not switched_off(client.get("/send/").content.decode())


def test_the_form_says_who_gets_nothing_and_who_is_gone(client, operator, two):
    Session.objects.filter(pk=two[0].pk).update(state=State.CLOSED, message="Closed by root.")
    strange = session(InstanceFactory(), UserFactory(role=Role.OPERATOR), name="hidden")
    page = client.get(f"/send/?sessions={ids_of(*two, strange)}").content.decode()
    assert "will be skipped: The session deploy-1 has ended. Closed by root." in page
    assert "1 of the chosen sessions is not there any more" in page
    assert "hidden" not in re.findall(r"<b>(\S+)</b> on", page)


def test_sessions_of_two_types_say_so(client, operator, two):
    windows = session(InstanceFactory(os="windows"), operator, command_type="powershell")
    page = client.get(f"/send/?sessions={ids_of(*two, windows)}").content.decode()
    assert "They take different command types" in page
    alone = client.get(f"/send/?sessions={windows.pk}").content.decode()
    assert re.findall(r'name="command_type" value="(\w+)" (checked)?', alone) == [("powershell", "checked")]


def test_a_saved_command_is_filled_in_and_the_sessions_stay(client, two):
    saved = saved_command(name="uptime", text="uptime -p")
    page = client.get(f"/send/?sessions={ids_of(*two)}&saved={saved.pk}").content.decode()
    assert "uptime -p" in page
    assert "Run in 2 sessions" in page


def test_what_a_saved_command_asks_for_and_does_not_get_is_said(client, two):
    saved = saved_command(name="facts", text="print(1)")
    saved.latest.options = {"interpreter": "/usr/bin/python3", "run_as": "root"}
    saved.latest.save()
    page = client.get(f"/send/?sessions={ids_of(*two)}&saved={saved.pk}").content.decode()
    assert "The saved command asks for interpreter /usr/bin/python3, run as root: not used in a session." in page
    refused = post(client, two, command="print(1)", saved_version=saved.latest.pk)
    assert "facts is for /usr/bin/python3, a session is a shell." in refused.content.decode()
    assert post(client, two, command="python3 -c 1", saved_version=saved.latest.pk).status_code == 302


def test_powershell_sessions_get_the_text_for_windows(client, operator):
    windows = session(InstanceFactory(os="windows"), operator, command_type="powershell")
    saved = saved_command(name="both", text="uptime -p")
    saved.latest.windows_type, saved.latest.windows_text = "powershell", "Get-Uptime"
    saved.latest.save()
    page = client.get(f"/send/?sessions={windows.pk}&saved={saved.pk}").content.decode()
    assert re.search(r'name="command"[^>]*>\s*Get-Uptime', page)
    assert re.findall(r'name="command_type" value="(\w+)" (checked)?', page) == [("powershell", "checked")]


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({"windows_type": "bat", "windows_text": "ver"}, "and would be read as PowerShell here. Bat is not offered"),
        ({"text": "ver"}, "old is Shell, and would be read as PowerShell here."),
        ({"text": "ver", "windows_type": "powershell", "windows_text": "ver"}, ""),
    ],
    ids=["bat", "shell", "both"],
)
def test_a_saved_command_is_not_read_as_what_it_is_not(kept, why, client, operator):
    windows = session(InstanceFactory(os="windows"), operator, command_type="powershell")
    saved = saved_command(name="old", text="")
    for name, value in kept.items():
        setattr(saved.latest, name, value)
    saved.latest.save()
    done = post(client, [windows], command="ver", command_type="powershell", saved_version=saved.latest.pk)
    assert (done.status_code, Run.objects.count()) == ((422, 0) if why else (302, 1))
    assert why in done.content.decode()


def test_it_is_sent_to_the_sessions(client, two):
    done = post(client, two, environment="A=1", timeout_s="5", request_key="once")
    run = Run.objects.get()
    assert done.url == reverse("run", args=[run.pk])
    assert list(run.invocations.values_list("session", flat=True)) == [one.pk for one in two]
    assert (run.environment, run.timeout_s) == ([["A", "1"]], 5)
    assert post(client, two, request_key="once").url == done.url


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"interpreter": "bash"}, "Interpreter is not offered in a session"),
        ({"first": "1"}, "First ones, batches"),
        ({"command": " "}, "Enter a command."),
        ({"command_type": "bat"}, "Bat is not offered in a session: it takes Shell or PowerShell."),
    ],
    ids=["interpreter", "rollout", "empty", "bat"],
)
def test_what_is_refused_is_said_and_nothing_is_lost(fields, why, client, two):
    refused = post(client, two, environment="A=1", **fields)
    page = refused.content.decode()
    assert refused.status_code == 422
    assert why in page
    assert f'name="sessions" value="{ids_of(*two)}"' in page
    assert "A=1" in page
    assert not Run.objects.exists()


def test_one_that_is_not_there_any_more_stops_the_form_and_leaves_the_others(client, two):
    gone, left = two
    ids = ids_of(*two)
    gone.delete()
    refused = client.post("/send/", {"command": "true", "command_type": "shell", "sessions": ids})
    assert refused.status_code == 422
    assert "One of the sessions is not there any more." in refused.content.decode()
    assert f'name="sessions" value="{left.pk}"' in refused.content.decode()


def test_a_group_that_asks_first_wants_the_number_of_sessions(client, operator):
    asking = session(InstanceFactory(group=GroupFactory(name="prod", asks_first=True)), operator)
    assert "This goes to 1 session, some of group prod" in client.get(f"/send/?sessions={asking.pk}").content.decode()
    assert post(client, [asking]).status_code == 422
    assert post(client, [asking], confirmed_count="1").status_code == 302


def test_sessions_are_not_scheduled(client, two):
    fields = {"command": "true", "command_type": "shell", "sessions": ids_of(*two)}
    refused = client.post("/schedules/add/", fields)
    assert refused.status_code == 422
    assert "A session is not kept until then" in refused.content.decode()


# ------------------------------------------------------------------ the run's page, and again


def test_the_page_of_a_run_names_the_sessions_and_what_waits(client, operator, two, django_assert_max_num_queries):
    post(client, two)
    run = Run.objects.get()
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "2 chosen sessions" in page
    assert 'title="Session deploy-2">deploy-2</span>' in page
    assert "waits for the session" in page
    assert "It waits for the session deploy-1, which runs one command at a time." in page
    with django_assert_max_num_queries(8):
        assert [row.session.name for row in run_view(operator, run).rows] == ["deploy-1", "deploy-2"]


def test_a_run_on_instances_says_nothing_of_sessions(client, operator):
    page = client.get(f"/runs/{send(2, actor=operator).pk}/").content.decode()
    assert "waits for the session" not in page


@pytest.mark.parametrize(
    ("which", "expected"), [("all", [0, 1]), ("failed", [1]), ("lost", [])], ids=["all", "failed", "none"]
)
def test_run_again_goes_to_the_same_sessions(which, expected, client, two):
    post(client, two, command="echo again", run_as="")
    run = Run.objects.get()
    run.invocations.filter(ordinal=1).update(status="failed")
    page = client.get(f"/send/?again={run.pk}&which={which}").content.decode()
    assert re.findall(r"<li><b>(\S+)</b> on", page) == [two[n].name for n in expected]
    assert "echo again" in page


def test_ticked_rows_go_to_their_sessions(client, two):
    post(client, two)
    page = client.post(f"/runs/{Run.objects.get().pk}/again/", {"row": ["1"]}).content.decode()
    assert re.findall(r"<li><b>(\S+)</b> on", page) == ["deploy-2"]


def test_run_again_says_which_sessions_are_gone(client, two):
    post(client, two)
    two[0].delete()
    Session.objects.update(state=State.CLOSED, message="Closed by root.")
    page = client.get(f"/send/?again={Run.objects.get().pk}&which=all").content.decode()
    assert "1 of the chosen sessions is not there any more" in page
    assert "deploy-2 has ended. Closed by root." in page
    assert f'href="/sessions/open/?ids={two[1].instance_id}"' in page


# ------------------------------------------------------------------ the history


def test_the_history_finds_the_runs_of_a_session(client, operator, two):
    post(client, two[:1])
    post(client, two)
    send(1, actor=operator)
    first, both = Run.objects.order_by("pk")[:2]

    def found(text):
        page = client.get(f"/runs/?session={text}").content.decode()
        return [int(pk) for pk in re.findall(r'<th scope="row"><a href="/runs/(\d+)/"', page)]

    assert found(two[0].pk) == [both.pk, first.pk]
    assert found("DEPLOY-2") == [both.pk]
    assert found("nothing") == []
    client.force_login(UserFactory(role=Role.OPERATOR))
    assert found(two[0].pk) == []
