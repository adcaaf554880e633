"""What a worker makes of instances behind jump hosts, with real servers: each error is noted for whom it is about."""

import asyncio
import getpass
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.core.management import call_command

from console.runs.models import Invocation
from console.runs.prompts import Prompts
from console.worker import preparation
from console.worker.checks import start_checks
from instances.credentials.models import CredentialKind, CredentialSuspension
from instances.credentials.services import add_credential
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.host_keys.models import HostKey, HostKeyState
from instances.host_keys.services import note_presented, trust
from instances.inventory.models import Instance
from instances.inventory.services import request_check
from instances.inventory.targets import target_of
from tests.support import factories
from tests.support.ssh_server import new_key
from tests.support.sshd import Sshd, running_sshd
from tests.support.until import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sshd, pytest.mark.slow]


@pytest.fixture(scope="module")
def servers():
    with running_sshd() as a, running_sshd() as b:
        yield a, b


def registered(server: Sshd, name: str, actor: Any, *, secret: bytes = b"", jump: Instance | None = None) -> Instance:
    """An instance at a server, with its key trusted and a credential of its own."""
    credential = add_credential(
        actor,
        name=name,
        kind=CredentialKind.KEY,
        user_name=getpass.getuser(),
        secret=(secret or server.user_key).decode(),
    )
    row = factories.InstanceFactory(
        name=name, address=f"127.2.0.{1 + ord(name) % 200}", port=server.port, credential=credential, jump=jump
    )
    trust(actor, host_keys=[note_presented(row, server.host_key)])
    row.refresh_from_db()
    return row


@pytest.fixture
def actor(settings):
    factories.allow_localhost(settings)
    return factories.UserFactory(username="ada")


def sent(name: str) -> Invocation:
    with pytest.raises(SystemExit):
        call_command("run", "--on", name, "echo from $USER")
    return Invocation.objects.latest("pk")


def checked(actor: Any, row: Instance) -> Instance:
    request_check(actor, instances=Instance.objects.filter(pk=row.pk))

    async def check() -> None:
        pool = Pool(lambda _: SSHTransport())
        async with asyncio.TaskGroup() as tasks:
            await start_checks(tasks, pool, lambda call, *a: database_sync_to_async(call)(*a))
        await pool.close()

    asyncio.run(check())
    return Instance.objects.get(pk=row.pk)


def test_a_command_is_sent_and_both_are_known_to_be_reachable(servers, actor):
    a = registered(servers[0], "a", actor)
    b = registered(servers[1], "b", actor, jump=a)
    assert sent("b").status == "succeeded"
    assert set(Instance.objects.values_list("name", "reach")) == {("a", "reachable"), ("b", "reachable")}
    row = checked(actor, b)
    assert (row.reach, row.facts["user"]) == ("reachable", getpass.getuser())


def test_a_refused_credential_counts_against_the_jump_host_and_is_not_offered_a_third_time(servers, actor):
    a = registered(servers[0], "a", actor, secret=new_key())
    registered(servers[1], "b", actor, jump=a)
    before = refusals(servers[0])
    for _ in range(3):
        ended = sent("b")
        assert (ended.status, ended.reason) == ("unreachable", "auth_failed")
    assert "credential of its jump host a was refused there twice" in ended.message
    row = CredentialSuspension.objects.get()
    assert (row.instance.name, row.failures) == ("a", 2)
    # The server notes it when it sees the connection closed.
    until(lambda: refusals(servers[0]) - before >= 2)
    told = Instance.objects.get(name="b")
    assert told.reach_message.startswith("Jump host a: the instance refused the user name or credential")
    assert Instance.objects.get(name="a").reach_message.startswith("The instance refused")
    assert "refused there twice" in checked(actor, told).reach_message
    assert refusals(servers[0]) - before == 2


def refusals(server: Sshd) -> int:
    return server.log().count("Connection closed by authenticating user")


def test_a_changed_key_of_the_jump_host_waits_for_review_there(servers, actor):
    a = registered(servers[0], "a", actor)
    b = registered(servers[1], "b", actor, jump=a)
    Instance.objects.filter(pk=a.pk).update(port=servers[1].port)
    assert sent("b").reason == "host_key_changed"
    waiting = HostKey.objects.get(state=HostKeyState.CHANGED)
    assert (waiting.instance, waiting.fingerprint) == (a, servers[1].host_key.fingerprint)
    assert b.host_keys.count() == 1


def test_behind_a_disabled_jump_host_nothing_is_sent(servers, actor):
    a = registered(servers[0], "a", actor)
    b = registered(servers[1], "b", actor, jump=a)
    key = target_of(b).key
    assert preparation.current_keys([key], Prompts()) == {key}
    Instance.objects.filter(pk=a.pk).update(is_disabled=True)
    assert preparation.current_keys([key], Prompts()) == set()
    ended = sent("b")
    assert (ended.status, ended.reason) == ("skipped", "instance_disabled")
    assert "jump host a is disabled" in ended.message
    assert "jump host a is disabled" in checked(actor, b).reach_message


def test_from_a_shell_with_its_host_key_seen_through_the_jump_host(servers, actor, capsys):
    registered(servers[0], "a", actor)
    fingerprint = servers[1].host_key.fingerprint
    before = servers[0].accepted
    call_command("add_instance", "far", f"127.2.1.1:{servers[1].port}", "--via", "a", "--trust", fingerprint)
    assert servers[0].accepted == before + 1
    row = Instance.objects.get(name="far")
    assert (row.jump.name, row.host_keys.get().state) == ("a", "trusted")
    with pytest.raises(SystemExit):
        call_command("add_instance", "farther", "127.2.1.2", "--via", "nobody")
    assert "There is no instance “nobody”" in capsys.readouterr().err
