"""A viewer's socket in a test: what is waited for comes, however slow the machine is that runs it."""

import asyncio
from typing import Any

from channels.testing import WebsocketCommunicator

from console.sessions.relay import Line
from tests.support.until import wait_until

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


def slow_to_read(line: Line) -> asyncio.Event:
    """Have a worker keep what it receives next to itself, and read nothing behind it, until the event is set."""
    reads_on, receive = asyncio.Event(), line.receive

    async def slowly() -> bytes:
        payload = await receive()
        await reads_on.wait()
        return payload

    line.receive = slowly  # type: ignore[method-assign]
    return reads_on


async def is_waiting(line: Line, text: bytes) -> None:
    """Wait until something was received that nobody has read, and give whoever sent it time to be gone."""
    await wait_until(lambda: text in line._reader._buffer)  # type: ignore[attr-defined]
    await asyncio.sleep(0.2)
