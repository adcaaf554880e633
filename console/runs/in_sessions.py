"""Owns sending to sessions: which commands and options a kept shell takes, and why one session gets no command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.runs.models import CommandType
from console.runs.rate import Rollout
from console.sessions.models import Kind, Session
from console.sessions.services import may_use
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User
    from console.runs.services import Options

SHELLS = ("sh", "bash", "dash", "ksh", "zsh", "ash")
NOT_OFFERED = {
    "interpreter": "its shell runs it: choose the interpreter when you open the session",
    "working_directory": "it starts where the last command left off: use cd",
    "run_as": "it runs as who signed in",
    "is_dry_run": "there is nothing to try, it is open",
}


class NotInSessions(Exception):
    """The command cannot be sent to sessions like this; the message says why."""


def check_sessions(sessions: Sequence[Session]) -> None:
    """Raise NotInSessions for what takes no commands at all."""
    for session in sessions:
        if session.kind != Kind.SHELL:
            raise NotInSessions(f"{session.name} is a terminal: commands are sent to sessions alone.")


def check_options(command: str, options: "Options") -> None:
    """Raise NotInSessions for what makes no sense in a shell that is there already."""
    for name, why in NOT_OFFERED.items():
        if getattr(options, name):
            words = "A dry run" if name == "is_dry_run" else f"{name.replace('_', ' ').capitalize()}"
            raise NotInSessions(f"{words} is not offered in a session: {why}.")
    if options.rollout != Rollout():
        raise NotInSessions("First ones, batches, pauses and further attempts are not offered in sessions.")
    if options.command_type == CommandType.BAT:
        raise NotInSessions("Bat is not offered in a session: it takes Shell or PowerShell.")
    named = _interpreter_of(command)
    if named and not is_shell(named):
        raise NotInSessions(f"Its first line names {named}, but a session reads it in its own shell. Take it out.")


def is_shell(interpreter: str) -> bool:
    """Say whether what an interpreter takes is at home in a session's shell."""
    return interpreter.rpartition("/")[2] in SHELLS


def session_refusal(
    actor: "User | None", session: Session, command_type: str, whose: str = "You"
) -> tuple[str, str] | None:
    """Return the reason and message if a session gets no command of this type from somebody (``whose`` in words).

    Side effects: at most two queries.
    """
    if not session.is_live:
        return "session_closed", closed(session)
    instance = session.instance
    if instance is None:
        return "instance_deleted", "The instance was deleted. The command did not run."
    if instance.is_disabled:
        return "instance_disabled", "The instance is disabled. The command did not run."
    if actor is None or not may_use(actor, session):
        return "not_permitted", f"{whose} may not send commands to this session. The command did not run."
    if session.command_type != command_type:
        takes = CommandType(session.command_type).label
        return "os_mismatch", f"This session takes {takes}. The command did not run."
    return None


def closed(session: Session) -> str:
    """Return what is said of a command whose session had ended before its turn."""
    why = session.message or "It is not open any more."
    return f"The session {session.name} has ended. {why[:800]} The command did not run."


def machines_of(targets: Sequence[Instance | Session]) -> list[Instance]:
    """Return the instances behind what is sent to: of sessions theirs, as far as they are still there."""
    found = (target.instance if isinstance(target, Session) else target for target in targets)
    return [instance for instance in found if instance is not None]


def choice_of(targets: Sequence[Instance | Session]) -> dict[str, str]:
    """Return what a run keeps of sessions it was sent to; nothing for instances."""
    ids = ",".join(str(target.pk) for target in targets if isinstance(target, Session))
    return {"sessions": ids} if ids else {}


def _interpreter_of(command: str) -> str:
    first = command.partition("\n")[0]
    words = first[2:].split() if first.startswith("#!") else []
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if not word.startswith("-")]
    return words[0].rpartition("/")[2] if words else ""
