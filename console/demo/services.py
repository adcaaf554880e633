"""Owns the demo fleet's rows and files: register it, find it, remove it without a trace."""

import contextlib
import fcntl
import getpass
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from console.demo import server
from console.members.models import User
from instances.access.models import Group
from instances.audit.services import record
from instances.credentials import services as credentials
from instances.credentials.models import Credential, CredentialKind
from instances.engine.types import HostKey
from instances.host_keys import services as host_keys
from instances.inventory import groups
from instances.inventory import services as inventory
from instances.inventory.addresses import Address
from instances.inventory.models import Instance

GROUP, CREDENTIAL = "Demo", "Demo fleet"
# Below the range that systems take for outgoing connections, so that the ports are still free after a restart.
PORTS = range(22201, 29999)
FLEET: dict[str, dict[str, str]] = {
    "web-01": {"env": "prod", "role": "web"},
    "web-02": {"env": "prod", "role": "web"},
    "web-03": {"env": "staging", "role": "web"},
    "app-01": {"env": "prod", "role": "app"},
    "app-02": {"env": "prod", "role": "app"},
    "app-03": {"env": "staging", "role": "app"},
    "db-01": {"env": "prod", "role": "db"},
    "db-02": {"env": "staging", "role": "db"},
    "cache-01": {"env": "prod", "role": "cache"},
    "cache-02": {"env": "staging", "role": "cache"},
    "queue-01": {"env": "prod", "role": "queue"},
    "build-01": {"env": "dev", "role": "build"},
}
WELCOME = """This is the home folder of {name}, one of Muster's demo instances.
Its commands run on the console's own machine, as the user who started the console.
"""


def instances() -> QuerySet[Instance]:
    """Return the demo instances there are."""
    return Instance.objects.filter(is_demo=True)


def register_when_empty(actor: User) -> bool:
    """Register the fleet if nobody has added an instance yet; say whether it was."""
    if Instance.objects.filter(is_adhoc=False).exists():
        return False
    register(actor)
    return True


def register(actor: User) -> list[Instance]:
    """Register the fleet with a new key, trusted host keys and free ports; what is there already stays as it is.

    Side effects: files in the data folder. Raises: NotAllowed.
    """
    with _files_held():
        if instances().exists():
            return list(instances())
        _remove_files()
        return _register(actor)


def _register(actor: User) -> list[Instance]:
    private, public = server.new_key()
    with transaction.atomic():
        group = Group.objects.filter(name=GROUP).first() or groups.add_group(actor, name=GROUP)
        Credential.objects.filter(name=CREDENTIAL).delete()
        credential = credentials.add_credential(
            actor, name=CREDENTIAL, kind=CredentialKind.KEY, user_name=getpass.getuser(), secret=private
        )
        _write(keys_folder() / "authorized_keys", public + "\n")
        ports = _free_ports(len(FLEET))
        made = [_register_one(actor, name, port, group, credential) for name, port in zip(FLEET, ports, strict=True)]
        record(actor, "start_demo", f"{len(made)} instances", ids=[instance.pk for instance in made])
    return made


def remove(actor: User) -> int:
    """Remove the fleet: instances, credential, group (unless others are in it) and files. Return how many there were.

    The fleet's server sees it, ends the commands that run and closes the ports. Raises: NotAllowed.
    """
    with transaction.atomic():
        count = inventory.delete_instances(actor, instances=instances())
        for credential in Credential.objects.filter(name=CREDENTIAL, instances=None, group_defaults=None):
            credentials.delete_credential(actor, credential=credential)
        for group in Group.objects.filter(name=GROUP, instances=None, grants=None):
            groups.delete_group(actor, group=group)
        record(actor, "remove_demo", f"{count} instances")
        transaction.on_commit(clear_files)
    return count


def places() -> set[server.Place]:
    """Return where the fleet's servers have to listen, as its rows say."""
    found = set()
    for pk, port in instances().values_list("pk", "port"):
        # By the row's id in the keys' folder: an instance that was given another name keeps its home and key.
        name_file = keys_folder() / f"{pk}.name"
        if not name_file.exists():
            continue
        name = name_file.read_text()
        found.add(server.Place(name, port, folder() / name, keys_folder() / name, keys_folder() / "authorized_keys"))
    return found


def wait_until_served(within_s: float = 10) -> bool:
    """Wait until all demo instances' ports answer; say whether they do. Nobody signs in."""
    ends_at = time.monotonic() + within_s
    for port in sorted(instances().values_list("port", flat=True)):
        while not _answers(port):
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.05)
    return True


def _answers(port: int) -> bool:
    try:
        socket.create_connection((server.ADDRESS, port), 1).close()
    except OSError:
        return False
    return True


def folder() -> Path:
    """Return the folder with the fleet's homes."""
    return Path(settings.DATA_DIR) / "demo"


def keys_folder() -> Path:
    """Return the folder with the fleet's host keys and the key that may sign in."""
    return Path(settings.DATA_DIR) / "demo-keys"


def clear_files() -> None:
    """Remove the homes and keys, unless there are demo instances."""
    with _files_held():
        if not instances().exists():
            _remove_files()


def _remove_files() -> None:
    shutil.rmtree(folder(), ignore_errors=True)
    shutil.rmtree(keys_folder(), ignore_errors=True)


@contextlib.contextmanager
def _files_held() -> Iterator[None]:
    """Let no other process write or remove the fleet's files: they are written before their rows can be seen."""
    with (Path(settings.DATA_DIR) / "demo-files.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _register_one(actor: User, name: str, port: int, group: Group, credential: Credential) -> Instance:
    private, public = server.new_key()
    is_taken = Instance.objects.filter(name=name, is_adhoc=False).exists()
    instance = inventory.add_instance(
        actor,
        address=Address(server.ADDRESS, port),
        name=f"demo-{name}" if is_taken else name,
        group=group,
        credential=credential,
        tags=FLEET[name],
        is_demo=True,
    )
    host_keys.trust(actor, host_keys=[host_keys.note_presented(instance, HostKey.parse(public))])
    _write(keys_folder() / name, private)
    _write(keys_folder() / f"{instance.pk}.name", name)
    _write(folder() / name / "README.txt", WELCOME.format(name=name))
    return instance


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _free_ports(count: int) -> list[int]:
    # Of consoles on one machine that start together, or of which one is restarted, each has ports of its own.
    start = secrets.randbelow(len(PORTS))
    found: list[int] = []
    for port in (*PORTS[start:], *PORTS[:start]):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((server.ADDRESS, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found
