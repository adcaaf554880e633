"""A whole console between genuine machines and impostors: whom it believes, and what reaches whom."""

import asyncio

import pytest

from tests.support import ssh_server as fault
from tests.support.host_authority import HostAuthority, certified_sshd
from tests.support.until import until
from tests.support.visitor import Records, Visitor

ADDRESS = "127.5.0.1"
ADD = """
from console.members.models import User
from instances.access.models import Grant, Group, Role
from instances.credentials import services as credentials
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
group, _ = Group.objects.get_or_create(name="theirs")
credential = credentials.add_credential(admin, name="{name}", kind={kind!r}, user_name={user!r}, secret={secret!r})
instance = Instance.objects.create(name="{name}", address="{address}", port={port}, credential=credential, group=group)
if not User.objects.filter(username="manager"):
    Grant.objects.create(user=User.objects.create(username="manager"), role=Role.ADMINISTRATOR, group=group)
"""
# Who may manage the instances of a group, but has no credential to give, leads one of them to a machine of his own.
REDIRECT = """
from console.members.models import User
from instances.inventory import services
from instances.inventory.addresses import Address
from instances.inventory.models import Instance
row = Instance.objects.get(name="{name}")
place = Address("{address}", {port})
changed = services.change_instance(User.objects.get(username="manager"), instance=row, address=place, name=row.name,
    group=row.group, credential=row.credential, os=row.os, tags={{}}, jump=row.jump)
print(changed.has_moved, changed.instance.credential)
"""
GIVE_GROUP = """
from console.members.models import User
from instances.access.models import Group
from instances.credentials import services
from instances.credentials.models import Credential
services.attach_to_group(User.objects.get(username="admin"), credential=Credential.objects.get(name="{name}"),
    group=Group.objects.get(name="theirs"))
"""


def shell(console, script, **fields):
    return console.shell(script, **fields).strip()


def trust(console, text):
    console.manage("import_known_hosts", "-", "--apply", stdin=text)


class Sender:
    """Somebody who sends a command to instances by their names."""

    def __init__(self, console):
        self._visitor, self._records = Visitor(console), Records(console.folder)

    def ended(self, name):
        """How a command ended there: status, why, and what it printed."""
        (instance,) = self._records.rows("SELECT id FROM instances_instance WHERE name = ?", name)
        run = self._visitor.send("echo hello", [instance["id"]])
        until(lambda: self._records.run(run)["finished_at"])
        (row,) = self._records.invocations(run)
        return row["status"], row["message"], self._records.output(row["id"])

    def refusal(self, name):
        """Why nothing ran there."""
        status, why, _ = self.ended(name)
        assert status == "unreachable"
        return why


@pytest.fixture(scope="module")
def sender(console):
    return Sender(console)


def test_a_machine_is_believed_by_its_certificate_until_its_key_is_revoked(console, sender, tmp_path, remote_user):
    authority = HostAuthority(tmp_path)
    with certified_sshd(authority, names=ADDRESS) as server:
        fields = {"kind": "key", "user": remote_user, "secret": server.user_key.decode()}
        shell(console, ADD, name="certified", address=ADDRESS, port=server.port, **fields)
        assert "not trusted" in sender.refusal("certified")
        assert server.accepted == 0

        trust(console, f"@cert-authority 127.5.* {authority.key.line}\n")
        assert sender.ended("certified") == ("succeeded", "", b"hello\n")
        assert server.accepted == 1
        # Those that were refused may still be ending.
        until(lambda: server.open_connections == 1)

        trust(console, f"@revoked * {server.host_key.line}\n")
        # Long before it would be closed because nobody uses it.
        until(lambda: server.open_connections == 0, 30)
        assert "revoked" in sender.refusal("certified")
        assert server.accepted == 1


async def test_a_redirected_instance_brings_no_credential_to_an_impostor(console, sender):
    async with (
        fault.ssh_server(password="right") as genuine,
        fault.ssh_server(password="right", has_other_host_key=True) as impostor,
    ):
        fields = {"name": "redirected", "kind": "password", "user": "someone", "secret": "right"}
        await asyncio.to_thread(shell, console, ADD, address="127.0.0.1", port=genuine.port, **fields)
        await asyncio.to_thread(trust, console, f"[127.0.0.1]:{genuine.port} {genuine.host_key.line}\n")
        # Its acted server answers no command, but lets the console sign in.
        await asyncio.to_thread(sender.ended, "redirected")
        assert genuine.sign_ins == 1

        moved = {"name": "redirected", "address": "127.0.0.1", "port": impostor.port}
        assert await asyncio.to_thread(shell, console, REDIRECT, **moved) == "True None"
        assert "no credential" in await asyncio.to_thread(sender.refusal, "redirected")
        assert impostor.connections == 0

        # The default of its group is offered there, but not before a person trusted the machine.
        await asyncio.to_thread(shell, console, GIVE_GROUP, name="redirected")
        assert "not trusted yet" in await asyncio.to_thread(sender.refusal, "redirected")
        assert impostor.connections > 0
        assert (impostor.sign_ins, impostor.auth_requests) == (0, [])


async def test_an_impostor_at_the_address_of_a_trusted_machine_is_asked_nothing(console, sender):
    async with fault.ssh_server(password="right", has_other_host_key=True) as impostor:
        fields = {"name": "taken-over", "kind": "password", "user": "someone", "secret": "right"}
        await asyncio.to_thread(shell, console, ADD, address="127.0.0.1", port=impostor.port, **fields)
        genuine = fault.new_host_key("ssh-ed25519")
        await asyncio.to_thread(trust, console, f"[127.0.0.1]:{impostor.port} {genuine.line}\n")
        assert "another host key" in await asyncio.to_thread(sender.refusal, "taken-over")
        assert impostor.connections > 0
        assert (impostor.sign_ins, impostor.auth_requests) == (0, [])
