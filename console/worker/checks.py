"""Owns Check now: the worker takes requested checks, connects, and writes what it found."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from console.worker.learnt import Learnt
from instances.credentials import services as credentials
from instances.engine.check import check
from instances.engine.errors import ConnectError, EngineError
from instances.engine.pool import Pool
from instances.engine.types import Facts, Target
from instances.inventory import reachability
from instances.inventory.models import Instance
from instances.inventory.targets import targets_of

AT_ONCE = 50

InDatabase = Callable[..., Awaitable[Any]]


async def start_checks(tasks: asyncio.TaskGroup, pool: Pool, in_database: InDatabase) -> None:
    """Start a task for each requested check, at most ``AT_ONCE`` at a time for one call."""
    claimed = await in_database(_claim)
    for instance_id, target, credential_id in claimed:
        tasks.create_task(_check(instance_id, target, credential_id, pool, in_database))


def _claim() -> list[tuple[int, Target, int | None]]:
    instances: list[Instance] = reachability.claim_checks(AT_ONCE)
    if not instances:
        return []
    targets, owned = targets_of(instances), credentials.credentials_for(instances)
    # A suspended credential is not offered by a check either: its failures are what locks the console out.
    for pk in credentials.suspended_on(owned):
        targets[pk] = replace(targets[pk], auth=None)
    return [(i.pk, targets[i.pk], getattr(owned.get(i.pk), "pk", None)) for i in instances]


async def _check(
    instance_id: int, target: Target, credential_id: int | None, pool: Pool, in_database: InDatabase
) -> None:
    error: EngineError | None = None
    facts: Facts | None = None
    try:
        async with pool.borrow(target) as connection:
            facts = await check(connection)
    except EngineError as raised:
        error = raised
    await in_database(_save, instance_id, credential_id, facts, error)


def _save(instance_id: int, credential_id: int | None, facts: Facts | None, error: EngineError | None) -> None:
    learnt = Learnt()
    if error is None or isinstance(error, ConnectError):
        learnt.note(instance_id, error, credential_id=credential_id)
    learnt.save()
    reachability.finish_check(instance_id, facts=facts, error=error)
