"""Owns the one answer to "may this user do that?"; every service asks here first."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from instances.access.models import Grant, Group, Role

if TYPE_CHECKING:
    from console.members.models import User


class Action(StrEnum):
    """Everything somebody may be allowed to do."""

    VIEW = "view"
    SEND_COMMAND = "send_command"
    STOP_RUN = "stop_run"
    CHECK_INSTANCE = "check_instance"
    OPEN_SESSION = "open_session"
    OPEN_TERMINAL = "open_terminal"
    MANAGE_SAVED_COMMANDS = "manage_saved_commands"
    MANAGE_INSTANCES = "manage_instances"
    MANAGE_GROUPS = "manage_groups"
    MANAGE_CREDENTIALS = "manage_credentials"
    TRUST_HOST_KEYS = "trust_host_keys"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_NOTIFICATIONS = "manage_notifications"
    MANAGE_RETENTION = "manage_retention"
    MANAGE_SCHEDULES = "manage_schedules"
    MANAGE_SESSIONS = "manage_sessions"


# "You are not allowed to …": one for each action.
IN_WORDS = {
    Action.VIEW: "look at this",
    Action.SEND_COMMAND: "send commands",
    Action.STOP_RUN: "stop runs",
    Action.CHECK_INSTANCE: "check instances",
    Action.OPEN_SESSION: "open sessions",
    Action.OPEN_TERMINAL: "open terminals",
    Action.MANAGE_SAVED_COMMANDS: "manage saved commands",
    Action.MANAGE_INSTANCES: "manage instances",
    Action.MANAGE_GROUPS: "manage groups",
    Action.MANAGE_CREDENTIALS: "manage credentials",
    Action.TRUST_HOST_KEYS: "trust host keys",
    Action.MANAGE_MEMBERS: "manage members",
    Action.MANAGE_NOTIFICATIONS: "manage who is told about runs",
    Action.MANAGE_RETENTION: "manage how long runs are kept",
    Action.MANAGE_SCHEDULES: "manage the schedules of others",
    Action.MANAGE_SESSIONS: "manage the sessions of others",
}

_VIEWER = frozenset({Action.VIEW})
_OPERATOR = _VIEWER | {
    Action.SEND_COMMAND,
    Action.STOP_RUN,
    Action.CHECK_INSTANCE,
    Action.OPEN_SESSION,
    Action.OPEN_TERMINAL,
    Action.MANAGE_SAVED_COMMANDS,
}
ACTIONS_OF: dict[str, frozenset[Action]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMINISTRATOR: frozenset(Action),
}


class NotAllowed(Exception):
    """You are not allowed to do this. Ask an administrator for the role that is."""

    def __init__(self, action: Action, why: str = "") -> None:
        super().__init__(why or f"You are not allowed to {IN_WORDS[action]}. Ask an administrator.")
        self.action = action


def allowed(user: "User", action: Action, group: Group | None = None) -> bool:
    """Say whether a user may take an action on instances of a group (None: instances without one).

    Side effects: one query. Denies an inactive user and anyone without a grant.
    """
    return action in actions(user, group)


def allowed_anywhere(user: "User", action: Action) -> bool:
    """Say whether there is any group in which the user may take the action; for showing a button."""
    return any(action in ACTIONS_OF[role] for role, _ in _grants(user))


def actions_anywhere(user: "User") -> frozenset[Action]:
    """Return every action the user may take in some group. Side effects: one query."""
    return frozenset().union(*(ACTIONS_OF[role] for role, _ in _grants(user)))


def require(user: "User", action: Action, group: Group | None = None) -> None:
    """Raise NotAllowed unless the user may take the action there."""
    if not allowed(user, action, group):
        raise NotAllowed(action)


def require_anywhere(user: "User", action: Action) -> None:
    """Raise NotAllowed unless there is some group in which the user may take the action."""
    if not allowed_anywhere(user, action):
        raise NotAllowed(action)


def actions(user: "User", group: Group | None = None) -> frozenset[Action]:
    """Return every action the user may take on instances of a group."""
    group_id = group.pk if group is not None else None
    roles = [role for role, granted in _grants(user) if granted is None or granted == group_id]
    return frozenset().union(*(ACTIONS_OF[role] for role in roles))


def scope(user: "User", action: Action, *, field: str = "group") -> Q:
    """Return the filter that keeps only rows of groups in which the user may take the action.

    ``field`` is the path from the filtered model to the group, such as ``instance__group``.
    """
    granted = [group for role, group in _grants(user) if action in ACTIONS_OF[role]]
    if None in granted:
        return Q()
    return Q(**{f"{field}__in": granted})


def visible_groups(user: "User") -> QuerySet[Group]:
    """Return the groups whose instances the user may see."""
    return Group.objects.filter(scope(user, Action.VIEW, field="pk"))


def _grants(user: "User") -> list[tuple[str, int | None]]:
    if not user.is_active or user.pk is None:
        return []
    memory = _memory.get()
    if memory is not None and user.pk in memory:
        return memory[user.pk]
    grants: list[tuple[str, int | None]] = list(Grant.objects.filter(user_id=user.pk).values_list("role", "group_id"))
    if memory is not None:
        memory[user.pk] = grants
    return grants


_memory: ContextVar[dict[int, list[tuple[str, int | None]]] | None] = ContextVar("grants", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """Ask the database once for what somebody may do, while one page is made; a page asks a dozen times.

    Not for anything that lasts or that changes grants: what is taken away must be gone within seconds.
    """
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)
