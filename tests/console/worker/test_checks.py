"""A connection is tested step by step, against a real server, and each failure is found in its own step."""

import asyncio
import getpass

import pytest
from channels.db import database_sync_to_async

from console.worker import checks
from console.worker.checks import _save, start_checks
from instances.access.models import Role
from instances.credentials import services as credentials
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.host_keys import services as host_keys
from instances.host_keys.models import HostKey
from instances.inventory import services
from instances.inventory.models import Instance
from tests.support.factories import InstanceFactory, UserFactory
from tests.support.sshd import running_sshd

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sshd]
ALL = ["resolve", "connect", "host_key", "sign_in", "shell"]


@pytest.fixture(scope="module")
def sshd():
    with running_sshd() as server:
        yield server


@pytest.fixture
def reached(sshd):
    """An instance that everything is right for."""
    actor = UserFactory(role=Role.ADMINISTRATOR)
    key = credentials.add_credential(
        actor, name="key", kind="key", user_name=getpass.getuser(), secret=sshd.user_key.decode()
    )
    instance = InstanceFactory(address="127.6.0.1", port=sshd.port, credential=key, is_demo=True)
    host_keys.trust(actor, host_keys=[host_keys.note_presented(instance, sshd.host_key)])
    return instance


def result_of(instance, **changes):
    """What each step came to, and the reason and message of the one that failed."""
    for name, value in changes.items():
        setattr(instance, name, value)
    instance.save()
    return asyncio.run(_test(instance))


async def _test(instance, **options):
    def in_database(call, *args):
        return database_sync_to_async(call)(*args)

    await in_database(lambda: services.request_check(UserFactory(), instances=_only(instance), **options))
    pool = Pool(lambda _: SSHTransport())
    async with asyncio.TaskGroup() as tasks:
        await start_checks(tasks, pool, in_database)
    kept = pool.keys()
    await pool.close()
    found = await in_database(lambda: Instance.objects.get(pk=instance.pk))
    assert kept == []
    assert found.check_requested_at is None
    failed = [step for step in found.check_steps if step["state"] == "failed"]
    return (
        [step["stage"] for step in found.check_steps if step["state"] == "passed"],
        [(step["stage"], step["reason"]) for step in failed],
        "".join(step["message"] for step in failed),
    )


def test_a_check_that_breaks_is_told_and_breaks_nothing_else(reached, monkeypatch):
    async def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "check", broken)
    assert result_of(reached) == ([], [], "")
    reached.refresh_from_db()
    assert (reached.reach, reached.reach_reason) == ("unreachable", "engine")
    assert "the console made an error" in reached.reach_message.lower()


def looked_at_twice(instance, meanwhile):
    """What a check came to during whose first look something else was done, and what it had come to before that."""
    returned, was = [], []

    async def in_database(call, *args):
        if call is _save and not returned:
            returned.append(await database_sync_to_async(meanwhile)())
        return await database_sync_to_async(call)(*args)

    async def check():
        pool = Pool(lambda _: SSHTransport())
        await in_database(lambda: services.request_check(UserFactory(), instances=_only(instance)))
        for _ in range(2):
            async with asyncio.TaskGroup() as tasks:
                await start_checks(tasks, pool, in_database)
            was.append(await in_database(lambda: Instance.objects.get(pk=instance.pk)))
        await pool.close()

    asyncio.run(check())
    return [
        (row.check_requested_at is not None, row.reach, [(step["stage"], step["state"]) for step in row.check_steps])
        for row in was
    ]


@pytest.mark.parametrize("way", ["address", "key"])
def test_what_was_changed_during_a_check_is_checked_again(reached, sshd, way):
    def change():
        # Who presses now is told that a check goes on.
        if way == "address":
            Instance.objects.filter(pk=reached.pk).update(port=sshd.port)
        else:
            actor = UserFactory(role=Role.ADMINISTRATOR)
            host_keys.trust(actor, host_keys=[host_keys.note_presented(reached, sshd.host_key)])
        services.request_check(UserFactory(), instances=_only(reached))

    if way == "address":
        Instance.objects.filter(pk=reached.pk).update(port=1)
    else:
        HostKey.objects.all().delete()
    first, second = looked_at_twice(reached, change)
    assert first == (True, "unknown", [])
    assert second == (False, "reachable", [(stage, "passed") for stage in ALL])


def test_what_more_was_asked_for_during_a_check_is_tried_too(reached, tmp_path):
    def ask():
        services.request_check(UserFactory(), instances=_only(reached), working_directory=str(tmp_path))

    first, second = looked_at_twice(reached, ask)
    assert first == (True, "unknown", [])
    assert second == (False, "reachable", [(stage, "passed") for stage in [*ALL, "working_directory"]])


def _only(instance):
    return Instance.objects.filter(pk=instance.pk)


def test_everything_passes(reached, sshd):
    before = sshd.accepted
    assert result_of(reached) == (ALL, [], "")
    assert result_of(reached) == (ALL, [], "")
    # Never a kept connection: it would say nothing about the credential as it is now.
    assert sshd.accepted == before + 2
    reached.refresh_from_db()
    assert (reached.reach, reached.facts["user"]) == ("reachable", getpass.getuser())


@pytest.mark.parametrize(
    ("changes", "passed", "failed"),
    [
        ({"address": "no-such-name.invalid"}, [], ("resolve", "dns")),
        ({"address": "169.254.1.1"}, [], ("resolve", "address_denied")),
        ({"port": 1}, ["resolve"], ("connect", "refused")),
        ({"user_name": "nobody-of-that-name"}, ["resolve", "connect", "host_key"], ("sign_in", "auth_failed")),
        ({"credential": None}, [], ("sign_in", "credentials_missing")),
    ],
    ids=["name", "denied", "port", "user", "credential"],
)
def test_a_failure_is_found_in_its_step(reached, changes, passed, failed):
    assert result_of(reached, **changes)[:2] == (passed, [failed])


def test_an_untrusted_key_ends_it_before_anybody_signs_in(reached, sshd):
    HostKey.objects.all().delete()
    before = sshd.log().count("Accepted") + sshd.log().count("Failed")
    assert result_of(reached)[:2] == (["resolve", "connect"], [("host_key", "host_key_unknown")])
    assert sshd.log().count("Accepted") + sshd.log().count("Failed") == before
    assert HostKey.objects.get().state == "unknown"


def test_a_working_directory_is_tried_without_running_anything(reached, tmp_path):
    assert asyncio.run(_test(reached, working_directory=str(tmp_path)))[:2] == ([*ALL, "working_directory"], [])
    passed, failed, message = asyncio.run(_test(reached, working_directory="/no/such/folder"))
    assert (passed, failed) == (ALL, [("working_directory", "cwd_missing")])
    assert message == "The working directory does not exist or cannot be entered."
    assert list(tmp_path.iterdir()) == []


def test_running_as_another_user_is_tried_through_sudo(reached):
    passed, failed, message = asyncio.run(_test(reached, run_as="nobody"))
    assert (passed, failed) == ([*ALL, "run_as"], []), message
    passed, failed, message = asyncio.run(_test(reached, run_as="no-such-user-here"))
    assert (passed, failed) == (ALL, [("run_as", "run_as_user_missing")])
    assert "did not run" not in message
