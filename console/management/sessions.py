"""Owns how instances and sessions are named in a shell, and what a shell is told where no worker is alive."""

import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from django.conf import settings
from django.db.models import BigIntegerField, QuerySet

from console.members.models import User
from console.runs import queue
from console.runs.choice import Choice, chosen
from console.sessions import services
from console.sessions.models import Session
from console.supervisor import noted_address
from instances.access.rules import Action, scope
from instances.inventory.models import Instance

NOT_DONE = 255
# How long the worker of a console that runs may take to be there.
STARTING_S, LOOK_AGAIN_S = 30.0, 0.1
NO_WORKER = "No worker of the console is alive on this data folder: start it with manage.py serve."


def end(status: int, sentence: str) -> NoReturn:
    """Print one sentence and end with a status."""
    sys.stderr.write(f"{sentence}\n")
    raise SystemExit(status)


def require_worker() -> None:
    """End the program where no worker is alive: sessions live in one, and this is none.

    That of a console that was just started, or whose worker died, is on its way.
    """
    ends_at = time.monotonic() + STARTING_S
    while not queue.a_worker_is_alive():
        if not noted_address(settings.DATA_DIR) or time.monotonic() > ends_at:
            end(NOT_DONE, NO_WORKER)
        time.sleep(LOOK_AGAIN_S)


def instance_named(actor: User, name: str) -> Instance:
    """Return the instance of a name, of those the actor may see. Raises: ValueError, with a sentence."""
    found = _visible(actor).filter(name=name).first()
    if found is None:
        raise ValueError(f"There is no instance {name}.")
    return found


def instances_named(actor: User, names: Sequence[str]) -> list[Instance]:
    """Return the instances of names, addresses and ranges, each once. Raises: RunError, with a sentence."""
    exact = list(_visible(actor).filter(name__in=names))
    others = [name for name in names if name not in {instance.name for instance in exact}]
    ranges = chosen(actor, Choice(names=" ".join(others))) if others else []
    return list({instance.pk: instance for instance in (*exact, *ranges)}.values())


def sessions_numbered(actor: User, numbers: Sequence[int]) -> list[Session]:
    """Return the sessions of these numbers, in their order. Raises: ValueError, with a sentence."""
    possible = [number for number in numbers if number <= BigIntegerField.MAX_BIGINT]
    rows = services.visible_sessions(actor).select_related("instance__group").in_bulk(possible)
    if missing := [number for number in numbers if number not in rows]:
        raise ValueError(f"There is no session {missing[0]}.")
    return [rows[number] for number in dict.fromkeys(numbers)]


def _visible(actor: User) -> QuerySet[Instance]:
    return Instance.objects.filter(scope(actor, Action.VIEW), is_adhoc=False).select_related("group")
