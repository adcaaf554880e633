"""Owns which kind of process tree a command has: by its command type, which says what it runs on."""

from typing import Protocol
from uuid import UUID

from instances.engine.stop import GRACE_S, Survivors, Tree
from instances.engine.transport import Connection
from instances.engine.types import CommandType, Started
from instances.engine.windows_stop import WindowsTree


class ProcessTree(Protocol):
    """The processes of one command, to look at and to stop; ``takes_signals``: a TERM by SSH helps."""

    takes_signals: bool

    @property
    def last_seen(self) -> tuple[int, ...]:
        """What the last look saw alive."""

    def survivors(self) -> Survivors:
        """Return what the last look saw, and whether it could see everything."""

    async def look(self, connection: Connection) -> tuple[int, ...]:
        """Return the living pids; ends nothing. Raises: as ``Connection.start``."""

    async def stop(self, connection: Connection, *, grace_s: float = GRACE_S) -> Survivors:
        """End everything, and say what is left. Raises: as ``look``."""


def tree_of(command_type: CommandType, marker: UUID, started: Started | None, run_as: str = "") -> ProcessTree:
    """Return the tree of a command; nothing is asked yet."""
    return Tree(marker, started, run_as) if command_type is CommandType.SHELL else WindowsTree(marker, started)
