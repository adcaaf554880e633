"""Owns one login shell in a terminal of the demo fleet: this machine's on the one side, a channel on the other."""

import contextlib
import signal
from typing import Any

from instances.engine.local_terminal import LocalTerminal, open_local_terminal
from instances.engine.transport import TERM, Size
from instances.engine.types import Flow, Stream

# How long what the shell printed last may take after its end: something it started may hold the terminal for ever.
DRAIN_S = 1.0


class DemoTerminal:
    """A terminal on a channel; implements the engine's ``Sink``. ``send`` signals the shell's group."""

    def __init__(self, channel: Any, size: Size) -> None:
        self._channel = channel
        self._size = size
        self._terminal: LocalTerminal | None = None
        self._early: list[bytes] = []
        self._flow: Flow | None = None
        self._is_hung_up = False

    async def run(self, environment: dict[str, str], folder: str) -> None:
        """Start the shell and see it to its end, which the channel is told."""
        terminal = self._terminal = await open_local_terminal(
            {**environment, "TERM": TERM}, folder, self._size, sink=self
        )
        for data in self._early:
            terminal.write(data)
        if self._is_hung_up:
            terminal.close()
        await terminal.until(lambda: terminal.is_over, None)
        await terminal.until(lambda: terminal.is_output_complete, DRAIN_S)
        terminal.close()
        assert terminal.exit is not None
        with contextlib.suppress(OSError):
            if terminal.exit.signal:
                self._channel.exit_with_signal(terminal.exit.signal)
            else:
                self._channel.exit(terminal.exit.status or 0)

    def type(self, data: bytes) -> None:
        """Type into it."""
        if self._terminal is None:
            self._early.append(data)
        else:
            self._terminal.write(data)

    def resize(self, size: Size) -> None:
        """Give it another size."""
        self._size = size
        if self._terminal is not None:
            self._terminal.resize(size)

    def brake(self, is_held: bool) -> None:
        """Hold back what it prints, or let it come."""
        if self._flow is not None:
            (self._flow.pause if is_held else self._flow.resume)()

    def send(self, number: signal.Signals) -> None:
        """Signal the shell's group, as long as the shell lives."""
        if self._terminal is not None:
            with contextlib.suppress(PermissionError):
                self._terminal.signal(number.name.removeprefix("SIG"))

    def hang_up(self) -> None:
        """Close it: the kernel tells what runs there. One that is still being opened is closed then."""
        self._is_hung_up = True
        if self._terminal is not None:
            self._terminal.close()

    def attach(self, flow: Flow) -> None:
        """Receive the brake."""
        self._flow = flow

    def write(self, stream: Stream, data: bytes) -> None:
        """Pass on what was printed."""
        with contextlib.suppress(OSError):
            self._channel.write(data)
