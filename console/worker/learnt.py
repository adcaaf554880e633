"""Owns what runs and checks teach about instances: reachable or not, keys presented, credentials refused."""

from dataclasses import dataclass, field

from django.db import transaction

from instances.credentials import services as credentials
from instances.engine.errors import AuthFailed, ConnectError, HostCertificateRefused, HostKeyError
from instances.engine.types import Target
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance, Reach
from instances.inventory.reachability import note_reach
from instances.inventory.targets import Offered, TargetKey


@dataclass
class Learnt:
    """Collects notes on the event loop; ``save`` writes them in a database thread, many at a time."""

    _reached: set[int] = field(default_factory=set)
    _failed: dict[int, tuple[ConnectError, Offered | None]] = field(default_factory=dict)

    def note(
        self,
        instance_id: int,
        error: ConnectError | None,
        *,
        offered: Offered | None,
        via: Target | None = None,
    ) -> None:
        """Remember how an attempt to reach an instance went, with which credential; the last attempt counts.

        ``offered`` is the credential that was offered, as offered_with has it. ``via`` is its jump host: what one of a
        chain refused is noted for that one, and those before it were reached.
        """
        self._note(instance_id, error, offered)
        failed = error.hop if error is not None else None
        while via is not None and isinstance(via.key, TargetKey):
            if failed is None:
                self._note(via.key.instance_id, None, None)
            elif via.key == failed.key:
                assert error is not None
                self._note(via.key.instance_id, error.hop_error, via.key.credential)
                failed = None
            via = via.via

    def _note(self, instance_id: int, error: ConnectError | None, offered: Offered | None) -> None:
        if error is None:
            self._reached.add(instance_id)
            self._failed.pop(instance_id, None)
        else:
            self._failed[instance_id] = (error, offered)
            self._reached.discard(instance_id)

    def save(self) -> None:
        """Write what was noted since the last call. Side effects: one statement for all that were reached."""
        reached, self._reached = self._reached, set()
        failed, self._failed = self._failed, {}
        if reached:
            note_reach(list(reached), reach=Reach.REACHABLE)
            credentials.note_successes(list(reached))
        for instance_id, (error, offered) in failed.items():
            note_reach([instance_id], reach=Reach.UNREACHABLE, reason=error.reason, message=error.cause)
            _note_what_to_review(instance_id, error, offered)


def _note_what_to_review(instance_id: int, error: ConnectError, offered: Offered | None) -> None:
    if error.hop is not None:
        # It is the jump host's key or credential, and noted for that.
        return
    with transaction.atomic():
        # Held until it is written: a row cannot refer to what is deleted meanwhile, and an error ends the worker.
        instance = Instance.objects.select_for_update().filter(pk=instance_id).first()
        if instance is None:
            return
        if isinstance(error, HostKeyError | HostCertificateRefused) and error.presented is not None:
            host_keys.note_presented(instance, error.presented)
        elif isinstance(error, AuthFailed) and offered is not None:
            credential_id, version = offered
            credentials.note_failure(credential_id=credential_id, instance=instance, version=version)
