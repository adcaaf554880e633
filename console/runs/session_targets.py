"""Owns what the Send Command form shows of chosen sessions: which, how each is, and which get no command."""

from collections.abc import Iterable
from dataclasses import dataclass

from console.members.models import User
from console.runs import services
from console.runs.choice import parse_ids
from console.runs.confirmation import Confirmation, confirmation_for
from console.runs.former import ROWS, ROWS_LIMIT, WHICH
from console.runs.in_sessions import session_refusal
from console.runs.models import CommandType, Run
from console.runs.number_sets import unfold
from console.sessions.models import Session
from console.sessions.services import visible_sessions
from instances.access import rules

_NOT_RUN = " The command did not run."


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """One session, and why it gets no command; empty when it gets it."""

    session: Session
    why_not: str

    @property
    def takes(self) -> str:
        """The command type it takes."""
        return CommandType(self.session.command_type).label


@dataclass(frozen=True, slots=True)
class SessionTargets:
    """The chosen sessions in their order. ``gone_count``: chosen ones that are not there for who looks."""

    targets: tuple[SessionTarget, ...]
    gone_count: int
    confirmation: Confirmation | None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.targets)

    @property
    def skipped_count(self) -> int:
        """How many of them get no command."""
        return sum(bool(target.why_not) for target in self.targets)

    @property
    def instances_without(self) -> str:
        """The ids of the instances whose session has ended, as the form that opens sessions takes them."""
        ended = [target.session for target in self.targets if not target.session.is_live]
        return ",".join(dict.fromkeys(str(one.instance_id) for one in ended if one.instance_id))

    @property
    def ids(self) -> str:
        """The set as the form carries it; never empty, which would be no sessions at all."""
        return ",".join(str(target.session.pk) for target in self.targets) or "0"

    @property
    def command_types(self) -> list[str]:
        """The command types they take, Shell first."""
        return sorted({target.session.command_type for target in self.targets}, reverse=True) or [CommandType.SHELL]


def find_sessions(user: User, text: str) -> tuple[list[Session], int]:
    """Return the sessions of a form's ids that the user may see, in order, and how many are not there."""
    ids = parse_ids(text)
    found = visible_sessions(user).select_related("instance__group").in_bulk(ids)
    return [found[pk] for pk in ids if pk in found], len(ids) - len(found)


def session_targets(user: User, text: str) -> SessionTargets | None:
    """Return what a form's ids of sessions come to; None for a form that is not about sessions."""
    if not text.strip():
        return None
    found, gone_count = find_sessions(user, text)
    with rules.remembered():
        targets = tuple(SessionTarget(one, _why_not(user, one)) for one in found)
    return SessionTargets(targets, gone_count, confirmation_for(found))


def sessions_again(user: User, run: Run, which: str, ordinals: str) -> str:
    """Return the ids of the sessions in these rows of a run (as ``former.instances_of_run`` takes them)."""
    sent_to = str(run.choice.get("sessions", "")).split(",")
    statuses = WHICH[which][1] if which in WHICH else frozenset()
    rows = services.visible_invocations(user, run).filter(status__in=sorted(statuses))
    ticked = _ticked(ordinals) if which == ROWS else None
    wanted: Iterable[int] = rows.values_list("ordinal", flat=True)
    return ",".join(sent_to[at] for at in wanted if at < len(sent_to) and (ticked is None or at in ticked)) or "0"


def _why_not(user: User, session: Session) -> str:
    if session.is_terminal:
        return "A terminal takes no commands."
    refusal = session_refusal(user, session, session.command_type)
    return refusal[1].removesuffix(_NOT_RUN) if refusal else ""


def _ticked(ordinals: str) -> set[int]:
    try:
        return unfold(ordinals, most=ROWS_LIMIT)
    except ValueError:
        return set()
