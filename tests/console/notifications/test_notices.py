"""Destinations, what is told about an ended run, and what becomes of a notice that does not arrive."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import json
import uuid

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from console.notifications import services
from console.notifications.models import Destination, Notice, NoticeState
from console.notifications.sending import NotSent, send, signing_secret
from console.runs import queue
from console.runs.ended import tell_ended_runs
from console.runs.models import NotifyState, Run
from instances.access.models import Role
from tests.support import factories, runs
from tests.support.receiver import posts_received

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    user = factories.UserFactory(role=Role.ADMINISTRATOR)
    client.force_login(user)
    return user


@pytest.fixture
def with_mail(settings):
    settings.ENV = dataclasses.replace(settings.ENV, email_url="smtp://mail.example")


def ended_run(*destinations, when="end", statuses=("succeeded",)):
    instances = [factories.InstanceFactory(name=f"web-{uuid.uuid4().hex[:6]}") for _ in statuses]
    to = tuple(one.pk for one in destinations)
    run = runs.send(instances=instances, command="nginx -t", notify_to=to, notify_when=when)
    for row, status in zip(run.invocations.all(), statuses, strict=True):
        row.status, row.message = status, "exit status 3" if status == "failed" else ""
        row.save()
    queue.refresh_counts(run)
    return Run.objects.get(pk=run.pk)


# ------------------------------------------------------------------ who is told, and once


def test_a_run_that_has_ended_is_told_about_once():
    hook = factories.webhook("chat", "https://chat.example/hook")
    run = ended_run(hook, statuses=("succeeded", "failed"))
    assert tell_ended_runs() == 1
    assert tell_ended_runs() == 0
    notice = Notice.objects.get()
    assert (notice.run, notice.destination, notice.to) == (run, hook, "chat.example")
    assert notice.subject == f"Run {run.pk} succeeded in part (1 succeeded · 1 failed): nginx -t"
    assert "failed. exit status 3" in notice.text
    data = notice.payload["data"]
    assert (notice.payload["type"], data["run"], data["counts"]) == ("run.ended", run.pk, {"succeeded": 1, "failed": 1})
    assert data["not_succeeded"][0]["status"] == "failed"
    assert data["url"].endswith(f"/runs/{run.pk}/")


@pytest.mark.parametrize(("statuses", "is_told"), [(("succeeded",), False), (("succeeded", "lost"), True)])
def test_only_failures(statuses, is_told):
    run = ended_run(factories.webhook("chat", "https://chat.example"), when="failures", statuses=statuses)
    tell_ended_runs()
    assert Notice.objects.exists() is is_told
    assert Run.objects.get(pk=run.pk).notify_state == NotifyState.DONE


def test_a_run_that_goes_on_and_a_destination_that_is_disabled_are_not_told():
    off = factories.webhook("off", "https://chat.example", is_disabled=True)
    runs.send(notify_to=(factories.webhook("on", "https://chat.example").pk,))
    ended_run(off)
    tell_ended_runs()
    assert not Notice.objects.exists()


def test_the_form_offers_destinations_and_run_again_remembers_them(client, admin):
    hook = factories.webhook("chat", "https://chat.example")
    given = {"ids": factories.InstanceFactory().pk, "command": "id", "command_type": "shell"}
    client.post(reverse("send"), given | {"notify_to": [hook.pk], "notify_when": "failures"})
    run = Run.objects.get()
    assert (run.notify_to, run.notify_when, run.notify_state) == ([hook.pk], "failures", "wanted")
    form = client.get(reverse("send"), {"again": run.pk}).context["form"]
    assert (form["notify_to"].value(), form["notify_when"].value()) == ([hook.pk], "failures")
    page = " ".join(client.get(reverse("run", args=[run.pk])).content.decode().split())
    assert "1 destination told at the end unless all succeed." in page


def test_a_destination_that_does_not_exist_is_refused_beside_the_field(client, admin):
    given = {"ids": factories.InstanceFactory().pk, "command": "id", "command_type": "shell", "notify_to": ["77"]}
    factories.webhook("chat", "https://chat.example")
    answer = client.post(reverse("send"), given)
    assert answer.status_code == 422
    assert answer.context["form"].errors["notify_to"]
    assert not Run.objects.exists()


# ------------------------------------------------------------------ sending


def notice_to(destination):
    (notice,) = services.tell([destination], services.Told("subject\nline", "text", {"type": "test"}), run_id=None)
    return notice


def test_a_webhook_is_signed_as_its_receiver_can_check():
    with posts_received() as posts:
        hook = factories.webhook("chat", posts.url)
        notice = notice_to(hook)
        assert send(notice, denied_networks=()) == "204"
        headers, body = posts.got[0]
    raw = base64.b64decode(signing_secret(hook).removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{right}"
    assert headers["webhook-id"] == str(notice.key)
    assert json.loads(body) == {"type": "test"}


def test_another_secret_signs_otherwise(admin):
    hook = factories.webhook("chat", "https://chat.example")
    before = signing_secret(hook)
    services.new_secret(admin, destination=hook)
    assert signing_secret(Destination.objects.get()) != before


@pytest.mark.parametrize(
    ("status", "is_final", "said"),
    [(500, False, "500 out of order"), (404, False, "404"), (410, True, "410"), (307, False, "307")],
)
def test_what_is_no_success_did_not_arrive(status, is_final, said):
    with posts_received() as posts:
        posts.statuses = [status]
        with pytest.raises(NotSent, match=said) as caught:
            send(notice_to(factories.webhook("chat", posts.url)), denied_networks=())
        assert len(posts.got) == 1
    assert caught.value.is_final is is_final


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"])
def test_a_network_that_is_denied_is_not_connected_to(host):
    with posts_received() as posts:
        hook = factories.webhook("inside", posts.url.replace("127.0.0.1", host))
        with pytest.raises(NotSent, match=r"never connects to .*, or its own machine") as caught:
            send(notice_to(hook), denied_networks=("127.0.0.0/8", "::1/128"))
        assert posts.got == []
    # Waiting would not help.
    assert caught.value.is_final


def test_nothing_listening_is_said_in_few_words():
    hook = factories.webhook("gone", "http://127.0.0.1:9/")
    with pytest.raises(NotSent, match=r"could not be delivered: .*refused"):
        send(notice_to(hook), denied_networks=())


def test_an_e_mail_goes_to_all_its_addresses_and_a_line_end_makes_no_header(with_mail):
    box = Destination.objects.create(name="ops", kind="email", addresses=["a@example.org", "b@example.org"])
    send(notice_to(box), denied_networks=())
    (sent,) = mail.outbox
    assert sent.to == ["a@example.org", "b@example.org"]
    assert sent.subject == "subject line"


def test_without_a_mail_server_an_e_mail_is_given_up():
    box = Destination.objects.create(name="ops", kind="email", addresses=["a@example.org"])
    with pytest.raises(NotSent, match="MUSTER_EMAIL_URL") as caught:
        send(notice_to(box), denied_networks=())
    assert caught.value.is_final


# ------------------------------------------------------------------ again and again, then no more


def test_it_is_tried_again_later_and_given_up_in_the_end():
    notice = notice_to(factories.webhook("chat", "https://chat.example"))
    for wait_s in services.WAITS_S:
        wait, before = datetime.timedelta(seconds=wait_s), timezone.now()
        services.note_not_sent(notice.key, "503", is_final=False)
        assert before + wait <= Notice.objects.get(state=NoticeState.WAITING).due_at <= timezone.now() + wait
    services.note_not_sent(notice.key, "503", is_final=False)
    assert Notice.objects.get().state != NoticeState.WAITING
    assert (Notice.objects.get().attempts, Notice.objects.get().answer) == (7, "503")


def test_one_worker_takes_a_notice_and_another_only_when_the_first_died(transactional_db):
    notice_to(factories.webhook("chat", "https://chat.example"))
    assert len(services.claim_due(10)) == 1
    assert services.claim_due(10) == []
    Notice.objects.update(due_at=timezone.now() - datetime.timedelta(seconds=1))
    assert len(services.claim_due(10)) == 1


def test_of_a_notice_that_is_removed_while_it_is_on_its_way_nothing_is_written():
    """With its run, or as the oldest of many tests. An error there would end the worker, with all that it runs."""
    notice = notice_to(factories.webhook("chat", "https://chat.example"))
    Notice.objects.all().delete()
    services.note_sent(notice.key, "204")
    services.note_not_sent(notice.key, "503", is_final=False)
    assert not Notice.objects.exists()


def test_what_was_given_up_can_be_tried_again_what_arrived_cannot(client, admin):
    notice = notice_to(factories.webhook("chat", "https://chat.example"))
    services.note_not_sent(notice.key, "410", is_final=True)
    client.post(reverse("try-notice-again", args=[notice.pk]))
    assert Notice.objects.get().state == NoticeState.WAITING
    services.note_sent(notice.key, "204")
    client.post(reverse("try-notice-again", args=[notice.pk]))
    assert Notice.objects.get().state == NoticeState.SENT


def test_a_deleted_destination_is_not_told_any_more(admin):
    hook = factories.webhook("chat", "https://chat.example")
    notice = notice_to(hook)
    services.delete_destination(admin, destination=hook)
    with pytest.raises(NotSent, match="deleted") as caught:
        send(Notice.objects.get(pk=notice.pk), denied_networks=())
    assert caught.value.is_final


# ------------------------------------------------------------------ the pages


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "Enter an address"),
        ("ftp://x.example", "Enter an address"),
        ("https://", "Enter an address"),
        ("https://x.example/a b", "Enter an address"),
        ("https://x.example:99999/", "Enter an address"),
        ("https://user:pw@x.example/", "Leave the user name"),
    ],
    ids=["empty", "ftp", "no-host", "space", "port", "password"],
)
def test_an_address_that_cannot_be_posted_to_is_refused_beside_the_field(client, admin, url, said):
    answer = client.post(reverse("add-destination"), {"name": "chat", "kind": "webhook", "url": url})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors["url"])
    assert not Destination.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"), [("", "at least one"), ("a@example.org\nno address", "no address is not")], ids=["none", "wrong"]
)
def test_wrong_e_mail_addresses_are_named(client, admin, with_mail, text, said):
    answer = client.post(reverse("add-destination"), {"name": "ops", "kind": "email", "addresses": text})
    assert said in str(answer.context["form"].errors["addresses"])


def test_without_a_mail_server_the_form_says_so(client, admin):
    answer = client.post(reverse("add-destination"), {"name": "o", "kind": "email", "addresses": "a@example.org"})
    assert "MUSTER_EMAIL_URL" in str(answer.context["form"].errors["addresses"])


def test_a_name_is_taken_once(client, admin):
    factories.webhook("chat", "https://chat.example")
    answer = client.post(reverse("add-destination"), {"name": "chat", "kind": "webhook", "url": "https://x.example"})
    assert "already" in str(answer.context["form"].errors["name"])


def test_who_was_overtaken_is_told_loses_nothing_and_may_save_after_it(client, admin):
    hook = factories.webhook("chat", "https://chat.example")
    page = reverse("destination", args=[hook.pk])
    base = client.get(page).context["base"]
    services.new_secret(admin, destination=hook)
    assert client.post(page, {"name": "first", "url": hook.url, "base": base}).status_code == 302
    mine = {"name": "second", "url": "https://chat.example/second"}
    refused = client.post(page, mine | {"base": base})
    assert refused.status_code == 422
    assert "changed meanwhile" in refused.content.decode()
    assert Destination.objects.get().name == "first"
    assert refused.context["form"]["url"].value() == mine["url"]
    assert client.post(page, mine | {"base": refused.context["base"]}).status_code == 302
    assert (Destination.objects.get().name, Destination.objects.get().secret_number) == ("second", 2)


def test_the_log_shows_the_server_but_not_the_token(client, admin):
    notice_to(factories.webhook("chat", "https://chat.example/hook/very-secret-token"))
    page = client.get(reverse("notices")).content.decode()
    assert "chat.example" in page
    assert "very-secret-token" not in page
    assert "chat" not in client.get(reverse("notices"), {"state": "sent"}).content.decode().split("<main")[1]


def test_the_test_says_what_it_is_and_few_are_kept(client, admin, monkeypatch):
    monkeypatch.setattr(services, "TESTS_KEPT", 2)
    hook = factories.webhook("chat", "https://chat.example")
    for _ in range(4):
        client.post(reverse("test-destination", args=[hook.pk]))
    assert Notice.objects.count() == 2
    assert Notice.objects.first().payload["type"] == "test"
