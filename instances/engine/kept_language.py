"""Owns the ports of a kept shell: what its life needs to know of the language it reads and of its processes."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from instances.engine.delivery import Delivery
from instances.engine.kept_output import Marks
from instances.engine.transport import Connection
from instances.engine.trees import ProcessTree
from instances.engine.types import Command, Started


class CommandTree(ProcessTree, Protocol):
    """The processes of one command in a kept shell, without the shell."""

    is_shell_there: bool

    async def hit(self, connection: Connection, signal: str, may_interrupt: Callable[[], bool]) -> tuple[int, ...]:
        """Return the living pids, and send them the signal, if one is given; the shell is interrupted, if it may be.

        Raises: as ``Connection.start``.
        """


class KeptLanguage(Protocol):
    """One kept shell's language."""

    @property
    def interpreter(self) -> str:
        """What runs, once ``greeted`` was called."""

    def opening(self) -> Delivery:
        """Return how to start it; the last line is a question, with the delivery's nonce as the mark of its answer.

        Raises: SessionRefused.
        """

    def greeted(self, answer: str) -> None:
        """Take the answer to that question."""

    def settle(self, nonce: str) -> bytes:
        """Return the line after which it takes commands, with this mark; none where it does already."""

    def feed(self, command: Command, marks: Marks) -> bytes:
        """Return the lines that run one command. Raises: CommandRefused for what cannot be sent."""

    def end(self, marks: Marks) -> bytes:
        """Return the line that prints the end marks of a command that was broken off."""

    def tree(self, marker: UUID, shell: Started, begun: str) -> CommandTree:
        """Return the processes of a command; ``begun`` is the payload of its begin mark."""
