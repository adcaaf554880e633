"""Makes runs the way the product does: through the service."""

import itertools
import uuid

from console.runs import queue, services
from console.runs.journal import Journal
from console.runs.models import Run
from instances.access.models import Role
from tests.support import factories

_keys = itertools.count()


def send(count=1, *, actor=None, command="true", instances=None, **options) -> Run:
    """Send a command to ``count`` new instances, or to those given, as an operator."""
    actor = actor or factories.UserFactory(role=Role.OPERATOR)
    instances = instances if instances is not None else factories.InstanceFactory.create_batch(count)
    return services.send_command(
        actor,
        instances=instances,
        command=command,
        request_key=f"key-{next(_keys)}",
        options=services.Options(**options),
    )


def enlisted_worker() -> uuid.UUID:
    """Return the id of a worker with a live lease; its lock is taken by this process until the test ends."""
    worker = uuid.uuid4()
    _locks.append(queue.LeaseFile(worker))
    queue.enlist(worker)
    return worker


_locks: list[queue.LeaseFile] = []


def journal_of(claim: queue.Claim, cap_bytes=64 * 1024 * 1024) -> Journal:
    """Return a journal for a claim, not connected to any writer."""
    return Journal(
        invocation_id=claim.invocation_id,
        run_id=claim.run_id,
        fence=claim.fence,
        cap_bytes=cap_bytes,
        changed=lambda _: None,
    )
