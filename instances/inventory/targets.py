"""Builds what the engine connects to from an instance, and says which networks are closed to it."""

import dataclasses
import ipaddress
import logging
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, Optional

from django.conf import settings

from instances.credentials.models import Credential
from instances.credentials.services import auth_of, credentials_for
from instances.credentials.vault import VaultError
from instances.engine.types import Auth, HostKey, Target
from instances.host_keys.authorities import Vouching, vouching_for
from instances.host_keys.services import trusted_keys_of
from instances.inventory.addresses import Address, ip_of
from instances.inventory.jumps import HOPS_LIMIT, hops_of
from instances.inventory.models import Instance

logger = logging.getLogger(__name__)

# 0.0.0.0 and :: reach the own machine too.
LOOPBACK_NETWORKS = ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")
# In place of a jump host that is gone: without a credential nothing is dialled, least of all the instance directly.
NOWHERE = Target("nowhere", "(deleted)", "", 0, None, ())


# A credential that signs in: its id and version.
Offered = tuple[int, int]


class TargetKey(NamedTuple):
    """What names a connection in the pool; it changes with everything that decides where the connection leads.

    Shape: ``vouching`` names the authorities and revoked keys that count;
    ``via`` is the key of the jump host; ``run_id`` is the one run
    whose own password signs in.
    """

    instance_id: int
    address: str
    port: int
    user: str
    credential: Offered | None
    target_version: int
    vouching: str = ""
    via: Optional["TargetKey"] = None
    run_id: int | None = None


def target_of(instance: Instance) -> Target:
    """Return the engine's target for one instance; see targets_of."""
    return targets_of([instance])[instance.pk]


def targets_of(instances: Iterable[Instance]) -> dict[int, Target]:
    """Return the engine's targets by instance id.

    The user name kept with the instance wins over the credential's. The pool key changes with everything that
    decides where a connection leads or who is signed in on it. Side effects: about six queries, however many
    instances, and one for each link of the longest chain of jump hosts; each credential is opened once.
    A credential that the vault cannot open counts as none, with an error in the log: the others are not held up.
    """
    rows = list(instances)
    hops = hops_of(rows)
    everything = list({row.pk: row for row in [*rows, *hops.values()]}.values())
    owned, keys, vouching = credentials_for(everything), trusted_keys_of(everything), vouching_for(everything)
    used = {credential.pk: credential for credential in owned.values() if credential is not None}
    opened = {pk: _opened(credential) for pk, credential in used.items()}

    def target(row: Instance, left: int) -> Target:
        via = None
        if row.jump_id is not None:
            hop = hops.get(row.jump_id)
            via = target(hop, left - 1) if hop is not None and left else NOWHERE
        return _target(row, owned[row.pk], keys[row.pk], vouching[row.pk], opened, via)

    return {row.pk: target(row, HOPS_LIMIT) for row in rows}


def offered_with(key: Hashable) -> Offered | None:
    """Return the credential that a connection of this key signs in with, as it was when the key was made."""
    return key.credential if isinstance(key, TargetKey) else None


def local_is_allowed() -> bool:
    """Say whether the console's own machine may be an instance."""
    return bool(settings.ENV.allow_localhost)


def is_closed(address: Address) -> bool:
    """Say whether an IP address is in a network closed to ordinary instances; names are only known when dialled."""
    ip = ip_of(address.host)
    if ip is None:
        return False
    networks = (ipaddress.ip_network(network) for network in denied_networks(may_be_loopback=False))
    return any(ip in network for network in networks)


def _opened(credential: Credential) -> Auth | None:
    try:
        return auth_of(credential)
    except VaultError:
        logger.exception("cannot open a credential", extra={"action": "target", "credential": credential.pk})
        return None


def _target(
    instance: Instance,
    credential: Credential | None,
    host_keys: tuple[HostKey, ...],
    vouching: Vouching,
    opened: Mapping[int, Auth | None],
    via: Target | None,
) -> Target:
    auth = opened[credential.pk] if credential is not None and not instance.is_local else None
    if auth is not None and instance.user_name:
        auth = dataclasses.replace(auth, user=instance.user_name)
    return Target(
        key=TargetKey(
            instance.pk,
            instance.address,
            instance.port,
            auth.user if auth else instance.user_name,
            (credential.pk, credential.version) if credential else None,
            instance.target_version,
            vouching.version,
            via.key if via is not None and isinstance(via.key, TargetKey) else None,
        ),
        name=instance.name,
        address=instance.address,
        port=instance.port,
        auth=auth,
        host_keys=host_keys,
        denied_networks=denied_networks(may_be_loopback=instance.is_demo or instance.is_local),
        is_local=instance.is_local,
        via=via,
        authorities=vouching.authorities,
        revoked=vouching.revoked,
    )


def denied_networks(*, may_be_loopback: bool) -> tuple[str, ...]:
    """Return the networks that are never connected to; loopback among them unless it may be, or is allowed."""
    denied = tuple(settings.ENV.denied_networks)
    return denied if may_be_loopback or local_is_allowed() else denied + LOOPBACK_NETWORKS
