"""Checks: who asks, who takes them, and what is kept of what they found."""

import datetime

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from instances.audit.models import AuditEntry
from instances.engine.errors import ConnectionRefused
from instances.engine.types import Facts
from instances.inventory.models import Instance, Reach
from instances.inventory.reachability import CLAIM_FOR, claim_checks, finish_check, note_reach
from tests.support.factories import InstanceFactory

pytestmark = pytest.mark.django_db

FACTS = Facts(banner="SSH-2.0-OpenSSH_9.2\x1b[2J", os="Linux", kernel="6.1", hostname="web", shell="/bin/sh", user="")


def asked(minutes_ago: int) -> Instance:
    return InstanceFactory(check_requested_at=timezone.now() - datetime.timedelta(minutes=minutes_ago))


def test_the_oldest_checks_are_taken_first_and_once() -> None:
    later, earlier, waiting = asked(1), asked(2), asked(0)
    InstanceFactory()
    assert claim_checks(2) == [earlier, later]
    assert claim_checks(2) == [waiting]
    assert claim_checks(2) == []
    earlier.refresh_from_db()
    assert earlier.check_requested_at is not None


def test_a_check_whose_worker_died_is_taken_again() -> None:
    instance = asked(0)
    claim_checks(1)
    Instance.objects.update(check_requested_at=timezone.now())
    assert claim_checks(1) == [instance]
    assert datetime.timedelta(seconds=25) < CLAIM_FOR


def test_what_a_check_found_is_kept_without_control_characters() -> None:
    instance = asked(0)
    finish_check(instance.pk, facts=FACTS)
    instance.refresh_from_db()
    assert instance.check_requested_at is None
    assert (instance.reach, instance.banner) == (Reach.REACHABLE, "SSH-2.0-OpenSSH_9.2 [2J")
    assert instance.facts == {"os": "Linux", "kernel": "6.1", "hostname": "web", "shell": "/bin/sh"}


def test_a_failed_check_keeps_its_reason_and_the_facts_from_before() -> None:
    instance = asked(0)
    finish_check(instance.pk, facts=FACTS)
    finish_check(instance.pk, error=ConnectionRefused())
    instance.refresh_from_db()
    assert (instance.reach, instance.reach_reason) == (Reach.UNREACHABLE, "refused")
    assert instance.reach_message
    assert instance.facts


def test_the_end_of_a_check_of_a_deleted_instance_is_nothing() -> None:
    finish_check(12345, facts=FACTS)


def test_asking_for_checks_when_there_are_none_takes_no_write_lock(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    InstanceFactory()
    with django_assert_num_queries(1) as asked:
        assert claim_checks(10) == []
    assert asked.captured_queries[0]["sql"].startswith("SELECT")


def test_reach_is_noted_for_many_and_since_moves_only_with_the_state() -> None:
    first, second = InstanceFactory(), InstanceFactory()
    note_reach([first.pk, second.pk], reach=Reach.UNREACHABLE, reason="refused", message="No.")
    first.refresh_from_db()
    since = first.reach_since
    assert (first.reach, first.reach_reason, first.reach_message) == ("unreachable", "refused", "No.")
    note_reach([first.pk], reach=Reach.UNREACHABLE, reason="dns", message="Gone.")
    first.refresh_from_db()
    assert (first.reach_since, first.reach_reason) == (since, "dns")
    note_reach([first.pk], reach=Reach.REACHABLE)
    first.refresh_from_db()
    assert first.reach_since > since
    assert (first.reach_reason, first.reach_message) == ("", "")
    assert AuditEntry.objects.count() == 0
