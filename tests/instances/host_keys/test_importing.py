"""A known_hosts file: what each line means for which instance, and what is done when that is confirmed."""

import time

import pytest
from django.core.exceptions import ValidationError

from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import importing, services
from instances.host_keys.importing import Outcome
from instances.host_keys.models import HostAuthority, HostKey, HostKeyState, RevokedKey
from instances.inventory.models import Instance
from tests.support.factories import (
    GroupFactory,
    HostAuthorityFactory,
    HostKeyFactory,
    InstanceFactory,
    RevokedKeyFactory,
    UserFactory,
    hashed_name,
    host_key_data,
)

pytestmark = pytest.mark.django_db


def key(number, kind="ssh-ed25519"):
    return PresentedKey(kind, host_key_data(4_000_000 + number))


def line(names, number=1, mark="", comment=""):
    return f"{mark}{names} {key(number).line}{comment}\n"


@pytest.fixture
def administrator():
    return UserFactory(role=Role.ADMINISTRATOR)


@pytest.fixture
def instance():
    return InstanceFactory(name="web", address="web.example.com")


def outcomes(preview):
    return [(one.number, one.outcome.value, one.instance_name) for one in preview.findings]


def imported(actor, text, **options):
    group = options.get("group")
    version = importing.preview(actor, text=text, group=group).version
    return importing.apply(actor, text=text, expected=version, **options)


def test_each_line_is_told_what_it_means(administrator, instance):
    other = InstanceFactory(name="db", address="10.0.0.4", port=2222)
    known = HostKeyFactory(instance=InstanceFactory(name="known", address="known.example.com"))
    revoked = RevokedKeyFactory()
    text = (
        "# a comment\n\n"
        + line("web.example.com,10.9.9.9", 1)
        + line(hashed_name("[10.0.0.4]:2222"), 2)
        + f"known.example.com {known.line}\n"
        + line("known.example.com", 3)
        + line("nobody.example.com", 4)
        + line("10.0.0.4", 5)
        + "broken\n"
        + f"web.example.com {revoked.line}\n"
        + line("*.example.com", 6, "@cert-authority ")
        + line("*", 7, "@revoked ")
        + line("web.example.com", 7)
        + line("web.example.com", 1)
    )
    assert outcomes(importing.preview(administrator, text=text)) == [
        (3, "new", "web"),
        (4, "new", other.name),
        (5, "known", "known"),
        (6, "changed", "known"),
        (7, "unmatched", ""),
        (8, "unmatched", ""),
        (9, "wrong", ""),
        (10, "revoked", "web"),
        (11, "authority", ""),
        (12, "revoke", ""),
        (13, "revoked", "web"),
        (14, "known", "web"),
    ]
    assert (
        importing.preview(administrator, text=text).of(Outcome.CHANGED)[0].note == f"Trusted now: {known.fingerprint}"
    )
    assert not HostKey.objects.filter(instance=instance).exists()


def test_patterns_and_several_instances_at_one_place(administrator):
    first, second = InstanceFactory(address="a.example.com"), InstanceFactory(address="a.example.com", user_name="x")
    InstanceFactory(address="b.example.com")
    found = importing.preview(administrator, text=line("*.example.com,!b.*"))
    assert {one.instance_id for one in found.of(Outcome.NEW)} == {first.pk, second.pk}


def test_what_was_shown_is_done_and_recorded(administrator, instance):
    waiting = services.note_presented(instance, key(1))
    other_waiting = services.note_presented(instance, key(9))
    text = line("web.example.com", 1) + line("*.example.com", 2, "@cert-authority ", " of Berlin")
    text += line("*", 3, "@revoked ", " leaked")
    done = imported(administrator, text)
    assert (done.trusted, done.replaced, done.queued, done.authorities, done.revoked) == (1, 0, 0, 1, 1)
    waiting.refresh_from_db()
    other_waiting.refresh_from_db()
    assert (waiting.state, waiting.trusted_by) == (HostKeyState.TRUSTED, administrator)
    assert other_waiting.state == HostKeyState.CHANGED
    authority, revoked = HostAuthority.objects.get(), RevokedKey.objects.get()
    assert (authority.patterns, authority.name, authority.group) == ("*.example.com", "of Berlin", None)
    assert (revoked.fingerprint, revoked.comment) == (key(3).fingerprint, "leaked")
    instance.refresh_from_db()
    assert instance.target_version == 2
    entry = AuditEntry.objects.get(action="import_known_hosts")
    assert entry.details["trusted"] == {str(instance.pk): [key(1).fingerprint]}


def test_a_trusted_key_is_never_replaced_without_being_told_to(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    done = imported(administrator, line("web.example.com"))
    assert (done.trusted, done.queued) == (0, 1)
    assert [one.fingerprint for one in services.trusted_keys(instance)] == [trusted.fingerprint]
    assert instance.host_keys.get(state=HostKeyState.CHANGED).fingerprint == key(1).fingerprint
    assert imported(administrator, line("web.example.com")).queued == 1
    assert instance.host_keys.count() == 2


def test_a_line_that_is_confirmed_replaces_the_key_of_its_kind(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    other_kind = HostKeyFactory(instance=instance, algorithm="ssh-rsa")
    text = "\n" + line("web.example.com")
    done = imported(administrator, text, replace={2})
    assert (done.trusted, done.replaced, done.queued) == (1, 1, 0)
    assert {one.fingerprint for one in services.trusted_keys(instance)} == {key(1).fingerprint, other_kind.fingerprint}
    trusted.refresh_from_db()
    assert (trusted.state, trusted.ended_why, trusted.ended_by) == ("former", "replaced", administrator)


def test_confirming_another_line_replaces_nothing(administrator, instance):
    trusted = HostKeyFactory(instance=instance)
    assert imported(administrator, line("web.example.com"), replace={7}).replaced == 0
    assert [one.fingerprint for one in services.trusted_keys(instance)] == [trusted.fingerprint]


def test_a_key_of_another_kind_is_trusted_beside(administrator, instance):
    HostKeyFactory(instance=instance, algorithm="ssh-rsa")
    assert imported(administrator, line("web.example.com")).trusted == 1
    assert len(services.trusted_keys(instance)) == 2


def test_what_changed_since_it_was_shown_is_shown_again(administrator, instance):
    text = line("web.example.com")
    version = importing.preview(administrator, text=text).version
    HostKeyFactory(instance=instance)
    with pytest.raises(importing.PreviewOutdated):
        importing.apply(administrator, text=text, expected=version)
    version = importing.preview(administrator, text=text).version
    Instance.objects.filter(pk=instance.pk).update(address="elsewhere.example.com")
    with pytest.raises(importing.PreviewOutdated):
        importing.apply(administrator, text=text, expected=version)
    for wrong in ("", "0" * 64):
        with pytest.raises(importing.PreviewOutdated):
            importing.apply(administrator, text=text, expected=wrong)
    assert not HostKey.objects.filter(fingerprint=key(1).fingerprint).exists()


def test_who_administers_one_group_imports_for_it_alone(instance):
    group = GroupFactory()
    theirs = InstanceFactory(name="theirs", address="web.example.com", group=group)
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    text = line("web.example.com") + line("*", 2, "@cert-authority ") + line("*", 3, "@revoked ")
    assert outcomes(importing.preview(user, text=text)) == [(1, "new", "theirs"), (2, "wrong", ""), (3, "wrong", "")]
    imported(user, text, group=group)
    assert HostAuthority.objects.get().group == RevokedKey.objects.get().group == group
    assert services.trusted_keys(theirs) == (key(1),)
    assert services.trusted_keys(instance) == ()


def test_marks_that_count_already_are_known(administrator):
    group = GroupFactory()
    authority, revoked = HostAuthorityFactory(), RevokedKeyFactory()
    text = f"@cert-authority * {authority.line}\n@revoked a,b {revoked.line}\n"
    found = importing.preview(administrator, text=text)
    assert [one.outcome for one in found.findings] == [Outcome.KNOWN, Outcome.KNOWN]
    found = importing.preview(administrator, text=text, group=group)
    assert [one.outcome for one in found.findings] == [Outcome.AUTHORITY, Outcome.KNOWN]


def test_an_authority_that_the_same_file_revokes_is_not_trusted(administrator):
    text = line("*", 1, "@cert-authority ") + line("*", 1, "@revoked ")
    assert [one.outcome for one in importing.preview(administrator, text=text).findings] == ["revoked", "revoke"]
    assert imported(administrator, text).authorities == 0
    assert not HostAuthority.objects.exists()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, None])
def test_others_import_nothing(role, instance):
    user = UserFactory(role=role)
    with pytest.raises(NotAllowed):
        importing.preview(user, text=line("web.example.com"))
    with pytest.raises(NotAllowed):
        importing.apply(user, text=line("web.example.com"), expected="")


def test_a_text_that_is_too_long_says_what_to_do(administrator):
    for text in ("x" * (importing.TEXT_LIMIT + 1), "\n" * 20_000 + line("a")):
        with pytest.raises(ValidationError, match="import it in parts"):
            importing.preview(administrator, text=text)


def test_hashed_names_beyond_what_a_page_compares_are_named(administrator):
    for number in range(20):
        InstanceFactory(address=f"10.0.0.{number}")
    text = "".join(line(hashed_name(f"10.0.0.{19 - number}"), number) for number in range(20))
    found = importing.preview(administrator, text=text, comparisons=50)
    assert 0 < found.counts[Outcome.NEW] < 20
    assert found.counts[Outcome.NEW] + found.counts[Outcome.NOT_COMPARED] == 20
    assert importing.preview(administrator, text=text, comparisons=None).counts[Outcome.NEW] == 20
    services.note_presented(Instance.objects.get(address="10.0.0.0"), key(19))
    # A key that an instance has shown is tried there first, and costs nothing.
    assert importing.preview(administrator, text=line(hashed_name("10.0.0.0"), 19), comparisons=1).counts["new"] == 1


@pytest.mark.slow
def test_ten_thousand_lines_meet_ten_thousand_instances_within_seconds(administrator, django_assert_max_num_queries):
    places = [f"10.{number // 250}.{number % 250}.1" for number in range(10_000)]
    Instance.objects.bulk_create([Instance(name=place, address=place) for place in places])
    lines = "".join(line(place, number) for number, place in enumerate(places))
    hashed = "".join(line(hashed_name(place), number) for number, place in enumerate(places))
    for text in (hashed, lines):
        began_at = time.process_time()
        with django_assert_max_num_queries(8):
            found = importing.preview(administrator, text=text)
        assert found.counts == {Outcome.NEW: 10_000}
        assert time.process_time() - began_at < 10
    began_at = time.process_time()
    assert importing.apply(administrator, text=lines, expected=found.version).trusted == 10_000
    assert time.process_time() - began_at < 20
    assert HostKey.objects.filter(state=HostKeyState.TRUSTED).count() == 10_000
