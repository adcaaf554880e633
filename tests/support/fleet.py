"""Registers instances with a running console: many addresses of one real OpenSSH server, trusted, with a key."""

from tests.support.console import Console
from tests.support.sshd import Sshd


def register(console: Console, sshd: Sshd, user: str, count: int, *, net: str = "127.3.0") -> list[int]:
    """Add ``count`` instances ``net.1``, ``net.2`` …, signed in to as ``user``; return their numbers."""
    script = _SEED.format(
        key=sshd.user_key.decode(), user=user, port=sshd.port, host_key=sshd.host_key.line, count=count, net=net
    )
    return [int(word) for word in console.shell(script).split()]


_SEED = """
from console.members.models import User
from instances.credentials import services as credentials
from instances.credentials.models import CredentialKind
from instances.engine.types import HostKey as Presented
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
key = credentials.add_credential(admin, name="{user}-{net}", kind=CredentialKind.KEY, user_name={user!r},
                                 secret={key!r}, passphrase="")
made = [Instance.objects.create(name=f"{user}-{net}-{{number}}", address=f"{net}.{{number}}", port={port},
                                credential=key) for number in range(1, {count} + 1)]
for instance in made:
    row = host_keys.note_presented(instance, Presented.parse({host_key!r}))
    host_keys.trust(admin, host_keys=[row])
    print(instance.pk)
"""
