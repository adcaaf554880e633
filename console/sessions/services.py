"""Everything people do with sessions: open some, see which there are, close them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from console import bus
from console.sessions.models import LIVE, Kind, Session, State
from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.inventory.models import OS, Instance

if TYPE_CHECKING:
    from console.members.models import User

OPENS = {Kind.SHELL: Action.OPEN_SESSION, Kind.TERMINAL: Action.OPEN_TERMINAL}
LARGEST_SCREEN = 1000
SIGNED_OUT = "the console: its owner signed out"


@dataclass(frozen=True)
class Wish:
    """What is to be opened. ``interpreter`` and ``working_directory`` are a shell's, the size a terminal's."""

    kind: Kind = Kind.SHELL
    name: str = ""
    interpreter: str = ""
    working_directory: str = ""
    columns: int = 80
    rows: int = 24


@dataclass(frozen=True)
class Opened:
    """What became of a wish: the sessions, and for each instance that was left out its name and why."""

    sessions: list[Session]
    left_out: list[tuple[str, str]]


def open_sessions(
    actor: "User", instances: Sequence[Instance], wish: Wish, *, request_key: str, os_user: str = ""
) -> Opened:
    """Open one session on each instance; workers do it. The same request again returns what it opened.

    ``os_user`` is who asked for it in a shell of the console's machine; it goes into the audit entry.
    Raises: NotAllowed, ValidationError when there is nothing to open.
    """
    rules.require_anywhere(actor, OPENS[wish.kind])
    with transaction.atomic():
        _lock(actor, instances)
        again = list(Session.objects.filter(owner=actor, request_key=request_key).order_by("pk"))
        if again:
            return Opened(again, [])
        without = left_out(actor, instances, wish.kind)
        wanted = [one for one in instances if one.pk not in without]
        if not wanted:
            raise ValidationError(_why_none(instances, without))
        _check_limit(actor, len(wanted))
        rows = Session.objects.bulk_create(_row(actor, one, wish, request_key) for one in wanted)
        record(
            actor,
            f"open_{wish.kind.value}",
            ", ".join(one.name for one in wanted),
            ids=[row.pk for row in rows],
            instances=[one.name for one in wanted[:1000]],
            **({"os_user": os_user} if os_user else {}),
        )
        transaction.on_commit(lambda: bus.ring(bus.WORKER))
    return Opened(rows, [(one.name, without[one.pk]) for one in instances if one.pk in without])


def left_out(actor: "User", instances: Sequence[Instance], kind: Kind) -> dict[int, str]:
    """Return why nothing can be opened on some of these instances, by id. Side effects: a query per group, and one."""
    groups = {one.group_id: one.group for one in instances}
    may = {pk for pk, group in groups.items() if rules.allowed(actor, OPENS[kind], group)}
    here = Session.objects.filter(instance__in=[one.pk for one in instances], state__in=LIVE)
    open_on = Counter(dict(here.order_by().values_list("instance").annotate(Count("pk"))))
    limit = settings.ENV.sessions_per_instance
    why = {}
    for one in instances:
        if one.group_id not in may:
            why[one.pk] = f"You may not open a {Kind(kind).label.lower()} on it."
        elif one.is_disabled:
            why[one.pk] = "It is disabled."
        elif open_on[one.pk] >= limit:
            why[one.pk] = f"{limit} sessions are open on it already; more are not allowed (close one first)."
    return why


def open_count(user: "User") -> int:
    """Return how many sessions and terminals a user has open."""
    return Session.objects.filter(owner=user, state__in=LIVE).count()


def open_terminal(
    actor: "User", instance: Instance, *, columns: int, rows: int, request_key: str, os_user: str = ""
) -> Session:
    """Open a terminal, which is always of one instance. Raises: NotAllowed, ValidationError."""
    wish = Wish(
        kind=Kind.TERMINAL,
        columns=min(max(columns, 20), LARGEST_SCREEN),
        rows=min(max(rows, 5), LARGEST_SCREEN),
    )
    return open_sessions(actor, [instance], wish, request_key=request_key, os_user=os_user).sessions[0]


def close_sessions(actor: "User", sessions: Iterable[Session]) -> int:
    """Have sessions closed and return how many; what has ended already stays as it is.

    Raises: NotAllowed for one that is neither the actor's nor in a group whose sessions the actor manages.
    """
    ids = []
    for session in sessions:
        if session.owner_id != actor.pk:
            rules.require(actor, Action.MANAGE_SESSIONS, group_of(session))
        ids.append(session.pk)
    now = timezone.now()
    with transaction.atomic():
        open_ones = Session.objects.filter(pk__in=ids, state__in=LIVE, close_requested_at=None)
        names = [f"{row.instance_name} ({row.pk})" for row in open_ones]
        # No worker has taken these: nothing is open.
        open_ones.filter(worker=None).update(
            state=State.CLOSED,
            reason="closed",
            message=f"Closed by {actor.get_username()} before it was open.",
            closed_at=now,
        )
        open_ones.update(close_requested_at=now, close_requested_by=actor.get_username())
        if names:
            record(actor, "close_session", ", ".join(names), ids=ids[:1000])
            transaction.on_commit(bus.ring)
    return len(names)


def close_signed_out(session_id: int) -> None:
    """Have a terminal closed whose owner signed out, or was signed out, with its page open."""
    now = timezone.now()
    with transaction.atomic():
        mine = Session.objects.filter(pk=session_id, state__in=LIVE, close_requested_at=None)
        if mine.update(close_requested_at=now, close_requested_by=SIGNED_OUT):
            row = Session.objects.get(pk=session_id)
            record(None, "close_session", f"{row.instance_name} ({row.pk})", ids=[row.pk], owner=row.owner_name)
            transaction.on_commit(bus.ring)


def visible_sessions(user: "User") -> QuerySet[Session]:
    """Return the user's own sessions, and those in groups whose sessions the user manages."""
    managed = rules.scope(user, Action.MANAGE_SESSIONS, field="instance__group")
    # Everywhere is an empty filter, which would vanish beside another.
    return Session.objects.filter(Q(owner=user) | managed) if managed else Session.objects.all()


def may_use(user: "User", session: Session) -> bool:
    """Say whether a user may send to a session or type into it: its owner, or who manages it, where both may open one.

    Side effects: two queries.
    """
    if not user.is_active or session.instance is None or session.instance.is_disabled:
        return False
    allowed = rules.actions(user, group_of(session))
    is_mine = session.owner_id == user.pk
    return OPENS[Kind(session.kind)] in allowed and (is_mine or Action.MANAGE_SESSIONS in allowed)


def may_watch(user: "User", session: Session) -> bool:
    """Say whether a user may see what a session shows."""
    if session.owner_id == user.pk:
        return may_use(user, session)
    return user.is_active and rules.allowed(user, Action.MANAGE_SESSIONS, group_of(session))


def group_of(session: Session) -> Group | None:
    """Return the group of a session's instance; None also when the instance is gone."""
    return session.instance.group if session.instance is not None else None


def _why_none(instances: Sequence[Instance], why: dict[int, str]) -> str:
    if not instances:
        return "Select an instance first."
    if len(instances) == 1:
        return why[instances[0].pk]
    return "No session can be opened on any of these: " + " ".join(sorted(set(why.values())))


def _lock(actor: "User", instances: Sequence[Instance]) -> None:
    """Hold what the limits are counted by: of two requests at once each would find the same room.

    Rows that only refer to them are written meanwhile.
    """
    ids = [one.pk for one in instances]
    get_user_model().objects.select_for_update(no_key=True).get(pk=actor.pk)
    list(Instance.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk").values_list("pk"))


def _check_limit(actor: "User", more: int) -> None:
    limit = settings.ENV.sessions_per_user
    have = open_count(actor)
    if have + more > limit:
        verb = "is" if more == 1 else "are"
        raise ValidationError(
            f"You have {have} of {limit} sessions and terminals open; {more} more {verb} too many. Close some first."
        )


def _row(actor: "User", instance: Instance, wish: Wish, request_key: str) -> Session:
    env, group = settings.ENV, instance.group
    is_terminal = wish.kind is Kind.TERMINAL
    return Session(
        kind=wish.kind,
        name=wish.name.strip()[:80] or instance.name,
        instance=instance,
        instance_name=instance.name,
        address=instance.address[:320],
        owner=actor,
        owner_name=actor.get_username(),
        command_type="powershell" if instance.os == OS.WINDOWS else "shell",
        # Chosen among POSIX shells.
        interpreter="" if instance.os == OS.WINDOWS else wish.interpreter,
        working_directory=wish.working_directory,
        columns=wish.columns,
        rows=wish.rows,
        is_recorded=is_terminal and (group is None or group.records_terminals),
        idle_limit_s=env.session_idle_s,
        age_limit_s=env.session_age_s,
        grace_s=env.session_grace_s,
        request_key=request_key,
    )
