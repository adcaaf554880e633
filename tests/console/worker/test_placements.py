"""Authorise from the press to the switched credential, against a real sshd."""

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from console.worker.placements import Placements
from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.authorise import orders, services
from instances.authorise.models import Placement, State
from instances.credentials import services as credentials
from instances.credentials.key_pairs import make_key_pair, public_key
from instances.engine.check import check
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance
from instances.inventory.targets import target_of
from tests.support.authorized_keys import PASSWORD, STRICT, Home, account_with_password
from tests.support.factories import InstanceFactory, UserFactory, allow_localhost
from tests.support.sshd import change_accounts, running_sshd, set_password

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sshd]


@pytest.fixture(scope="module")
def account():
    with account_with_password("musterplace") as name:
        yield name


@pytest.fixture(scope="module")
def sshd():
    with running_sshd(**STRICT) as server:
        yield server


@pytest.fixture
def home(account):
    found = Home(account)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def administrator(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    allow_localhost(settings)
    return UserFactory(role=Role.ADMINISTRATOR)


@pytest.fixture
def password(administrator, account):
    return credentials.add_credential(administrator, name="today", kind="password", user_name=account, secret=PASSWORD)


@pytest.fixture
def key(administrator, account):
    return make_key_pair(administrator, name="deploy key", user_name=account)


@pytest.fixture
def instance(administrator, password, sshd):
    return made(administrator, password, sshd, "127.1.0.2")


def made(administrator, password, sshd, address):
    found = InstanceFactory(address=address, port=sshd.port, credential=password)
    host_keys.trust(administrator, host_keys=[host_keys.note_presented(found, sshd.host_key)])
    found.refresh_from_db()
    return found


def authorise(administrator, key, instances, *, is_switching=True, **choices):
    line = services.line_for(key, **choices)
    return services.authorise(administrator, credential=key, instances=instances, line=line, is_switching=is_switching)


def work():
    """Do what a worker does with what waits."""

    async def in_database(call, *args, **kwargs):
        return await asyncio.to_thread(lambda: call(*args, **kwargs))

    async def go():
        pool = Pool(lambda target: SSHTransport())
        async with asyncio.TaskGroup() as tasks:
            await Placements(pool, in_database).start(tasks)
        await pool.close()

    asyncio.run(go())


def signed_in(instance):
    """Who somebody that runs a command now is on the instance."""
    target = target_of(Instance.objects.get(pk=instance.pk))

    async def go():
        connection = await SSHTransport().connect(target)
        try:
            return (await check(connection)).user
        finally:
            connection.close()

    return asyncio.run(go())


def outcome(authorisation):
    return [(row.state, row.reason) for row in authorisation.placements.all()]


def told(authorisation):
    return authorisation.placements.get().message


def test_a_key_is_placed_verified_and_used_and_taken_away_again(
    administrator, account, home, instance, password, key, sshd
):
    """The whole story: authorised once, the password is not needed any more; taken away, nothing of it is left."""
    line = services.line_for(key)
    accepted, with_key = sshd.accepted, sshd.log().count("Accepted publickey")
    placed = authorise(administrator, key, [instance])
    assert not home.folder.exists()
    work()
    assert outcome(placed) == [("succeeded", "")]
    assert "fresh login" in told(placed)
    assert home.file.read_text() == line + "\n"
    assert line == f"restrict,pty {public_key(key)} muster:deploy-key"
    assert sshd.log().count("Accepted publickey") == with_key + 1
    assert sshd.accepted == accepted + 2
    instance.refresh_from_db()
    assert instance.credential == key

    credentials.delete_credential(administrator, credential=password)
    change_accounts("usermod", "-p", "*", account)
    try:
        assert signed_in(instance) == account
        # Nothing more is done to an instance that signs in with the key already.
        with pytest.raises(services.ValidationError, match="no selected instance"):
            authorise(administrator, key, [instance])
        removed = services.take_away(administrator, credential=key, instances=[instance], next_credential=None)
        work()
    finally:
        set_password(account, PASSWORD)
    assert outcome(removed) == [("succeeded", "")]
    assert home.file.read_text() == ""
    instance.refresh_from_db()
    assert instance.credential is None
    recorded = AuditEntry.objects.filter(actor=administrator).values_list("action", "subject")
    assert [entry for entry in recorded.order_by("pk") if "key" in entry[0] and "host" not in entry[0]] == [
        ("authorise_key", "deploy key"),
        ("place_key", instance.name),
        ("take_key_away", "deploy key"),
        ("remove_key", instance.name),
    ]


def test_again_makes_no_second_line(administrator, home, instance, key):
    authorise(administrator, key, [instance], is_switching=False)
    work()
    before = home.file.read_bytes()
    again = authorise(administrator, key, [instance], is_switching=False, limits="")
    work()
    assert outcome(again) == [("succeeded", "")]
    assert "other options (restrict,pty), which were left" in told(again)
    assert home.file.read_bytes() == before
    instance.refresh_from_db()
    assert instance.credential.name == "today"


def test_a_key_that_does_not_get_in_is_removed_and_the_instance_keeps_its_credential(
    administrator, home, instance, password, key
):
    old = home.write(b"# kept as it is\n")
    refused = authorise(administrator, key, [instance], sources="192.0.2.1")
    work()
    assert outcome(refused) == [("failed", "auth_failed")]
    assert "did not get in" in told(refused)
    assert "removed again" in told(refused)
    assert home.file.read_bytes() == old
    instance.refresh_from_db()
    assert instance.credential == password
    assert AuditEntry.objects.filter(action="place_key_failed", subject=instance.name).exists()


def test_a_line_that_was_there_and_does_not_let_in_is_left(administrator, home, instance, password, key):
    old = home.write(f'from="192.0.2.1" {public_key(key)}\n'.encode())
    refused = authorise(administrator, key, [instance])
    work()
    assert outcome(refused) == [("failed", "auth_failed")]
    assert "was there before" in told(refused)
    assert home.file.read_bytes() == old
    instance.refresh_from_db()
    assert instance.credential == password


def test_a_refusal_of_the_instance_is_told_with_its_reason(administrator, home, instance, key):
    home.make_folder()
    home.file.symlink_to("/etc/hostname")
    refused = authorise(administrator, key, [instance])
    work()
    assert outcome(refused) == [("failed", "symlink")], told(refused)


def test_an_unreachable_instance_and_a_refused_password_have_their_own_reasons(
    administrator, home, instance, key, account, sshd
):
    wrong = credentials.add_credential(
        administrator, name="wrong", kind="password", user_name=account, secret="not the password"
    )
    other = made(administrator, wrong, sshd, "127.1.0.3")
    Instance.objects.filter(pk=instance.pk).update(port=1)
    asked = authorise(administrator, key, [instance, other])
    work()
    assert sorted(outcome(asked)) == [("failed", "auth_failed"), ("failed", "refused")]
    assert not home.file.exists()
    other.refresh_from_db()
    assert (other.reach, other.reach_reason) == ("unreachable", "auth_failed")


def test_the_next_credential_must_get_in_before_the_key_goes(administrator, home, instance, password, key, account):
    authorise(administrator, key, [instance])
    work()
    before = home.file.read_bytes()
    wrong = credentials.add_credential(
        administrator, name="wrong", kind="password", user_name=account, secret="not the password"
    )
    refused = services.take_away(administrator, credential=key, instances=[instance], next_credential=wrong)
    work()
    assert outcome(refused) == [("failed", "auth_failed")]
    assert home.file.read_bytes() == before
    instance.refresh_from_db()
    assert instance.credential == key
    removed = services.take_away(administrator, credential=key, instances=[instance], next_credential=password)
    work()
    assert outcome(removed) == [("succeeded", "")]
    assert home.file.read_bytes() == b""
    instance.refresh_from_db()
    assert instance.credential == password


def test_who_may_not_any_more_changes_nothing(administrator, home, instance, key):
    asked = authorise(administrator, key, [instance])
    administrator.grants.update(role=Role.OPERATOR)
    work()
    assert outcome(asked) == [("failed", "not_permitted")]
    assert not home.folder.exists()


def test_a_credential_chosen_meanwhile_is_left(administrator, instance, key):
    asked = authorise(administrator, key, [instance])
    other = credentials.add_credential(administrator, name="other", kind="password", user_name="x", secret="y")
    (order,) = orders.claim(10)
    Instance.objects.filter(pk=instance.pk).update(credential=other)
    orders.succeed(order, "Placed.")
    assert outcome(asked) == [("succeeded", "")]
    assert told(asked) == "Placed. It was changed meanwhile, so its credential was left."
    instance.refresh_from_db()
    assert instance.credential == other


def test_what_a_dead_worker_left_is_taken_up_again_and_its_line_is_ours(administrator, home, instance, key):
    """The line was written with an address that lets nobody in, and the worker died before it could say so."""
    asked = authorise(administrator, key, [instance], sources="192.0.2.1")
    home.write(asked.line.encode() + b"\n")
    row = Placement.objects.get()
    ahead = timezone.now() + timedelta(hours=1)
    Placement.objects.update(state=State.RUNNING, has_placed=True, due_at=ahead)
    work()
    row.refresh_from_db()
    assert row.state == State.RUNNING
    Placement.objects.update(due_at=timezone.now())
    work()
    assert outcome(asked) == [("failed", "auth_failed")]
    assert home.file.read_bytes() == b""
