"""Owns one open terminal in its worker: what it printed, who looks at it, who types, and that no keystroke comes twice.

Nothing here asks what somebody may do: the web process has, and says so when it attaches a viewer.
"""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from console.sessions.recorder import BROKEN_OFF, Recorder
from console.sessions.relay import Line, Record, parsed
from console.sessions.screen import Scrollback
from instances.engine.transport import Size, Terminal
from instances.engine.types import Flow, Stream

OUTPUT_BYTES = 64 * 1024
CREDIT_BYTES = 512 * 1024
# A page sends at most half of it before it is acknowledged.
TYPED_BYTES = 128 * 1024
# A frame for every key would cost as much as the key.
ACK_EVERY_BYTES = 8 * 1024
# How long the page that typed may be away (a reload, a restart of the console) before whoever comes first types.
AWAY_S = 10.0
LARGEST = 1000
# Pages that typed before, of which is remembered how far that was taken.
FORMER_KEPT = 50


@dataclass(eq=False)
class Viewer:
    """One page that shows the terminal. ``position`` is what it was sent up to, ``acknowledged`` what it drew."""

    line: Line
    tab: str
    name: str
    may_write: bool
    # Of the terminal. Anybody else types only after taking it over.
    is_owner: bool
    position: int = 0
    acknowledged: int = 0
    size: Size | None = None
    waiting: list[dict[str, Any]] = field(default_factory=list)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    acked_input: int = 0
    is_gone: bool = False

    def tell(self, **message: Any) -> None:
        """Have a message sent before what is printed next."""
        self.waiting.append(message)
        self.wake.set()


class TerminalHost:
    """A terminal and its viewers; implements the engine's ``Sink``.

    At most one viewer types. ``generation`` rises with every change of who does; the input's offset goes on.
    ``watched`` is called with whether anybody looks, whenever that changes.
    """

    def __init__(self, size: Size, *, recorder: Recorder, is_recorded: bool, watched: Callable[[bool], None]) -> None:
        self._recorder = recorder
        self._is_recorded = is_recorded
        self._watched = watched
        self._scrollback = Scrollback(size)
        self._viewers: list[Viewer] = []
        self._writer: Viewer | None = None
        self._writer_tab = ""
        self._writer_left_at = 0.0
        self._generation = 0
        self._flow: Flow | None = None
        self._is_paused = self._is_let_run = False
        self._terminal: Terminal | None = None
        self._typed = bytearray()
        self._has_typed = asyncio.Event()
        # Input: taken from the page, and handed to the machine.
        self._taken = self._written = 0
        # The former, when somebody else began to type, by the tab that had typed until then.
        self._former: dict[str, int] = {}
        self._ended: dict[str, Any] | None = None
        self._answers = True
        self.last_moved = monotonic()

    @property
    def viewers(self) -> int:
        """How many pages show it."""
        return len(self._viewers)

    # ------------------------------------------------------------------ the machine's side

    def attach(self, flow: Flow) -> None:
        """Receive the brake of the output."""
        self._flow = flow

    def write(self, stream: Stream, data: bytes) -> None:
        """Take what was printed."""
        self.last_moved = monotonic()
        self._scrollback.append(data)
        self._recorder.write(data)
        self._wake_all()
        self._brake()

    async def type_into(self, terminal: Terminal) -> None:
        """Hand what is typed to the terminal, as fast as it takes it, until it is over."""
        self._terminal = terminal
        terminal.resize(self._scrollback.size)
        while not terminal.is_over:
            if not self._typed:
                self._has_typed.clear()
                await self._has_typed.wait()
            await terminal.until(lambda: not terminal.is_congested or terminal.is_over, None)
            data = bytes(self._typed)
            self._typed.clear()
            terminal.write(data)
            self._written += len(data)
            if self._writer is not None and self._is_ack_due(self._writer):
                self._writer.wake.set()

    def _is_ack_due(self, viewer: Viewer) -> bool:
        # The rest can wait for ever: a page that comes back is told what was taken.
        return self._written - viewer.acked_input >= ACK_EVERY_BYTES

    def end(self, reason: str, message: str, exit_status: int | None) -> None:
        """Tell every page how it ended, once it has drawn the rest."""
        self._ended = {"type": "ended", "reason": reason, "message": message, "exit_status": exit_status}
        self._wake_all()

    def look_at_recording(self) -> None:
        """Tell every page once the recording goes on no more."""
        if self._is_recorded and not self._recorder.is_going_on:
            self._is_recorded = False
            for viewer in self._viewers:
                viewer.tell(type="unrecorded", message=BROKEN_OFF)

    def note_answers(self, answers: bool) -> None:
        """Tell every page whether the instance answers, when that has changed."""
        if answers == self._answers:
            return
        self._answers = answers
        for viewer in self._viewers:
            viewer.tell(type="answers", answers=answers)

    def let_run(self) -> None:
        """Hold the output back no more: the shell has ended, and what it printed last is still to come."""
        self._is_let_run = True
        self._brake()

    def _brake(self) -> None:
        """Hold the output back while the page of whoever types has too much to draw; other pages skip some."""
        if self._flow is None:
            return
        writer = None if self._is_let_run else self._writer
        behind = writer is not None and self._scrollback.end - writer.acknowledged > CREDIT_BYTES
        if behind != self._is_paused:
            self._is_paused = behind
            (self._flow.pause if behind else self._flow.resume)()

    # ------------------------------------------------------------------ viewers

    async def serve(self, line: Line, hello: dict[str, Any]) -> None:
        """Show the terminal on one line until it ends or the page goes. Raises: RelayBroken, ValueError, KeyError."""
        viewer = Viewer(
            line,
            tab=str(hello["tab"]),
            name=str(hello["user_name"]),
            may_write=bool(hello["may_write"]),
            is_owner=bool(hello["is_owner"]),
        )
        self._arrive(viewer, hello)
        pump = asyncio.get_running_loop().create_task(self._pump(viewer))
        hearing = asyncio.get_running_loop().create_task(self._hear(viewer))
        try:
            done, _ = await asyncio.wait((pump, hearing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            pump.cancel()
            hearing.cancel()
            self._leave(viewer)

    def _arrive(self, viewer: Viewer, hello: dict[str, Any]) -> None:
        for former in [one for one in self._viewers if one.tab == viewer.tab]:
            # The same page again, whose former line is not known to be dead yet.
            self._leave(former)
            former.line.close()
        is_first = not self._viewers
        self._viewers.append(viewer)
        if viewer.may_write and self._writer is None and self._is_free_for(viewer):
            if viewer.tab != self._writer_tab:
                self._begin_generation()
            self._writer, self._writer_tab = viewer, viewer.tab
            viewer.acked_input = self._written
            self._resize(_size(hello))
        start = hello.get("from")
        if not isinstance(start, int) or not self._scrollback.start <= start <= self._scrollback.end:
            start = None
        self._send_from(viewer, start)
        if is_first:
            self._watched(True)
        self._tell_viewers()

    def _begin_generation(self) -> None:
        """Count the next change of who types, and remember how far what was typed until then was taken."""
        self._generation += 1
        self._former.pop(self._writer_tab, None)
        self._former[self._writer_tab] = self._taken
        while len(self._former) > FORMER_KEPT:
            del self._former[next(iter(self._former))]

    def _is_free_for(self, viewer: Viewer) -> bool:
        if viewer.tab == self._writer_tab:
            return True
        return viewer.is_owner and (not self._writer_tab or monotonic() - self._writer_left_at > AWAY_S)

    def _send_from(self, viewer: Viewer, start: int | None, *, skipped: int = 0) -> None:
        """Say where what is sent begins: at an offset the page has, or with everything that is kept."""
        kept = self._scrollback
        viewer.position = viewer.acknowledged = kept.start if start is None else start
        viewer.size = kept.first_size if start is None else None
        size = viewer.size or kept.size
        viewer.tell(
            type="attached",
            **self._who_types(viewer),
            output_from=viewer.position,
            output_upto=kept.end,
            reset=start is None,
            columns=size.columns,
            rows=size.rows,
            recorded=self._is_recorded,
            gap=kept.start if start is None else 0,
            skipped=skipped,
        )
        if start is None and (prefix := kept.prefix()):
            viewer.tell(type="prefix", data=base64.b64encode(prefix).decode())
        if not self._answers:
            viewer.tell(type="answers", answers=False)

    def _who_types(self, viewer: Viewer) -> dict[str, Any]:
        return {
            "writer": viewer is self._writer,
            "writer_name": self._writer.name if self._writer else "",
            "may_write": viewer.may_write,
            "generation": self._generation,
            "input_upto": self._taken,
            "written_upto": self._written,
            "typed_upto": self._former.get(viewer.tab, self._taken),
        }

    def _leave(self, viewer: Viewer) -> None:
        if viewer.is_gone:
            return
        viewer.is_gone = True
        self._viewers.remove(viewer)
        if self._writer is viewer:
            self._writer, self._writer_left_at = None, monotonic()
            self._brake()
            for other in self._viewers:
                other.tell(type="writer", **self._who_types(other))
        self._tell_viewers()
        if not self._viewers:
            self._watched(False)

    def _tell_viewers(self) -> None:
        for viewer in self._viewers:
            viewer.tell(type="viewers", names=[other.name for other in self._viewers if other is not viewer])

    def _wake_all(self) -> None:
        for viewer in self._viewers:
            viewer.wake.set()

    # ------------------------------------------------------------------ what a page says

    async def _hear(self, viewer: Viewer) -> None:
        while True:
            payload = await viewer.line.receive()
            message = parsed(payload)
            if message is None:
                self._take(viewer, Record.unpack(payload))
            elif handler := _HANDLERS.get(str(message.get("type"))):
                handler(self, viewer, message)

    def _take(self, viewer: Viewer, record: Record) -> None:
        """Take what was typed: exactly what follows on what was taken, whatever is sent again."""
        if viewer is not self._writer:
            viewer.tell(type="error", message="This page does not type here; that was not sent.")
            return
        if record.offset > self._taken:
            raise ValueError("Something typed is missing.")
        new = record.data[self._taken - record.offset :]
        if not new:
            return
        if len(self._typed) + len(new) > TYPED_BYTES:
            raise ValueError("More is sent than may be on its way.")
        self.last_moved = monotonic()
        self._taken += len(new)
        self._typed += new
        self._has_typed.set()

    def _acknowledge(self, viewer: Viewer, message: dict[str, Any]) -> None:
        upto = min(int(message["upto"]), viewer.position)
        viewer.acknowledged = max(viewer.acknowledged, upto)
        viewer.wake.set()
        self._brake()

    def _fit(self, viewer: Viewer, message: dict[str, Any]) -> None:
        if viewer is self._writer:
            self._resize(_size(message))

    def _resize(self, size: Size) -> None:
        if size == self._scrollback.size:
            return
        self._scrollback.size = size
        self._recorder.resize(size)
        if self._terminal is not None:
            self._terminal.resize(size)
        self._wake_all()

    def _take_over(self, viewer: Viewer, message: dict[str, Any]) -> None:
        if not viewer.may_write or viewer is self._writer:
            return
        self._begin_generation()
        self._writer, self._writer_tab = viewer, viewer.tab
        viewer.acked_input = self._written
        for one in self._viewers:
            one.tell(type="writer", **self._who_types(one))
        self._brake()

    def _let_go(self, viewer: Viewer, message: dict[str, Any]) -> None:
        """The page is closed for good: whoever comes next types."""
        if viewer is self._writer:
            self._writer_tab = ""

    # ------------------------------------------------------------------ what a page is sent

    async def _pump(self, viewer: Viewer) -> None:
        while True:
            viewer.wake.clear()
            is_busy = self._send_some(viewer)
            await viewer.line.drain()
            if self._ended is not None and not is_busy and viewer.position >= self._scrollback.end:
                viewer.line.say(**self._ended)
                await viewer.line.drain()
                # The page hangs up when it has shown that.
                await asyncio.Event().wait()
            if not is_busy and not viewer.wake.is_set():
                await viewer.wake.wait()

    def _send_some(self, viewer: Viewer) -> bool:
        """Send what waits and a piece of the output; say whether there is more at once."""
        while viewer.waiting:
            viewer.line.say(**viewer.waiting.pop(0))
        if viewer is self._writer and self._is_ack_due(viewer):
            viewer.acked_input = self._written
            viewer.line.say(type="input_ack", upto=self._written)
        room = CREDIT_BYTES - (viewer.position - viewer.acknowledged)
        try:
            piece = self._scrollback.read(viewer.position, min(OUTPUT_BYTES, room)) if room > 0 else None
        except LookupError:
            self._send_from(viewer, None, skipped=self._scrollback.start - viewer.position)
            return True
        size = piece.size if piece else self._scrollback.size
        if room > 0 and size != viewer.size:
            viewer.size = size
            viewer.line.say(type="size", columns=size.columns, rows=size.rows)
        if piece is None:
            return False
        viewer.line.send(Record(piece.offset, piece.data).pack())
        viewer.position += len(piece.data)
        return True


def _size(message: dict[str, Any]) -> Size:
    return Size(min(max(int(message["columns"]), 2), LARGEST), min(max(int(message["rows"]), 1), LARGEST))


_HANDLERS: dict[str, Callable[[TerminalHost, Viewer, dict[str, Any]], None]] = {
    "ack": TerminalHost._acknowledge,
    "resize": TerminalHost._fit,
    "take_over": TerminalHost._take_over,
    "leave": TerminalHost._let_go,
}
