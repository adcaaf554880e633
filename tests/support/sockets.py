"""A viewer's socket in a test: what is waited for comes, however slow the machine is that runs it."""

from typing import Any

from channels.testing import WebsocketCommunicator

# Channels waits one second for each thing, and then ends the consumer; two cores may be busy with other tests.
WITHIN_S = 60.0


class PatientSocket(WebsocketCommunicator):
    """A socket of which nothing is given up after a second."""

    async def receive_output(self, timeout: float = 1) -> dict[str, Any]:
        """Return the next thing the consumer sends. Raises: TimeoutError."""
        return await super().receive_output(max(timeout, WITHIN_S))

    async def wait(self, timeout: float = 1) -> None:
        """Wait until the consumer has ended."""
        await super().wait(max(timeout, WITHIN_S))
