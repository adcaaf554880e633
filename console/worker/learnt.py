"""Owns what runs and checks teach about instances: reachable or not, keys presented, credentials refused."""

from dataclasses import dataclass, field

from console.worker.preparation import Order
from instances.credentials import services as credentials
from instances.engine.errors import AuthFailed, ConnectError, HostKeyChanged, HostKeyUnknown
from instances.host_keys import services as host_keys
from instances.inventory import services as inventory
from instances.inventory.models import Instance, Reach


@dataclass
class Learnt:
    """Collects notes on the event loop; ``save`` writes them in a database thread, many at a time."""

    _reached: dict[int, Order] = field(default_factory=dict)
    _failed: dict[int, tuple[Order, ConnectError]] = field(default_factory=dict)

    def note(self, order: Order, error: ConnectError | None) -> None:
        """Remember how an attempt to reach an instance went; the last attempt counts."""
        if order.instance_id is None:
            return
        if error is None:
            self._reached[order.instance_id] = order
            self._failed.pop(order.instance_id, None)
        else:
            self._failed[order.instance_id] = (order, error)
            self._reached.pop(order.instance_id, None)

    def save(self) -> None:
        """Write what was noted since the last call. Side effects: one statement for all that were reached."""
        reached, self._reached = self._reached, {}
        failed, self._failed = self._failed, {}
        if reached:
            inventory.note_reach(list(reached), reach=Reach.REACHABLE)
            credentials.note_successes(list(reached))
        for instance_id, (order, error) in failed.items():
            inventory.note_reach([instance_id], reach=Reach.UNREACHABLE, reason=error.reason, message=error.cause)
            _note_what_to_review(instance_id, order, error)


def _note_what_to_review(instance_id: int, order: Order, error: ConnectError) -> None:
    instance = Instance.objects.filter(pk=instance_id).first()
    if instance is None:
        return
    if isinstance(error, HostKeyUnknown | HostKeyChanged):
        host_keys.note_presented(instance, error.presented)
    elif isinstance(error, AuthFailed) and order.credential_id is not None:
        credentials.note_failure(credential_id=order.credential_id, instance=instance)
