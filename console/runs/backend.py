"""Owns how work reaches the workers: the one port between those who send and those who run."""

from typing import Protocol

from console import bus


class ExecutionBackend(Protocol):
    """Tells the workers that a run has queued invocations; which of them runs where is decided by the claim."""

    def submit(self, run_id: int) -> None:
        """Have some worker look at this run. Call it after the commit. Never raises: workers look by themselves too."""


class LocalBackend:
    """One machine: there is nothing to send, the workers see the rows; they are only woken."""

    def submit(self, run_id: int) -> None:
        """Ring the doorbell."""
        bus.ring()


def execution_backend() -> ExecutionBackend:
    """Return the backend of this installation."""
    return LocalBackend()
