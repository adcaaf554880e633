"""Owns passwords entered for one run alone: sealed to the workers that live, deleted at claim, held in memory.

Nothing here is openable later: each box was sealed to a key that exists in one worker's memory (box.py). A worker takes
its box with the run's first claim and keeps the password until the run has ended.
"""

import json
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from console.runs.models import PromptedPassword, Run, WorkerLease
from instances.credentials.box import BoxBroken, BoxKey, seal_to

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """What a person entered for the instances of a run that have no credential; an instance's own user name wins."""

    user_name: str
    password: str = field(repr=False)


class Prompts:
    """The prompts one worker holds, and the key that others seal to."""

    def __init__(self) -> None:
        self.worker_id = uuid.uuid4()
        self._key = BoxKey()
        self._held: dict[int, Prompt] = {}

    @property
    def public_key(self) -> bytes:
        """What a box for this worker is sealed to."""
        return self._key.public

    @property
    def run_ids(self) -> tuple[int, ...]:
        """The runs whose password is held."""
        return tuple(self._held)

    def of(self, run_id: int) -> Prompt | None:
        """Return the prompt of a run, if this worker has it."""
        return self._held.get(run_id)

    def take(self, run_ids: Collection[int]) -> None:
        """Open this worker's boxes of runs it claims from, and delete them."""
        wanted = [pk for pk in run_ids if pk not in self._held]
        if not wanted:
            return
        with transaction.atomic():
            rows = list(PromptedPassword.objects.filter(worker=self.worker_id, run__in=wanted))
            PromptedPassword.objects.filter(pk__in=[row.pk for row in rows]).delete()
        for row in rows:
            try:
                opened = json.loads(self._key.open(bytes(row.box), owner=_owner(row.run_id)))
            except BoxBroken:
                logger.warning("A box does not open", extra={"action": "prompt", "run": row.run_id})
                continue
            self._held[row.run_id] = Prompt(*opened)

    def forget_ended(self) -> None:
        """Drop what runs that have ended no longer need, here and in the database."""
        boxes = PromptedPassword.objects.filter(run__finished_at__isnull=False)
        if boxes.exists():
            boxes.delete()
        going = set(Run.objects.filter(pk__in=self._held, finished_at=None).values_list("pk", flat=True))
        for run_id in set(self._held) - going:
            del self._held[run_id]


def living_keys() -> dict[uuid.UUID, bytes]:
    """Return the public key of each worker with a lease, by its id."""
    leases = WorkerLease.objects.exclude(public_key=b"")
    return {lease.pk: bytes(lease.public_key) for lease in leases}


def seal_for_run(run: Run, prompt: Prompt, keys: Mapping[uuid.UUID, bytes]) -> None:
    """Keep a prompt for the workers with these keys, inside the transaction that makes the run."""
    plain = json.dumps([prompt.user_name, prompt.password]).encode()
    PromptedPassword.objects.bulk_create(
        PromptedPassword(run=run, worker=worker, box=seal_to(key, plain, owner=_owner(run.pk)))
        for worker, key in keys.items()
    )
    run.prompt_holders = [str(worker) for worker in keys]
    run.prompted_user_name = prompt.user_name
    run.save(update_fields=["prompt_holders", "prompted_user_name"])


def may_claim(worker_id: uuid.UUID, run: Run) -> bool:
    """Say whether a worker may take from a run: without its password only when nobody who has it lives."""
    holders = run.prompt_holders
    return not holders or str(worker_id) in holders or not WorkerLease.objects.filter(pk__in=holders).exists()


def drop_boxes_of(worker_ids: Iterable[uuid.UUID]) -> None:
    """Delete what was sealed to workers that are gone; nobody can open it."""
    PromptedPassword.objects.filter(worker__in=list(worker_ids)).delete()


def _owner(run_id: int) -> str:
    return f"run|{run_id}|prompt"
