from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.recordings import reading
from console.recordings.models import Recording
from console.sessions.models import Session
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(client):
    user = factories.UserFactory()
    client.force_login(user)
    return user


@pytest.fixture
def recording(administrator):
    return factories.recording(factories.InstanceFactory(name="web 1"), administrator, b"one <b>\r\n", b"two\r\n")


def page(client, query=""):
    return " ".join(client.get(reverse("recordings") + query).content.decode().split())


def body(answer):
    return b"".join(answer.streaming_content)


def test_the_list_is_filtered(client, administrator):
    other = factories.UserFactory(username="bob")
    factories.recording(factories.InstanceFactory(name="web-1"), administrator, b"x")
    long_ago = timezone.now() - timedelta(days=40)
    factories.recording(factories.InstanceFactory(name="db-1"), other, b"x", started_at=long_ago)
    factories.recording(factories.InstanceFactory(name="mail-1"), other, b"x", is_live=True)

    def shown(query=""):
        text = page(client, query)
        return [name for name in ("web-1", "db-1", "mail-1") if f"{name}<span" in text]

    assert shown() == ["web-1", "db-1", "mail-1"]
    assert "still recording" in page(client)
    assert shown("?instance=WEB") == ["web-1"]
    assert shown("?owner=bob") == ["db-1", "mail-1"]
    day = (timezone.now() - timedelta(days=30)).date()
    assert shown(f"?since={day}") == ["web-1", "mail-1"]
    assert shown(f"?until={day}") == ["db-1"]
    assert shown("?since=0001-01-01&until=9999-12-31") == ["web-1", "db-1", "mail-1"]
    assert "From: Enter a valid date." in page(client, "?since=never")
    assert "No recording fits these filters" in page(client, "?instance=nowhere")


def test_the_list_has_pages(client, administrator):
    instance = factories.InstanceFactory(name="web-1")
    for _ in range(51):
        factories.recording(instance, administrator)
    assert "50 of 51" in page(client, "?instance=web")
    assert "instance=web&amp;page=2" in page(client, "?instance=web")


def test_a_player_gets_the_file_whole_or_a_range_of_it(client, recording):
    address = reverse("recording-cast", args=[recording.pk])
    file = b"".join(reading.pieces(recording))
    answer = client.get(address)
    assert (answer.status_code, body(answer), answer["Content-Type"]) == (200, file, "application/x-asciicast")
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, body(part)) == (206, file[10:20])
    assert part["Content-Range"] == f"bytes 10-19/{len(file)}"
    assert client.get(address, headers={"Range": f"bytes={len(file)}-"}).status_code == 416
    # All of that was one look.
    assert AuditEntry.objects.filter(action="watch_recording").count() == 1


def test_one_that_is_removed_while_it_is_sent_is_broken_off(client, recording):
    """Its length was told: an answer that is over early is waited for."""
    answer = client.get(reverse("recording-cast", args=[recording.pk]))
    Recording.objects.all().delete()
    with pytest.raises(Recording.DoesNotExist):
        body(answer)


def test_a_download_has_a_name(client, recording):
    answer = client.get(reverse("download-recording", args=[recording.pk]))
    assert answer["Content-Disposition"] == f'attachment; filename="web_1-{recording.started_at:%Y%m%d-%H%M%S}.cast"'
    assert body(answer).startswith(b'{"version":2')
    assert AuditEntry.objects.get(action="watch_recording").details["how"] == "downloaded"


def test_an_ended_terminal_leads_to_its_recording(client, recording):
    Session.objects.update(state="closed", is_recorded=True)
    link = f'href="{reverse("recording", args=[recording.pk])}"'
    assert link in client.get(reverse("sessions"), {"show": "ended"}).content.decode()
    assert link in client.get(reverse("terminal", args=[recording.session_id])).content.decode()
    recording.delete()
    assert "Recording<" not in client.get(reverse("sessions"), {"show": "ended"}).content.decode()


def test_what_is_found_leads_to_its_time(client, recording):
    text = client.get(reverse("recording", args=[recording.pk]), {"q": "ONE"}).content.decode()
    assert "1 line found" in text
    assert '<a href="?q=ONE&amp;at=1.000">0:01</a> <code>one &lt;b&gt;</code>' in text
    assert AuditEntry.objects.get(action="watch_recording").details["how"] == "searched"
    assert "Nothing found" in client.get(reverse("recording", args=[recording.pk]), {"q": "three"}).content.decode()


def test_who_watched_is_shown_to_whoever_manages_sessions(client, recording):
    client.get(reverse("download-recording", args=[recording.pk]))
    address = reverse("recording", args=[recording.pk])
    assert "Who watched" in client.get(address).content.decode()
    operator = factories.UserFactory(role=Role.OPERATOR)
    Recording.objects.update(owner=operator)
    client.force_login(operator)
    text = client.get(address).content.decode()
    assert "Who watched" not in text
    assert "Delete this" not in text
    assert client.post(reverse("delete-recording", args=[recording.pk])).status_code == 403


def test_a_recording_is_deleted(client, recording):
    answer = client.post(reverse("delete-recording", args=[recording.pk]), follow=True)
    assert "The recording of web 1 was deleted." in answer.content.decode()
    assert not Recording.objects.exists()


def test_one_that_goes_on_is_not_deleted(client, recording):
    Recording.objects.update(ended_at=None)
    answer = client.post(reverse("delete-recording", args=[recording.pk]), follow=True)
    assert "Close the terminal first" in answer.content.decode()
    assert Recording.objects.exists()


def test_a_group_is_told_whether_to_record(client, administrator):
    group = factories.GroupFactory(name="Paris")
    assert "Record terminals" in client.get(reverse("groups")).content.decode()
    address = reverse("change-group", args=[group.pk])
    client.post(address, {"name": "Paris"})
    group.refresh_from_db()
    assert not group.records_terminals
    assert AuditEntry.objects.get(action="change_group").details["records_terminals"] is False
    client.post(address, {"name": "Paris", "records_terminals": "on"})
    group.refresh_from_db()
    assert group.records_terminals


def test_the_retention_page_says_how_long_they_are_kept(client, administrator):
    text = " ".join(client.get(reverse("retention")).content.decode().split())
    assert "of terminals: removed 90 days after their end" in text
