"""Owns what is asked again and again about open terminals: may their visitors still look, and type?

All terminals that one browser shows are asked about together: two hundred of them each on their own would keep the
database busy with nothing else.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField

from console.members import services as members
from console.members.models import User
from console.sessions import services
from console.sessions.models import LIVE, Kind, Session
from instances.access import rules
from instances.audit.services import record

# Of an answer that several sockets share.
FRESH_S = 1.0


@dataclass(frozen=True)
class Visitor:
    """Somebody in one browser."""

    user_id: int
    session_key: str | None


@dataclass(frozen=True)
class Rights:
    """What somebody may do with a terminal now, and how it is. ``ended``: what a page is told of its end."""

    may_watch: bool
    may_write: bool
    is_mine: bool
    state: str
    worker: Any
    ended: dict[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """What holds for a visitor: none of the terminals, and nothing, for one who is not signed in any more."""

    is_signed_in: bool
    rights: dict[int, Rights]


class Lookout:
    """Asks for the sockets of one process. ``read`` runs a call in a thread that has the database."""

    def __init__(self, read: Callable[..., Awaitable[Any]]) -> None:
        self._read = read
        self._shown: defaultdict[Visitor, list[int]] = defaultdict(list)
        self._answers: dict[Visitor, tuple[float, Answer]] = {}
        self._locks: defaultdict[Visitor, asyncio.Lock] = defaultdict(asyncio.Lock)

    def add(self, visitor: Visitor, session_id: int) -> None:
        """Ask about this terminal too from now on."""
        self._shown[visitor].append(session_id)

    def remove(self, visitor: Visitor, session_id: int) -> None:
        """Take back one ``add``."""
        self._shown[visitor].remove(session_id)
        if not self._shown[visitor]:
            for kept in (self._shown, self._answers, self._locks):
                kept.pop(visitor, None)

    async def again(self, visitor: Visitor) -> Answer:
        """Return what holds now, to within ``FRESH_S``, for all terminals that were added."""
        async with self._locks[visitor]:
            at, answer = self._answers.get(visitor, (0.0, None))
            if answer is None or time.monotonic() - at > FRESH_S:
                at = time.monotonic()
                answer = await self._read(answer_for, visitor, set(self._shown[visitor]))
                self._answers[visitor] = (at, answer)
            return answer


def answer_for(visitor: Visitor, session_ids: Collection[int]) -> Answer:
    """Return what holds for a visitor. Terminals that are not there, or not theirs to know of, are left out."""
    if not members.session_is_live(visitor.session_key, visitor.user_id):
        return Answer(False, {})
    user = User.objects.get(pk=visitor.user_id)
    # A larger number is nobody's, and an error to the database.
    possible = [one for one in session_ids if one <= BigIntegerField.MAX_BIGINT]
    rows = services.visible_sessions(user).filter(pk__in=possible, kind=Kind.TERMINAL)
    with rules.remembered():
        return Answer(True, {row.pk: _rights(user, row) for row in rows.select_related("instance__group")})


def rights_of(user_id: int, session_id: int) -> Rights | None:
    """Return what holds for a person without a browser; None for a terminal that is not there, or not to know of."""
    user = User.objects.get(pk=user_id)
    rows = services.visible_sessions(user).filter(pk=session_id, kind=Kind.TERMINAL)
    row = rows.select_related("instance__group").first()
    return _rights(user, row) if row is not None else None


def note(user: Any, action: str, session_id: int, os_user: str = "") -> None:
    """Write into the audit that somebody watches a terminal, or takes it over; ``os_user`` does so from a shell."""
    row = Session.objects.get(pk=session_id)
    by = {"os_user": os_user} if os_user else {}
    with transaction.atomic():
        record(user, action, row.instance_name, id=row.pk, owner=row.owner_name, **by)


def _rights(user: User, row: Session) -> Rights:
    ended = None
    if row.state not in LIVE:
        ended = {"type": "ended", "reason": row.reason, "message": row.message, "exit_status": row.exit_status}
    return Rights(
        may_watch=services.may_watch(user, row),
        may_write=services.may_use(user, row),
        is_mine=row.owner_id == user.pk,
        state=row.state,
        worker=row.worker,
        ended=ended,
    )
