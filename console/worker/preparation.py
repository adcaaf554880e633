"""Owns what a claimed invocation needs before anything is dialled: target, command, and reasons not to start."""

import uuid
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from django.utils import timezone

from console.runs import parameters, run_secrets
from console.runs.in_sessions import session_refusal
from console.runs.invoke import new_marker
from console.runs.journal import Journal
from console.runs.models import Run
from console.runs.prompts import Prompt, Prompts
from console.runs.queue import Claim
from console.runs.rate import Rollout
from console.runs.refusals import os_mismatch
from console.runs.status import Status
from console.runs.variables import Variables
from console.sessions.models import Session
from instances.access import rules
from instances.credentials import services as credentials
from instances.engine.types import Command, CommandType, PasswordAuth, Target
from instances.inventory import jumps
from instances.inventory.models import Instance
from instances.inventory.targets import TargetKey, targets_of

ALLOWED_EXIT_STATUSES = frozenset({0})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an invocation is not started although it was claimed."""

    status: Status
    reason: str
    message: str


SECRETS_UNREADABLE = Refusal(
    Status.FAILED,
    "secrets_unreadable",
    "The values of its secret variables do not open any more: send it again and enter them. The command did not run.",
)
DELETED = Refusal(Status.SKIPPED, "instance_deleted", "The instance was deleted. The command did not run.")
SESSION_GONE = Refusal(Status.SKIPPED, "session_closed", "The session is not there any more. The command did not run.")

PROMPT_GONE = Refusal(
    Status.UNREACHABLE,
    "credentials_missing",
    "The password that was entered for this run is gone with the worker that held it. Send it again. "
    "The command did not run.",
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Which attempt to reach an instance this is, of how many, and how long to wait for the next one."""

    number: int = 1
    most: int = 1
    delay_s: int = 0

    @property
    def is_last(self) -> bool:
        """Whether no other follows."""
        return self.number >= self.most


@dataclass(frozen=True, slots=True)
class Order:
    """A claimed invocation made ready: what to send where."""

    instance_id: int
    target: Target
    command: Command
    # The kept shell it is for; None: it gets a shell of its own.
    session_id: int | None = None
    stop_at_cap: bool = False
    attempts: Attempts = field(default_factory=Attempts)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    allowed_exit_statuses: frozenset[int] = ALLOWED_EXIT_STATUSES


def prepare(claims: Sequence[Claim], prompts: Prompts) -> list[Order | Refusal]:
    """Make orders of claims, or say why not, in their order. Side effects: a handful of queries, for any number."""
    if not claims:
        return []
    prompts.take({claim.run_id for claim in claims if claim.is_prompted})
    runs = Run.objects.select_related("actor").in_bulk({claim.run_id for claim in claims})
    wanted = Instance.objects.select_related("group", "credential")
    if any(run.attributes for run in runs.values()):
        wanted = wanted.prefetch_related("tags")
    found = wanted.in_bulk({claim.instance_id for claim in claims if claim.instance_id})
    targets = targets_of(list(found.values()))
    owned = credentials.credentials_for(list(found.values()))
    suspended = credentials.suspended_on(owned)
    blocked = jumps.blocked(found.values())
    secrets = run_secrets.opened(runs.values())
    permitted = _Permissions()
    sessions = _sessions_of(claims)
    orders: list[Order | Refusal] = []
    for claim in claims:
        run, instance = runs[claim.run_id], found.get(claim.instance_id or 0)
        if instance is None:
            orders.append(DELETED)
        elif refusal := (
            _refusal_in_session(run, sessions.get(claim.session_id or 0))
            if run.is_in_sessions
            else _refusal(run, instance, permitted, suspended) or _refused_way(blocked.get(instance.pk))
        ):
            orders.append(refusal)
        elif (hidden := () if run.is_dry_run else secrets.get(run.pk, ())) is None:
            orders.append(SECRETS_UNREADABLE)
        elif isinstance(told := _told(run, instance), Refusal):
            orders.append(told)
        else:
            credential = owned.get(instance.pk)
            order = Order(
                instance_id=instance.pk,
                target=targets[instance.pk],
                command=command_of(run, new_marker(), hidden, told),
                session_id=claim.session_id,
                stop_at_cap=run.stop_at_cap,
                attempts=_attempts(run, claim),
                secrets=tuple(value for _, value in hidden),
            )
            is_prompted = claim.is_prompted and credential is None
            orders.append(_prompted(order, instance, run.pk, prompts.of(run.pk)) if is_prompted else order)
    return orders


def _attempts(run: Run, claim: Claim) -> Attempts:
    rollout = Rollout.of(run.rollout)
    return Attempts(claim.attempt, rollout.connect_attempts, rollout.connect_delay_s)


def command_of(run: Run, marker: uuid.UUID, secrets: Variables = (), told: Variables = ()) -> Command:
    """Return the engine's form of a run's command, with its secret variables and what it is told of its instance."""
    return Command(
        text=run.command,
        marker=marker,
        command_type=CommandType(run.command_type),
        interpreter=run.interpreter,
        working_directory=run.working_directory,
        timeout_s=float(run.timeout_s),
        run_as=run.run_as,
        environment=(
            *((name, value) for name, value in run.environment),
            *parameters.variables_of(run, secrets),
            *secrets,
            *told,
        ),
        arguments=tuple(run.arguments),
        is_dry_run=run.is_dry_run,
    )


def current_keys(keys: Sequence[Hashable], prompts: Prompts) -> set[Hashable]:
    """Return those pool keys that still say how their instance is reached and signed in to."""
    ids = {key[0] for key in keys if isinstance(key, tuple)}
    instances = list(Instance.objects.select_related("group", "credential").filter(pk__in=ids, is_disabled=False))
    closed = {pk for pk, why in jumps.blocked(instances).items() if why.reason == "instance_disabled"}
    current: set[Hashable] = {target.key for pk, target in targets_of(instances).items() if pk not in closed}
    own = (key for key in keys if isinstance(key, TargetKey) and key.run_id in prompts.run_ids)
    return current | {key for key in own if key._replace(run_id=None) in current}


def _prompted(order: Order, instance: Instance, run_id: int, prompt: Prompt | None) -> Order | Refusal:
    """Sign in with what was entered for this run, on a connection that no other run is lent."""
    if prompt is None:
        return PROMPT_GONE
    key = order.target.key
    assert isinstance(key, TargetKey)
    auth = PasswordAuth(instance.user_name or prompt.user_name, prompt.password)
    return replace(order, target=replace(order.target, auth=auth, key=key._replace(run_id=run_id)))


class _Permissions:
    """Remembers answers of ``rules.allowed`` for one batch; they are asked per group, not per instance."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int | None, int | None], bool] = {}

    def may_send(self, run: Run, instance: Instance) -> bool:
        key = (run.actor_id, instance.group_id)
        if key not in self._answers:
            actor = run.actor
            self._answers[key] = actor is not None and rules.allowed(actor, rules.Action.SEND_COMMAND, instance.group)
        return self._answers[key]


def _refusal(run: Run, instance: Instance, permissions: _Permissions, suspended: set[int]) -> Refusal | None:
    if instance.is_disabled:
        return Refusal(Status.SKIPPED, "instance_disabled", "The instance is disabled. The command did not run.")
    if mismatch := os_mismatch(run.command_type, instance):
        # Its operating system was corrected after the command was sent.
        return Refusal(Status.SKIPPED, *mismatch)
    if not permissions.may_send(run, instance):
        return Refusal(
            Status.SKIPPED, "not_permitted", f"{run.actor_name} may not send commands to it. It did not run."
        )
    if instance.pk in suspended:
        return Refusal(
            Status.UNREACHABLE,
            "auth_failed",
            "Its credential was refused twice and is not offered again until somebody changes it or presses "
            "Try again on the instance's page. The command did not run.",
        )
    return None


def _sessions_of(claims: Sequence[Claim]) -> dict[int, Session]:
    ids = {claim.session_id for claim in claims if claim.session_id is not None}
    return Session.objects.select_related("instance__group").in_bulk(ids) if ids else {}


def _refusal_in_session(run: Run, session: Session | None) -> Refusal | None:
    """Say why a command does not go to its session; how the instance is reached does not matter any more."""
    if session is None:
        return SESSION_GONE
    refusal = session_refusal(run.actor, session, run.command_type, run.actor_name)
    return Refusal(Status.SKIPPED, *refusal) if refusal else None


def _refused_way(why: jumps.Blocked | None) -> Refusal | None:
    if why is None:
        return None
    return Refusal(Status.SKIPPED if why.reason == "instance_disabled" else Status.UNREACHABLE, why.reason, why.message)


def _told(run: Run, instance: Instance) -> Variables | Refusal:
    try:
        return parameters.told_of(run, instance)
    except parameters.AttributeUnusable as error:
        return Refusal(Status.SKIPPED, "attribute_unusable", str(error))


def refuse(journal: Journal, refusal: Refusal) -> None:
    """End an invocation that is not started."""
    journal.finish(refusal.status, at=timezone.now(), reason=refusal.reason, message=refusal.message)


def give_up(journal: Journal) -> None:
    """End an invocation whose handling broke: say honestly that nobody knows whether the command ran."""
    if journal.status in {Status.QUEUED, Status.CONNECTING, Status.RUNNING, Status.STOPPING, Status.DISCONNECTED}:
        journal.finish(
            Status.LOST,
            at=timezone.now(),
            reason="internal_error",
            message="The console made an error while handling this; its log says which. The command may have run.",
        )
