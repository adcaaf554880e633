"""The pages about many sessions: what is listed, opened, closed, and led to Send Command."""

import re
import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from console.sessions import listing
from console.sessions.models import Session, State
from instances.access.models import Role
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory, session

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def names_in(response):
    return re.findall(r'class="pick-session"[^>]* aria-label="Choose (\S+) on', response.content.decode())


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


# ------------------------------------------------------------------ the list


def test_the_list_has_what_one_has_open_newest_first(client, operator):
    first, second = session(InstanceFactory(name="web-01"), operator), session(InstanceFactory(name="web-02"), operator)
    session(InstanceFactory(name="gone"), operator, state=State.CLOSED, message="Closed by root.")
    session(InstanceFactory(name="others"), UserFactory(role=Role.OPERATOR))
    page = client.get("/sessions/")
    assert names_in(page) == [second.name, first.name]
    assert b'hx-trigger="every 3s"' in page.content
    assert b"Everybody" not in page.content


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("show=ended", []),
        ("kind=terminal", ["term"]),
        ("kind=shell", ["web-02", "web-01"]),
        ("instance=WEB-02", ["web-02"]),
        ("whose=all", ["term", "web-02", "web-01"]),
        ("kind=nonsense&show=other", ["term", "web-02", "web-01"]),
    ],
    ids=["ended", "terminals", "shells", "instance", "all_of_an_operator", "nonsense"],
)
def test_the_list_is_filtered(query, expected, client, operator):
    for name, kind in (("web-01", "shell"), ("web-02", "shell"), ("term", "terminal")):
        session(InstanceFactory(name=name), operator, kind=kind)
    session(InstanceFactory(name="others"), UserFactory(role=Role.OPERATOR))
    assert names_in(client.get(f"/sessions/?{query}")) == expected


def test_what_has_ended_says_how(client, operator):
    session(InstanceFactory(name="gone"), operator, state=State.BROKEN, message="The connection broke.")
    page = client.get("/sessions/?show=ended").content.decode()
    assert "The connection broke." in page
    assert "every 3s" not in page


def test_what_ended_lately_is_told_below_what_is_open(client, operator):
    now = timezone.now()
    old = {
        "state": State.CLOSED,
        "message": "Closed by root.",
        "closed_at": now - listing.LATELY - timedelta(seconds=9),
    }
    session(InstanceFactory(name="long-ago"), operator, **old)
    refused = {
        "state": State.BROKEN,
        "reason": "auth_failed",
        "message": "It refused the user name.",
        "opened_at": None,
    }
    session(InstanceFactory(name="refused"), operator, closed_at=now, **refused)
    page = client.get("/sessions/").content.decode()
    assert names_in(client.get("/sessions/")) == []
    assert "It refused the user name." in page
    assert ">never<" in page
    assert "long-ago" not in page
    assert "refused" not in client.get("/sessions/?instance=other").content.decode()


def test_a_host_key_to_review_is_a_step_away(client):
    client.force_login(administrator := UserFactory(role=Role.ADMINISTRATOR))
    session(InstanceFactory(), administrator, state=State.BROKEN, reason="host_key_unknown", closed_at=timezone.now())
    assert "Review its host key" in client.get("/sessions/").content.decode()


def test_who_manages_sessions_sees_everybodys_of_the_group(client):
    group = GroupFactory()
    client.force_login(UserFactory(role=Role.ADMINISTRATOR, role_group=group))
    owner = UserFactory(role=Role.OPERATOR, username="somebody")
    session(InstanceFactory(name="inside", group=group), owner)
    session(InstanceFactory(name="outside"), owner)
    assert names_in(client.get("/sessions/")) == []
    page = client.get("/sessions/?whose=all")
    assert names_in(page) == ["inside"]
    assert b"somebody" in page.content


def test_pages_hold_fifty_and_ask_the_database_as_often_as_for_one(client, operator, django_assert_max_num_queries):
    for _ in range(51):
        session(InstanceFactory(), operator)
    with django_assert_max_num_queries(14):
        page = client.get("/sessions/")
    assert len(names_in(page)) == 50
    assert len(names_in(client.get("/sessions/?page=2"))) == 1


def test_an_empty_list_says_how_to_open_one(client, operator):
    assert b"Nothing is open" in client.get("/sessions/").content
    assert b"No session fits" in client.get("/sessions/?instance=x").content


def test_the_page_of_an_instance_has_its_own(client, operator):
    here, elsewhere = InstanceFactory(name="here"), InstanceFactory(name="elsewhere")
    for instance in (here, elsewhere):
        session(instance, operator)
    session(here, operator, state=State.CLOSED, message="Closed by root.")
    page = client.get(f"/instances/{here.pk}/sessions/")
    assert names_in(page) == ["here"]
    state = re.search(r'<td class="sessions__state">(.*?)</td>', page.content.decode().partition("Ended")[2], re.DOTALL)
    assert re.sub(r"<[^>]+>|\s+", " ", state[1]).split() == ["Closed", "by", "root."]


# ------------------------------------------------------------------ opening


def test_the_form_says_what_would_be_opened_and_what_not(client, operator):
    usual, disabled, windows = InstanceFactory(), InstanceFactory(is_disabled=True), InstanceFactory(os="windows")
    page = client.post("/sessions/open/", {"ids": f"{usual.pk},{disabled.pk},{windows.pk}"}).content.decode()
    assert "Open on 2 instances" in page
    assert f"<b>{disabled.name}</b>: It is disabled." in page
    assert "1 of them runs Windows" in page
    assert "PowerShell; Bat is not offered in sessions." in page
    assert "You have 0 of 50 sessions and terminals open; each instance takes 20." in page
    assert "It runs Windows" in client.get(f"/sessions/open/?ids={windows.pk}").content.decode()
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    ("lacking", "having", "said"),
    [
        (1, 0, "It has no credential, and opening a session asks for no password: enter a credential first."),
        (2, 0, "They have no credential"),
        (1, 1, "1 of them (lacks-0) has no credential"),
        (6, 1, "6 of them (lacks-0, lacks-1, lacks-2, lacks-3, lacks-4, …) have no credential"),
        (0, 1, ""),
    ],
    ids=["one", "all", "one_of_two", "many", "none"],
)
def test_who_has_no_credential_is_told_beforehand(lacking, having, said, client, operator):
    rows = [InstanceFactory(name=f"lacks-{number}", credential=None) for number in range(lacking)]
    rows += [InstanceFactory(name="has", credential=CredentialFactory()) for _ in range(having)]
    page = client.get("/sessions/open/", {"ids": ",".join(str(row.pk) for row in rows)}).content.decode()
    assert said in page
    assert ("no credential" in page) is bool(said)


def test_one_is_opened_on_each_and_who_is_left_out_is_told(client, operator):
    usual, disabled, windows = InstanceFactory(), InstanceFactory(is_disabled=True), InstanceFactory(os="windows")
    wish = {
        "ids": f"{usual.pk},{disabled.pk},{windows.pk}",
        "do": "press",
        "name": "deploy",
        "interpreter": "bash",
        "working_directory": "/srv",
        "request_key": "once",
    }
    done = client.post("/sessions/open/", wish)
    assert (done.status_code, done.url) == (302, reverse("sessions"))
    assert told(done) == ["Opening 2 sessions.", f"Left out: {disabled.name}: It is disabled."]
    rows = Session.objects.order_by("pk").values_list("instance", "name", "interpreter", "working_directory")
    assert set(rows) == {(usual.pk, "deploy", "bash", "/srv"), (windows.pk, "deploy", "", "/srv")}
    client.post("/sessions/open/", wish)
    assert len(rows) == Session.objects.count()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ids": ""}, "Select instances"),
        ({"interpreter": "fish"}, "Select a valid choice"),
        ({"working_directory": "/a\n/b"}, "A working directory is one line"),
        ({"name": "x" * 81}, "at most 80 characters"),
    ],
    ids=["nothing", "interpreter", "directory", "name"],
)
def test_what_cannot_be_opened_is_said_beside_the_field(change, why, client, operator):
    wish = {"ids": str(InstanceFactory().pk), "do": "press", "name": "kept"} | change
    refused = client.post("/sessions/open/", wish)
    assert refused.status_code == 422
    assert why in refused.content.decode()
    assert not Session.objects.exists()


def test_more_than_the_limit_is_refused_with_the_numbers(client, operator, settings):
    settings.ENV = settings.ENV.__class__(**{**vars(settings.ENV), "sessions_per_user": 1})
    ids = ",".join(str(InstanceFactory().pk) for _ in range(2))
    refused = client.post("/sessions/open/", {"ids": ids, "do": "press"})
    assert "You have 0 of 1 sessions and terminals open; 2 more are too many." in refused.content.decode()


# ------------------------------------------------------------------ closing, sending


def test_the_chosen_ones_are_closed(client, operator):
    first, second = (session(InstanceFactory(), operator, worker=uuid.uuid4()) for _ in range(2))
    strange = session(InstanceFactory(), UserFactory(role=Role.OPERATOR))
    done = client.post("/sessions/close/", {"session": [first.pk, strange.pk, "x"], "next": "/sessions/?kind=shell"})
    assert done.url == "/sessions/?kind=shell"
    assert told(done) == ["1 session is being closed."]
    assert list(Session.objects.exclude(close_requested_at=None)) == [first]
    assert told(client.post("/sessions/close/")) == [
        "1 session is being closed.",
        "Nothing was closed: choose what is open.",
    ]
    assert second.is_live


def test_a_list_that_is_drawn_anew_by_itself_takes_no_message_away(client, operator):
    """It asks every three seconds, also while it is pressed and the page that follows is still on its way."""
    closed = session(InstanceFactory(), operator, worker=uuid.uuid4())
    said = "1 session is being closed."

    def asked_for(*target):
        headers = {"HX-Request": "true", "HX-Target": target[0]} if target else {}
        client.post("/sessions/close/", {"session": [closed.pk]})
        Session.objects.update(close_requested_at=None)
        client.get("/sessions/", headers={"HX-Request": "true", "HX-Target": "div#sessions"})
        return client.get("/sessions/", headers=headers).content.decode()

    assert said in asked_for()
    # As the links above and Back do.
    assert said in asked_for("main#main")
    assert said not in asked_for("div#sessions")


def test_the_chosen_ones_lead_to_send_command(client, operator):
    shell, terminal = session(InstanceFactory(), operator), session(InstanceFactory(), operator, kind="terminal")
    strange = session(InstanceFactory(), UserFactory(role=Role.OPERATOR))
    led = client.post("/sessions/send/", {"session": [shell.pk, terminal.pk, strange.pk]})
    parts = urlsplit(led.url)
    assert (parts.path, parse_qs(parts.query)) == (reverse("send"), {"sessions": [str(shell.pk)]})
    # The dialog asks first, and then the page.
    for headers in ({"HX-Request": "true", "HX-Target": "dialog#send-over"}, {}):
        assert client.post("/sessions/send/", {"session": [terminal.pk]}, headers=headers).url == reverse("sessions")
    assert client.get("/sessions/").content.decode().count("Choose sessions to send to.") == 1
