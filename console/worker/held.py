"""Owns what a worker knows of one session it holds: that it is open, that it is to be closed, how it ended."""

import asyncio
from dataclasses import dataclass, field

from console.sessions.host import TerminalHost
from console.sessions.queue import Order


@dataclass(frozen=True)
class Ending:
    """How a session ended: broken, or closed as somebody or a limit wanted."""

    reason: str
    message: str
    is_broken: bool = False
    exit_status: int | None = None


@dataclass(eq=False)
class Held:
    """A session in this worker's hands."""

    order: Order
    is_open: bool = False
    host: TerminalHost | None = None
    to_close: asyncio.Event = field(default_factory=asyncio.Event)
    why: Ending | None = None

    def close(self, reason: str, message: str) -> None:
        """Ask for its end; the first reason stays."""
        if self.why is None:
            self.why = Ending(reason, message)
            self.to_close.set()

    def moved_since(self, moment_s: float) -> bool:
        """Say whether anything went through its terminal since a moment of the monotonic clock."""
        return self.host is not None and self.host.last_moved >= moment_s

    def tell_ended(self, ending: Ending) -> None:
        """Tell the pages that show it."""
        if self.host is not None:
            self.host.end(ending.reason, ending.message, ending.exit_status)
