"""Owns Check now and Test connection: the worker takes what was asked for, looks step by step, writes what it found."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import transaction

from console.runs.families import is_windows
from console.worker.learnt import Learnt
from instances.credentials import services as credentials
from instances.engine.check import check, try_out
from instances.engine.errors import ConnectError, ConnectTimedOut, EngineError, JumpRefused
from instances.engine.pool import Pool
from instances.engine.steps import Stage, Step, steps_of
from instances.engine.types import Command, CommandType, Ended, Facts, Target
from instances.inventory import jumps, reachability
from instances.inventory.models import Instance
from instances.inventory.targets import offered_with, target_of, targets_of

logger = logging.getLogger(__name__)

AT_ONCE = 50
# Above what its steps allow together, so that nothing they miss keeps a check from ending.
CHECK_S = 50.0

BROKE = "The console made an error; its log says which."
InDatabase = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Asked:
    """A check that was claimed. ``trial``: what is tried beside signing in, as a command that does nothing.

    ``way`` and ``options`` say how the instance was reached, and what was asked for, when it was claimed.
    """

    instance_id: int
    target: Target
    way: Hashable
    options: Mapping[str, str]
    stages: tuple[Stage, ...]
    trial: Command | None


@dataclass(frozen=True)
class Seen:
    """What a check found: facts or an error, and how the trial ended."""

    facts: Facts | None = None
    error: EngineError | None = None
    ended: Ended | None = None

    def steps(self, stages: tuple[Stage, ...]) -> tuple[Step, ...]:
        """Return what came of each stage."""
        return steps_of(stages, self.error, self.ended)


async def start_checks(tasks: asyncio.TaskGroup, pool: Pool, in_database: InDatabase) -> None:
    """Start a task for each requested check, at most ``AT_ONCE`` at a time for one call."""
    claimed = await in_database(_claim)
    for asked in claimed:
        tasks.create_task(_check(asked, pool, in_database))


def _claim() -> list[Asked]:
    instances: list[Instance] = reachability.claim_checks(AT_ONCE)
    if not instances:
        return []
    blocked = jumps.blocked(instances)
    for pk, why in blocked.items():
        error = JumpRefused(why.message)
        reachability.finish_check(pk, error=error, steps=steps_of((Stage.JUMP,), error))
    instances = [instance for instance in instances if instance.pk not in blocked]
    targets, owned = targets_of(instances), credentials.credentials_for(instances)
    # A suspended credential is not offered by a check either: its failures are what locks the console out.
    for pk in credentials.suspended_on(owned):
        targets[pk] = replace(targets[pk], auth=None)
    return [_asked(one, targets[one.pk]) for one in instances]


def _asked(instance: Instance, target: Target) -> Asked:
    options = instance.check_options
    stages = [stage for stage in Stage if stage not in (Stage.RUN_AS, Stage.WORKING_DIRECTORY) or options.get(stage)]
    if instance.is_local:
        stages = [stage for stage in stages if list(Stage).index(stage) >= list(Stage).index(Stage.SHELL)]
    # A name behind a jump host is resolved there.
    left_out = Stage.RESOLVE if target.via is not None else Stage.JUMP
    stages = [stage for stage in stages if stage is not left_out]
    trial = None
    if options:
        kind = CommandType.POWERSHELL if is_windows(instance.os) else CommandType.SHELL
        folder = options.get("working_directory", "")
        run_as = options.get("run_as", "")
        trial = Command(
            "exit 0", uuid.uuid4(), command_type=kind, working_directory=folder, run_as=run_as, timeout_s=10
        )
    # A kept connection would say nothing about the key and the credential as they are now.
    fresh = replace(target, key=(instance.pk, "check", uuid.uuid4()))
    return Asked(instance.pk, fresh, target.key, options, tuple(stages), trial)


async def _check(asked: Asked, pool: Pool, in_database: InDatabase) -> None:
    try:
        await in_database(_save, asked, await _look(asked, pool))
    except Exception:
        # The last resort: a broken check must not take the commands of this worker with it.
        logger.exception("A check broke", extra={"action": "check", "id": asked.instance_id})
        await in_database(_save_broken, asked.instance_id)


async def _look(asked: Asked, pool: Pool) -> Seen:
    facts = ended = None
    try:
        async with asyncio.timeout(CHECK_S), pool.borrow(asked.target) as connection:
            try:
                facts = await check(connection)
                if asked.trial is not None:
                    ended = await try_out(connection, asked.trial, partial(pool.borrow, asked.target, for_stop=True))
            finally:
                connection.close()
    except EngineError as error:
        return Seen(facts, error)
    except TimeoutError:
        return Seen(facts, ConnectTimedOut())
    return Seen(facts, None, ended)


def _save(asked: Asked, seen: Seen) -> None:
    if _look_again_if_changed(asked):
        return
    learnt = Learnt()
    if seen.error is None or isinstance(seen.error, ConnectError):
        learnt.note(asked.instance_id, seen.error, offered=offered_with(asked.way), via=asked.target.via)
    learnt.save()
    with transaction.atomic():
        # What was just noted, such as the key that it showed, may have been acted on before this.
        if not _look_again_if_changed(asked):
            steps = seen.steps(asked.stages)
            reachability.finish_check(asked.instance_id, facts=seen.facts, error=seen.error, steps=steps)


def _save_broken(instance_id: int) -> None:
    reachability.finish_check(instance_id, error=EngineError(BROKE))


def _look_again_if_changed(asked: Asked) -> bool:
    """Ask for another check where another way leads to the instance by now, or more was asked for meanwhile.

    What was seen is no answer to that, and who asked during the check was told that one goes on.
    """
    with transaction.atomic():
        rows = Instance.objects.select_for_update(of=("self",)).select_related("group", "credential")
        instance = rows.filter(pk=asked.instance_id).first()
        if instance is None or (target_of(instance).key, instance.check_options) == (asked.way, asked.options):
            return False
        reachability.ask_again(asked.instance_id)
    return True
