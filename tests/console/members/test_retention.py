from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from console.members import retention, services
from console.members.models import SignInLink
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db
TABLES = (Session, SignInLink, AccessAttempt, AccessLog)


def left_behind(number, *, days_ago):
    """Make a session, a link, wrong passwords and a sign-in of that age."""
    at = timezone.now() - timedelta(days=days_ago)
    who = {"username": f"ana {number}", "ip_address": "127.0.0.1", "user_agent": f"{days_ago}"}
    Session.objects.create(session_key=f"{number} {days_ago}", session_data="x", expire_date=at)
    SignInLink.objects.create(user=UserFactory(), token_sha256=f"{number} {days_ago}", expires_at=at, used_at=at)
    AccessAttempt.objects.create(**who, failures_since_start=1)
    AccessLog.objects.create(**who)
    for model in (AccessAttempt, AccessLog):
        model.objects.filter(**who).update(attempt_time=at)


def counted():
    return [model.objects.count() for model in TABLES]


def test_what_is_left_of_old_sign_ins_goes_a_batch_at_a_time(client, monkeypatch):
    monkeypatch.setattr(retention, "_BATCH", 2)
    client.force_login(UserFactory())
    services.make_sign_in_link(UserFactory())
    before = counted()
    for number in range(3):
        left_behind(number, days_ago=31)
    AccessAttempt.objects.create(username="now", ip_address="127.0.0.1", user_agent="x", failures_since_start=8)
    assert list(retention.prune(30)) == [2, 1] * 4
    assert counted() == [before[0], 1, 1, before[3]]
    assert client.get(reverse("account")).status_code == 200
    assert list(retention.prune(30)) == []


def test_the_record_of_sign_ins_is_kept_as_long_as_runs_and_nothing_else_is():
    left_behind(1, days_ago=2)
    list(retention.prune(30))
    assert counted() == [0, 0, 0, 1]
    left_behind(2, days_ago=3000)
    list(retention.prune(0))
    assert counted() == [0, 0, 0, 2]
