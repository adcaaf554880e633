"""``manage.py add_instance``: register a machine from a shell, with what it is signed in to with and its host key."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from console.members.models import User
from console.members.services import shell_actor
from console.supervisor import fail
from instances.access.models import Group
from instances.access.rules import NotAllowed
from instances.credentials import services as credentials
from instances.credentials.models import Credential, CredentialKind
from instances.engine.errors import EngineError
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.engine.types import HostKey, Target
from instances.host_keys import services as host_keys
from instances.inventory import jumps, tags
from instances.inventory import services as inventory
from instances.inventory.addresses import Address
from instances.inventory.addresses import parse as parse_address
from instances.inventory.errors import InventoryError
from instances.inventory.models import OS, Instance
from instances.inventory.targets import target_of


class Command(BaseCommand):
    """Register one instance; everything or nothing."""

    help = "Register an instance, with a credential of its own and its host key if they are given."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("address", metavar="[user@]host[:port]")
        parser.add_argument("--os", choices=OS.values, default=OS.LINUX)
        parser.add_argument("--group", metavar="GROUP", help="A group that exists.")
        parser.add_argument("--via", metavar="NAME", default="", help="Reach it through this instance.")
        parser.add_argument("--tag", metavar="k=v", action="append", default=[])
        secret = parser.add_mutually_exclusive_group()
        secret.add_argument("--key", metavar="FILE", help="Sign in with this private key.")
        secret.add_argument(
            "--password-stdin", action="store_true", help="Sign in with the password on standard input."
        )
        parser.add_argument(
            "--passphrase-stdin", action="store_true", help="The key's passphrase is on standard input."
        )
        trusted = parser.add_mutually_exclusive_group()
        trusted.add_argument("--trust", metavar="FINGERPRINT", help="Trust the host key if it has this fingerprint.")
        trusted.add_argument("--trust-on-first-use", action="store_true", help="Trust the host key it shows now.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        try:
            actor = shell_actor(options["user"])
            address = parse_address(options["address"])
            inventory.check_address(address)
            jump = jumps.find(actor, options["via"])
            key = _host_key(address, jump, options)
            instance = _add(actor, address, key, options, jump)
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (InventoryError, NotAllowed, EngineError, OSError, UnicodeError) as error:
            fail(error)
        if key is not None:
            self.stdout.write(f"Trusted the host key {key.algorithm} {key.fingerprint}.")
        self.stdout.write(f"Added {instance.name} ({address}).")


def _host_key(address: Address, jump: Instance | None, options: dict[str, Any]) -> HostKey | None:
    """Return the key to trust. Side effects: connects, without signing in; signs in to jump hosts."""
    wanted = options["trust"]
    if not wanted and not options["trust_on_first_use"]:
        return None
    if address.is_local:
        fail("The console's own machine is reached without SSH and has no host key: leave out the trust.")
    place = Instance(name=options["name"], address=address.host, port=address.port, jump=jump)
    for why in jumps.blocked([place]).values():
        fail(why.message)
    shown = asyncio.run(_presented(target_of(place)))
    if wanted and shown.fingerprint != "SHA256:" + wanted.strip().removeprefix("SHA256:").rstrip("="):
        fail(f"{address} shows the host key {shown.fingerprint}, not {wanted}. Nothing was added.")
    return shown


async def _presented(target: Target) -> HostKey:
    transport = SSHTransport()
    pool = Pool(lambda _: transport)
    try:
        async with pool.through(target) as hop:
            return await transport.presented_host_key(target, hop)
    finally:
        await pool.close()


def _add(
    actor: User, address: Address, key: HostKey | None, options: dict[str, Any], jump: Instance | None
) -> Instance:
    kind, secret, passphrase = _secret(options)
    if kind and not address.user:
        fail("Write user@host: the credential needs the name of the user to sign in as.")
    with transaction.atomic():
        instance = inventory.add_instance(
            actor,
            address=address,
            name=options["name"],
            group=_group(options["group"]),
            credential=_credential(actor, address, options["name"], kind, secret, passphrase),
            os=options["os"],
            tags=tags.parse(" ".join(options["tag"])),
            jump=jump,
            check=True,
        )
        if key is not None:
            row = host_keys.note_presented(instance, key)
            host_keys.trust(actor, host_keys=[row])
    return instance


def _secret(options: dict[str, Any]) -> tuple[str, str, str]:
    """Return the kind of the credential (empty: none), the secret and the passphrase."""
    if options["password_stdin"]:
        return CredentialKind.PASSWORD, sys.stdin.readline().rstrip("\r\n"), ""
    if options["key"]:
        passphrase = sys.stdin.readline().rstrip("\r\n") if options["passphrase_stdin"] else ""
        return CredentialKind.KEY, Path(options["key"]).read_text(), passphrase
    if options["passphrase_stdin"]:
        fail("--passphrase-stdin belongs to --key FILE.")
    return "", "", ""


def _credential(actor: User, address: Address, name: str, kind: str, secret: str, passphrase: str) -> Credential | None:
    if not kind:
        return None
    return credentials.add_credential(
        actor,
        name=f"{address.user}@{name}"[:80],
        kind=kind,
        user_name=address.user,
        secret=secret,
        passphrase=passphrase,
    )


def _group(name: str | None) -> Group | None:
    if name is None:
        return None
    group = Group.objects.filter(name=name).first()
    if group is None:
        fail(f"There is no group {name}. Add it on the page Groups.")
    return group
