"""Owns how far the output of a terminal was shown here, and that nothing old is asked again."""

from typing import Any

from console.sessions.own_terminal import OwnTerminal
from console.sessions.questions import Questions
from console.sessions.relay import Record, RelayBroken

ACK_EVERY_BYTES = 32 * 1024


class Shown:
    """The output in the terminal here. ``upto`` is the offset that comes next; None before there was any."""

    def __init__(self, own: OwnTerminal) -> None:
        self._own = own
        self._questions = Questions()
        # Up to where it was said to be shown, and had been printed when this began.
        self._acknowledged = self._replayed = 0
        self.upto: int | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Whether all is shown that had been printed when this began."""
        return self.upto is not None and self.upto >= self._replayed

    def begin(self, message: dict[str, Any]) -> None:
        """Take ``attached`` in: it goes on, or begins anew on an empty screen."""
        self._acknowledged = message["output_from"]
        if message["reset"]:
            if self.upto is not None:
                self._own.clear()
            self.upto, self._replayed = message["output_from"], message["output_upto"]
            self._questions.rest()

    def add(self, record: Record, *, is_writer: bool) -> None:
        """Show what was printed. Raises: RelayBroken when something between is missing."""
        if record.offset != self.upto:
            raise RelayBroken
        self.upto = record.offset + len(record.data)
        # What is asked of whoever types is for the terminal here, unless it was asked long ago.
        old = max(0, min(len(record.data), self._replayed - record.offset)) if is_writer else len(record.data)
        if old:
            self._own.show(self._questions.without(record.data[:old]))
        if old < len(record.data):
            self._own.show(self._questions.rest() + record.data[old:])

    def to_acknowledge(self) -> int | None:
        """Return up to where to say that it was shown; None while that can wait."""
        if self.upto is None or self.upto - self._acknowledged < ACK_EVERY_BYTES:
            return None
        self._acknowledged = self.upto
        return self.upto
