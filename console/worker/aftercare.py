"""Owns what can still be done for lost invocations: look what is left on the instance, and stop it."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from console import bus
from console.runs import queue
from console.runs.models import Recheck
from console.runs.queue import LostOne
from console.runs.status import Status
from instances.engine.errors import EngineError
from instances.engine.pool import Pool
from instances.engine.trees import tree_of
from instances.engine.types import CommandType, Started, Target
from instances.inventory.models import Instance
from instances.inventory.targets import target_of

logger = logging.getLogger(__name__)

AT_ONCE = 50
InDatabase = Callable[..., Awaitable[Any]]

GONE = "Nothing of it is running any more. How it ended was not seen: the command ran, or may have run in part."
BROKE = "It could not be looked for: the console made an error, and its log says which."
BLIND = "It may still be running: sudo refused to look and to stop as {}. The command may have run."
STOPPED = "What was left of it was stopped; nothing of it is running any more."


async def start_rechecks(tasks: asyncio.TaskGroup, pool: Pool, in_database: InDatabase, worker_id: uuid.UUID) -> None:
    """Start a task for each lost invocation that somebody, or a restarted worker, asked about."""
    for lost in await in_database(queue.take_rechecks, worker_id, limit=AT_ONCE):
        tasks.create_task(_recheck(lost, pool, in_database, worker_id))


async def _recheck(lost: LostOne, pool: Pool, in_database: InDatabase, worker_id: uuid.UUID) -> None:
    target = await in_database(_target, lost)
    if target is None:
        found = Status.LOST, "instance_deleted", "The instance was deleted; what became of the command is not known."
    else:
        found = await _find_out(lost, target, pool)
    status, reason, message = found
    await in_database(queue.resolve_lost, worker_id, lost, status=status, reason=reason, message=message)
    bus.ring(bus.WEB)


def _target(lost: LostOne) -> Target | None:
    if lost.instance_id is None:
        return None
    instance = Instance.objects.select_related("group", "credential").filter(pk=lost.instance_id).first()
    return target_of(instance) if instance else None


async def _find_out(lost: LostOne, target: Target, pool: Pool) -> tuple[Status, str, str]:
    started = Started(lost.remote_pid, lost.remote_started) if lost.remote_pid else None
    try:
        tree = tree_of(CommandType(lost.command_type), lost.marker, started, lost.run_as)
        async with pool.borrow(target, for_stop=True) as connection:
            await tree.look(connection)
            alive = tree.survivors()
            if alive.is_clean:
                return Status.LOST, "ended_unseen", GONE
            if lost.recheck != Recheck.STOP and alive.pids:
                return Status.LOST, "still_running", f"Still running on the instance: process {_named(alive.pids)}."
            if alive.is_blind:
                return Status.LOST, "stop_unconfirmed", BLIND.format(lost.run_as)
            left = await tree.stop(connection)
    except EngineError as error:
        return Status.LOST, error.reason, f"It could not be looked for. {error.cause} What became of it is not known."
    except Exception:
        # The last resort: one that breaks must not take the commands of this worker with it.
        logger.exception("A look for what is left broke", extra={"action": "recheck", "id": lost.invocation_id})
        return Status.LOST, EngineError.reason, BROKE
    if left.is_clean:
        return Status.STOPPED, "stopped_later", STOPPED
    return Status.LOST, "stop_unconfirmed", f"Not everything could be stopped: process {_named(left.pids)} is left."


def _named(pids: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(pids)[:20])) or "unknown"
