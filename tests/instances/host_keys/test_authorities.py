"""Host authorities and revoked keys: for which instances they count, and what follows."""

import re

import pytest
from django.core.exceptions import ValidationError

from console.runs.prompts import Prompts
from console.worker.preparation import current_keys
from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import authorities, services
from instances.host_keys.models import HostAuthority, HostKey, HostKeyState, RevokedKey
from instances.inventory.models import Instance
from instances.inventory.targets import target_of
from tests.support.factories import GroupFactory, HostAuthorityFactory, HostKeyFactory, InstanceFactory, UserFactory
from tests.support.factories import host_key_data as data

pytestmark = pytest.mark.django_db
KEY = PresentedKey("ssh-ed25519", data(5_000_001))
OTHER = PresentedKey("ssh-ed25519", data(5_000_002))


@pytest.fixture
def administrator():
    return UserFactory(role=Role.ADMINISTRATOR)


def test_an_authority_vouches_for_the_addresses_it_is_trusted_for(administrator):
    inside, outside = InstanceFactory(address="web.example.com", port=2222), InstanceFactory(address="web.example.org")
    local = InstanceFactory(address="localhost", is_local=True)
    row = authorities.trust_authority(administrator, key=KEY, patterns=" *.example.com , localhost ", name="Berlin")
    assert (row.name, row.patterns, row.trusted_by) == ("Berlin", "*.example.com,localhost", administrator)
    assert target_of(inside).authorities == (KEY,)
    assert target_of(outside).authorities == target_of(local).authorities == ()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.details["fingerprint"]) == ("trust_host_authority", KEY.fingerprint)


def test_an_authority_of_a_group_vouches_in_it_only(administrator):
    group = GroupFactory()
    inside, outside = InstanceFactory(group=group), InstanceFactory()
    authorities.trust_authority(administrator, key=KEY, patterns="*", group=group)
    assert target_of(inside).authorities == (KEY,)
    assert target_of(outside).authorities == ()


def test_everything_about_trust_gives_up_connections_kept_before(administrator):
    """Workers close what has another key than the current one, every 5 s."""
    group = GroupFactory()
    instance = InstanceFactory(group=group, address="web.example.com")

    def key():
        return target_of(Instance.objects.get(pk=instance.pk)).key

    keys = [key()]
    steps = [
        lambda: authorities.trust_authority(administrator, key=KEY, patterns="*.example.com"),
        lambda: authorities.trust_authority(administrator, key=OTHER, patterns="*", group=group),
        lambda: authorities.revoke(administrator, key=OTHER, group=group),
        lambda: authorities.revoke(administrator, key=KEY),
        lambda: authorities.remove_authority(administrator, authority=HostAuthority.objects.get(patterns="*")),
    ]
    for step in steps:
        step()
        assert current_keys([keys[-1]], Prompts()) == {key()}
        assert key() not in keys
        keys.append(key())
    authorities.trust_authority(administrator, key=PresentedKey("ssh-ed25519", data(5_000_003)), patterns="*.org")
    assert key() == keys[-1]
    authorities.restore(administrator, revoked=RevokedKey.objects.get(group=None))
    assert key() not in keys


def test_revoking_ends_the_trust_in_a_key_wherever_it_counts(administrator):
    group = GroupFactory()
    inside = HostKeyFactory(instance=InstanceFactory(group=group), data=KEY.data, fingerprint=KEY.fingerprint)
    outside = HostKeyFactory(data=KEY.data, fingerprint=KEY.fingerprint)
    waiting = services.note_presented(inside.instance, OTHER)
    authorities.revoke(administrator, key=KEY, comment="leaked", group=group)
    inside.refresh_from_db()
    outside.refresh_from_db()
    waiting.refresh_from_db()
    assert (inside.state, inside.ended_why, inside.ended_by) == ("former", "revoked", administrator)
    assert (outside.state, waiting.state) == (HostKeyState.TRUSTED, HostKeyState.UNKNOWN)
    assert target_of(inside.instance).revoked == (KEY,)
    assert target_of(outside.instance).revoked == ()
    authorities.revoke(administrator, key=KEY)
    assert not HostKey.objects.filter(state=HostKeyState.TRUSTED).exists()
    assert target_of(outside.instance).revoked == (KEY,)
    assert AuditEntry.objects.filter(action="revoke_host_key").count() == 2


def test_revoking_again_changes_nothing(administrator):
    first = authorities.revoke(administrator, key=KEY, comment="first")
    assert authorities.revoke(administrator, key=KEY, comment="again") == first
    assert AuditEntry.objects.count() == 1
    assert RevokedKey.objects.get().comment == "first"


def test_a_revoked_key_cannot_be_approved_until_that_is_taken_back(administrator):
    instance = InstanceFactory()
    revoked = authorities.revoke(administrator, key=KEY)
    rows = [services.note_presented(instance, KEY), services.note_presented(InstanceFactory(), OTHER)]
    with pytest.raises(services.KeyRevoked, match=re.escape(KEY.fingerprint)):
        services.trust(administrator, host_keys=rows)
    with pytest.raises(services.KeyRevoked):
        services.trust_fingerprint(administrator, instance=instance, fingerprint=KEY.fingerprint)
    assert not HostKey.objects.filter(state=HostKeyState.TRUSTED).exists()
    with pytest.raises(ValidationError, match="revoked"):
        authorities.trust_authority(administrator, key=KEY, patterns="*")
    authorities.restore(administrator, revoked=revoked)
    assert len(services.trust(administrator, host_keys=rows)) == 2


def test_a_revocation_of_another_group_is_not_in_the_way(administrator):
    authorities.revoke(administrator, key=KEY, group=GroupFactory())
    row = services.note_presented(InstanceFactory(group=GroupFactory()), KEY)
    assert services.trust(administrator, host_keys=[row])


@pytest.mark.parametrize(
    ("fields", "place"),
    [({"patterns": "!a"}, "patterns"), ({"patterns": "a b"}, "patterns"), ({"name": "x" * 81}, "name")],
)
def test_what_is_no_authority_is_refused_beside_its_field(administrator, fields, place):
    with pytest.raises(ValidationError) as raised:
        authorities.trust_authority(administrator, **({"key": KEY, "patterns": "*"} | fields))
    assert list(raised.value.message_dict) == [place]


def test_the_same_authority_is_trusted_once(administrator):
    authorities.trust_authority(administrator, key=KEY, patterns="*")
    with pytest.raises(ValidationError, match="already"):
        authorities.trust_authority(administrator, key=KEY, patterns=" * ")
    authorities.trust_authority(administrator, key=KEY, patterns="*", group=GroupFactory())


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, None])
def test_only_administrators_decide(role):
    user, row = UserFactory(role=role), HostAuthorityFactory()
    for call in (
        lambda: authorities.trust_authority(user, key=KEY, patterns="*"),
        lambda: authorities.remove_authority(user, authority=row),
        lambda: authorities.revoke(user, key=KEY),
        lambda: authorities.restore(user, revoked=RevokedKey(fingerprint="x")),
    ):
        with pytest.raises(NotAllowed):
            call()
    assert HostAuthority.objects.count() == 1


def test_who_administers_one_group_sees_what_counts_there_and_decides_about_that_group_only(administrator):
    group, other = GroupFactory(), GroupFactory()
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    everywhere = HostAuthorityFactory()
    theirs, others = HostAuthorityFactory(group=group), HostAuthorityFactory(group=other)
    assert set(authorities.visible_authorities(user)) == {everywhere, theirs}
    assert set(authorities.visible_authorities(administrator)) == {everywhere, theirs, others}
    for refused in (
        lambda: authorities.remove_authority(user, authority=everywhere),
        lambda: authorities.trust_authority(user, key=KEY, patterns="*"),
        lambda: authorities.revoke(user, key=KEY),
        lambda: authorities.revoke(user, key=KEY, group=other),
    ):
        with pytest.raises(NotAllowed):
            refused()
    authorities.remove_authority(user, authority=theirs)
    assert authorities.revoke(user, key=KEY, group=group).group == group
