"""Owns what a terminal's host needs of a recording."""

from typing import Protocol

from instances.engine.transport import Size

BROKEN_OFF = "The recording ended here: what is shown from now on is not recorded."


class Recorder(Protocol):
    """Takes what a terminal shows, in order."""

    @property
    def is_going_on(self) -> bool:
        """Whether what it takes is kept; False for good once it is full, or cannot be written."""

    def write(self, data: bytes) -> None:
        """Take some output."""

    def resize(self, size: Size) -> None:
        """Note that it has another size from here on."""


class NoRecorder:
    """Keeps nothing."""

    is_going_on = False

    def write(self, data: bytes) -> None:
        """Forget it."""

    def resize(self, size: Size) -> None:
        """Forget it."""
