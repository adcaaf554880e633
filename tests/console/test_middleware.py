import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.urls import reverse

from console.runs import services
from console.runs.models import Run
from tests.support import factories

pytestmark = pytest.mark.django_db


def test_a_busy_database_is_told_as_such_and_nothing_is_done(client, monkeypatch):
    def locked(*_, **__):
        raise OperationalError("database is locked")

    monkeypatch.setattr(services, "send_command", locked)
    client.force_login(factories.UserFactory())
    instance = factories.InstanceFactory()
    answer = client.post(reverse("send"), {"command": "true", "command_type": "shell", "ids": instance.pk})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "was not done" in answer.content.decode()
    assert not Run.objects.exists()


def test_a_database_that_is_busy_around_a_page_is_told_as_such_too(client, monkeypatch):
    def locked(*_):
        raise OperationalError("database is locked")

    client.force_login(factories.UserFactory())
    client.raise_request_exception = False
    monkeypatch.setattr(SessionStore, "load", locked)
    answer = client.get(reverse("runs"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    # Nobody knows whether the page was come to.
    assert "look before you try again" in answer.content.decode()
    monkeypatch.setattr(SessionStore, "load", lambda _: 1 / 0)
    assert client.get(reverse("runs")).status_code == 500


def test_a_form_without_its_key_is_sent_once_more_each_time(client):
    client.force_login(factories.UserFactory())
    form = {"command": "true", "command_type": "shell", "ids": factories.InstanceFactory().pk}
    assert [client.post(reverse("send"), form).status_code for _ in range(2)] == [302, 302]
    assert Run.objects.count() == 2


def test_other_errors_are_left_to_django(client, monkeypatch):
    def broken(*_, **__):
        raise ValueError

    monkeypatch.setattr(services, "send_command", broken)
    client.force_login(factories.UserFactory())
    with pytest.raises(ValueError):  # noqa: PT011  (the very one)
        client.post(
            reverse("send"), {"command": "true", "command_type": "shell", "ids": factories.InstanceFactory().pk}
        )
