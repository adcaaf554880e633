from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from console.recordings import reading, retention, services
from console.recordings.models import Recording, RecordingPart
from console.recordings.services import Addition
from console.sessions.models import Session
from instances.access.models import Grant, Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def group():
    return factories.GroupFactory()


@pytest.fixture
def owner():
    return factories.UserFactory(role=Role.OPERATOR)


@pytest.fixture
def recording(group, owner):
    return factories.recording(factories.InstanceFactory(name="web-1", group=group), owner, b"hello\r\n")


# ------------------------------------------------------------------ workers


def test_what_is_added_twice_is_there_once(group, owner):
    recording = factories.recording(factories.InstanceFactory(), owner, is_live=True)
    addition = Addition(recording.pk, recording.size, b"abc", 1, 10, 5)
    services.append([addition])
    services.append([addition])
    recording.refresh_from_db()
    assert b"".join(reading.pieces(recording)).endswith(b"}\nabc")
    assert (recording.events, recording.lost, recording.duration_ms) == (1, 5, 10)


def test_nothing_is_added_to_what_has_ended(recording):
    services.append([Addition(recording.pk, recording.size, b"abc", 1, 10, 0)])
    assert b"".join(reading.pieces(Recording.objects.get())) == b"".join(reading.pieces(recording))


def test_a_session_has_one_recording(recording):
    again = services.begin(
        session_id=recording.session_id,
        instance_id=None,
        instance_name="",
        owner_id=None,
        owner_name="",
        started_at=timezone.now(),
        columns=1,
        rows=1,
    )
    assert again == recording


def test_recordings_of_a_worker_that_died_are_ended(owner):
    left, live = (factories.recording(factories.InstanceFactory(), owner, b"x", is_live=True) for _ in range(2))
    Session.objects.filter(pk=left.session_id).update(state="broken", closed_at=timezone.now())
    assert services.end_left_alone() == 1
    assert services.end_left_alone() == 0
    assert list(Recording.objects.filter(ended_at=None)) == [live]


# ------------------------------------------------------------------ who may see and delete them


@pytest.mark.parametrize(
    ("role", "is_granted_here", "sees"),
    [
        (Role.OPERATOR, False, False),
        (Role.OPERATOR, True, False),
        (Role.ADMINISTRATOR, True, True),
        (Role.ADMINISTRATOR, False, True),
        (None, False, False),
    ],
    ids=["operator", "operator-of-the-group", "administrator-of-the-group", "administrator", "roleless"],
)
def test_others_see_it_who_manage_sessions_there(recording, group, role, is_granted_here, sees):
    user = factories.UserFactory(role=role, role_group=group if is_granted_here else None)
    assert services.visible_recordings(user).exists() is sees
    assert services.may_manage(user, recording) is sees


def test_an_administrator_of_another_group_does_not_see_it(recording):
    user = factories.UserFactory(role=Role.ADMINISTRATOR, role_group=factories.GroupFactory())
    assert not services.visible_recordings(user).exists()


def test_its_owner_sees_it_without_any_role_left(recording, owner):
    Grant.objects.filter(user=owner).delete()
    assert list(services.visible_recordings(owner)) == [recording]


def test_it_outlives_its_instance_its_session_and_its_owner(recording, owner):
    recording.instance.delete()
    Session.objects.all().delete()
    owner.delete()
    left = Recording.objects.get()
    assert (left.instance_name, left.owner_name, left.session_id) == ("web-1", owner.username, None)
    assert services.visible_recordings(factories.UserFactory()).exists()
    assert not services.may_manage(factories.UserFactory(role_group=factories.GroupFactory()), left)


def test_who_watched_is_recorded_once_for_each_look(recording, owner):
    for how in ("played", "played", "downloaded"):
        services.note_watched(owner, recording, how)
    assert [entry.details["how"] for entry in services.looks_at(recording)] == ["downloaded", "played"]
    other = factories.UserFactory()
    services.note_watched(other, recording, "played")
    assert services.looks_at(recording)[0].actor_name == other.username


def test_it_is_deleted_by_whoever_manages_sessions(recording, owner):
    with pytest.raises(NotAllowed):
        services.delete(owner, recording)
    services.delete(factories.UserFactory(), recording)
    assert not Recording.objects.exists()
    assert not RecordingPart.objects.exists()
    assert AuditEntry.objects.get(action="delete_recording").details["owner"] == owner.username


def test_what_is_still_recorded_is_not_deleted(owner):
    live = factories.recording(factories.InstanceFactory(), owner, b"x", is_live=True)
    with pytest.raises(ValidationError, match="Close the terminal first"):
        services.delete(factories.UserFactory(), live)


# ------------------------------------------------------------------ retention


def test_old_ones_are_removed_in_short_steps(owner, monkeypatch):
    monkeypatch.setattr(retention, "_BATCH_PARTS", 2)
    long_ago = timezone.now() - timedelta(days=91)
    instance = factories.InstanceFactory()
    old = factories.recording(instance, owner, b"x" * 500_000, started_at=long_ago, ended_at=long_ago)
    kept = factories.recording(instance, owner, b"x")
    live = factories.recording(instance, owner, b"x", is_live=True, started_at=long_ago)
    steps = retention.prune(90)
    assert next(steps) == 0
    left = Recording.objects.get(pk=old.pk)
    # What is left meanwhile is a whole beginning.
    assert len(b"".join(reading.pieces(left))) == left.size < old.size
    assert sum(steps) == 1
    assert set(Recording.objects.all()) == {kept, live}
    assert AuditEntry.objects.get(action="prune_recording").subject == old.subject


def test_for_ever_is_for_ever(owner):
    long_ago = timezone.now() - timedelta(days=5000)
    factories.recording(factories.InstanceFactory(), owner, b"x", ended_at=long_ago)
    assert list(retention.prune(0)) == []
    assert Recording.objects.exists()
