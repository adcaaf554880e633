"""Owns what ``manage.py attach`` says of itself between the output: who types, who looks on, what the escapes are."""

from dataclasses import dataclass
from typing import Any

from console.sessions.own_terminal import OwnTerminal
from console.sessions.typed import Typed
from instances.engine.transport import Size


@dataclass(frozen=True)
class Way:
    """How somebody attaches. ``escape`` is the character, None for none; ``os_user`` is who is at the shell."""

    watch: bool = False
    take_over: bool = False
    escape: bytes | None = b"~"
    os_user: str = ""

    def keys(self, second: str = "") -> str:
        """Return how an escape is typed, for a sentence; without ``second``, the character twice."""
        assert self.escape is not None
        code = self.escape[0]
        first = chr(code) if code >= 32 else f"^{chr(code + 64)}"
        return f"Enter {first} {second or first}"


class Remarks:
    """Says things of one terminal, each once, and what can wait not into a full screen."""

    def __init__(self, own: OwnTerminal, typed: Typed, way: Way, *, title: str) -> None:
        self._own, self._typed, self._way, self._title = own, typed, way, title
        self._writer_name = ""
        self._others: list[str] = []
        self._others_told: list[str] = []
        self._theirs = self._theirs_told = own.size
        self._said_in_vain = False

    def begin(self, message: dict[str, Any]) -> None:
        """Say what this is, before anything of it is shown."""
        self._writer_name = message["writer_name"]
        said = [f"{self._title}."]
        if message["recorded"]:
            said.append("Recorded.")
        if message["gap"]:
            said.append(f"Its first {message['gap']:,} bytes are no longer kept.")
        if not self._typed.is_writer:
            said.append(self._who_types())
        if self._way.escape is not None:
            said.append(f"{self._way.keys('?')} for help.")
        self._own.say(" ".join(said))

    def note_who_types(self, message: dict[str, Any], *, was_writer: bool, lost: int) -> None:
        """Say who types, if that has changed, and what was not sent because of it."""
        has_changed = (was_writer, self._writer_name) != (self._typed.is_writer, message["writer_name"])
        self._writer_name, self._said_in_vain = message["writer_name"], False
        if has_changed:
            self._own.say(self._who_types())
        if lost:
            self._own.say(f"{lost:,} bytes typed here before that were not sent.")

    def typed_in_vain(self) -> None:
        """Say that what is typed is not sent."""
        if not self._said_in_vain:
            self._said_in_vain = True
            self._own.say(f"What you type is not sent. {self._who_types()}")

    def note_viewers(self, names: list[str]) -> None:
        """Say who else looks, once it spoils nothing."""
        self._others = sorted(names)
        self.catch_up()

    def note_size(self, message: dict[str, Any]) -> None:
        """Keep the size the terminal has from here on."""
        self._theirs = Size(message["columns"], message["rows"])

    def catch_up(self) -> None:
        """Say what was put off."""
        if self._own.is_full_screen:
            return
        if self._typed.is_writer and self._others != self._others_told:
            self._others_told = self._others
            if names := ", ".join(self._others):
                self._own.say(f"{names} {'looks' if len(self._others) == 1 else 'look'} on.")
        here = self._own.size
        if not self._typed.is_writer and self._theirs != self._theirs_told:
            self._theirs_told = self._theirs
            if self._theirs.columns > here.columns or self._theirs.rows > here.rows:
                self._own.say(
                    f"It shows {self._theirs.columns} x {self._theirs.rows} characters, here are"
                    f" {here.columns} x {here.rows}: it may not look as it should."
                )

    def skipped(self, count: int) -> None:
        """Say that output is left out."""
        self._own.say(f"{count:,} bytes came faster than they could be shown here, and are left out.")

    def not_reached(self) -> None:
        """Say why nothing happens."""
        self._own.say("The console's worker is not reached; trying again.")

    def note_answers(self, answers: bool) -> None:
        """Say that the instance does not answer, or does again: even over a full screen, where nothing moves now."""
        if answers:
            self._own.say("It answers again.")
        else:
            self._own.say("The instance does not answer. What you type is sent when it does.")

    def help(self) -> None:
        """Say which escapes there are."""
        take_over = "" if self._way.watch else f" {self._way.keys('t')}: type, where somebody else does."
        self._own.say(f"{self._way.keys('.')}: detach; the terminal stays open.{take_over}")
        self._own.say(f"{self._way.keys('^Z')}: suspend. {self._way.keys()}: the character itself.")

    def say(self, sentence: str) -> None:
        """Say something else."""
        self._own.say(sentence)

    def _who_types(self) -> str:
        if self._typed.is_writer:
            return "You type now."
        who = f"{self._writer_name} types" if self._writer_name else "Nobody types"
        if self._way.escape is None or self._way.watch:
            return f"{who}; you are only watching."
        return f"{who}; you are only watching. {self._way.keys('t')} takes over."
