"""Owns the list of sessions: its filters, its pages, and what each row says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils import timezone

from console.sessions.models import LIVE, Kind, Session, State
from console.sessions.services import may_use, visible_sessions
from instances.access import rules
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User

PAGE_ROWS = 50
# Below what is open.
ENDED_SHOWN = 20
LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One session as the list shows it.

    Units: ``age_s``, ``idle_s`` seconds; no ``age_s`` of one that ended before it was open, no ``idle_s`` at work.
    """

    session: Session
    age_s: float | None
    idle_s: float | None
    may_use: bool

    @property
    def takes_commands(self) -> bool:
        """Whether a command can be sent to it by who looks."""
        return self.may_use and self.session.kind == Kind.SHELL

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self.session.is_live and self.session.close_requested_at is not None

    @property
    def remark(self) -> str:
        """What is said beside the state: the message, without the word of the state that it may begin with."""
        return self.session.message.removeprefix("Closed").removeprefix(":").lstrip()

    @property
    def holder(self) -> str:
        """The first letters of the worker's id that holds it, as its log has them; empty while none does."""
        return self.session.worker.hex[:8] if self.session.worker else ""


def rows_of(user: "User", sessions: Iterable[Session]) -> list[Row]:
    """Return the rows of these sessions, each with its instance and group. Side effects: a query for who looks."""
    now = timezone.now()
    with rules.remembered():
        return [_row(user, session, now) for session in sessions]


def page_of(user: "User", filters: Mapping[str, Any], number: str | None) -> tuple[Page[Session], list[Row]]:
    """Return one page of the sessions a user may see, newest first, and its rows.

    Shape: ``filters`` has ``show`` ("live" or "ended"), ``whose`` ("mine" or "all"), ``instance`` (part of a name) and
    ``kind``. A page past the end means the last.
    """
    found = _fitting(user, filters)
    found = found.exclude(state__in=LIVE) if filters.get("show") == "ended" else found.filter(state__in=LIVE)
    page = Paginator(found, PAGE_ROWS).get_page(number)
    return page, rows_of(user, page)


def ended_lately(user: "User", filters: Mapping[str, Any]) -> list[Row]:
    """Return the newest sessions that fit (as ``page_of`` takes it) and have ended lately: why is told where they were.

    One that could not be opened would otherwise vanish from the list without a word.
    """
    found = _fitting(user, filters).exclude(state__in=LIVE).filter(closed_at__gte=timezone.now() - LATELY)
    return rows_of(user, found[:ENDED_SHOWN])


def live_on(user: "User", instance: Instance) -> list[Row]:
    """Return what is open on an instance of what a user may see, newest first."""
    found = _on(user, instance).filter(state__in=LIVE)
    return rows_of(user, found[:PAGE_ROWS])


def ended_on(user: "User", instance: Instance) -> list[Row]:
    """Return the last sessions on an instance that have ended, of what a user may see."""
    found = _on(user, instance).exclude(state__in=LIVE)
    return rows_of(user, found[:ENDED_SHOWN])


def _fitting(user: "User", filters: Mapping[str, Any]) -> QuerySet[Session]:
    found = visible_sessions(user).select_related("instance__group", "recording").order_by("-pk")
    if filters.get("whose") != "all":
        found = found.filter(owner=user)
    if kind := filters.get("kind"):
        found = found.filter(kind=kind)
    if name := filters.get("instance"):
        found = found.filter(instance_name__icontains=name)
    return found


def _on(user: "User", instance: Instance) -> QuerySet[Session]:
    return (
        visible_sessions(user).filter(instance=instance).select_related("instance__group", "recording").order_by("-pk")
    )


def _row(user: "User", session: Session, now: datetime) -> Row:
    until = session.closed_at or now
    began_at = session.opened_at or (session.created_at if session.is_live else None)
    is_idle = session.state in {State.READY, State.DETACHED}
    return Row(
        session=session,
        age_s=(until - began_at).total_seconds() if began_at else None,
        idle_s=max(0.0, (now - session.last_used_at).total_seconds()) if is_idle else None,
        may_use=session.is_live and may_use(user, session),
    )
