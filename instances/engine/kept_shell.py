"""Owns a shell that is kept on one machine: opening it, one command after the other in it, closing it."""

from collections.abc import Awaitable, Callable

from instances.engine.contact import Reconnect, contact
from instances.engine.errors import CommandRefused, ConnectionLost, SessionRefused, StartRefused
from instances.engine.execute import DRAIN_S
from instances.engine.header import Header
from instances.engine.kept_command import KeptCommand
from instances.engine.kept_language import KeptLanguage
from instances.engine.kept_output import KeptOutput, Marks, new_nonce
from instances.engine.kept_posix import PosixShell
from instances.engine.kept_windows import WindowsShell
from instances.engine.kept_wish import ShellWish
from instances.engine.stop import GRACE_S, SIGNAL_S, Survivors
from instances.engine.transport import Connection, Process
from instances.engine.trees import tree_of
from instances.engine.types import Command, CommandType, Ended, Sink, Started, StopCause, StopSignal

__all__ = ["KeptShell", "ShellWish", "open_shell"]

OPEN_S = 15.0

_NOT_OPENED = {
    "cwd_missing": "The working directory does not exist or cannot be entered. The session was not opened.",
    "interpreter_missing": "The interpreter does not exist or cannot be run. The session was not opened.",
}


async def open_shell(connection: Connection, wish: ShellWish, *, reconnect: Reconnect) -> "KeptShell":
    """Start a shell and keep it; it lives no longer than the connection.

    ``reconnect`` gives a connection for Stop and for closing, the same one if it still lives.
    Raises: SessionRefused; ChannelRefused; ConnectionLost.
    """
    language = _language(wish)
    delivery = language.opening()
    output = KeptOutput()
    header = Header(delivery.nonce, output, has_exit_line=delivery.has_exit_line)
    output.ask(delivery.nonce.decode())
    try:
        process = await connection.start(delivery.exec_request, stdin=delivery.opening, sink=header)
    except StartRefused:
        raise SessionRefused from None
    header.on_change = output.on_change = process.changed.set
    is_kept = False
    try:
        await _answered(process, header, output, OPEN_S + delivery.slack_s)
        language.greeted(output.answer or "")
        nonce = new_nonce()
        if line := language.settle(nonce):
            output.ask(nonce)
            process.write(line)
            await _answered(process, header, output, OPEN_S)
        is_kept = True
    finally:
        if not is_kept:
            # Without its input the shell ends by itself.
            process.write_eof()
            process.close()
    return KeptShell(process, output, header, wish, language, reconnect)


async def _answered(process: Process, header: Header, output: KeptOutput, patience_s: float) -> None:
    """Wait until the shell has answered. Raises: as ``open_shell``."""
    is_up = await process.until(
        lambda: process.is_over or output.answer is not None or header.verdict not in ("", "ok"), patience_s
    )
    if process.exit is not None:
        # The exit record can overtake output, which says why it did not come up.
        await process.until(lambda: process.is_output_complete or process.is_lost, DRAIN_S)
    if process.is_lost:
        raise ConnectionLost("The connection was lost before the session was open.")
    if not is_up or header.started is None or output.answer is None:
        raise _refused(header)


class KeptShell:
    """A shell that is kept; ``started`` is itself, ``interpreter`` what runs.

    ``is_open`` turns false once the shell or the connection is gone; then ``why_closed`` is a sentence and ``reason``
    one of ended_by_command, ended_on_instance, connection_lost, stop_needed_it and session_closed. Both are empty
    before. Output that comes between two commands is dropped.
    """

    def __init__(
        self,
        process: Process,
        output: KeptOutput,
        header: Header,
        wish: ShellWish,
        language: KeptLanguage,
        reconnect: Reconnect,
    ) -> None:
        assert header.started is not None
        self.started = header.started
        self._header = header
        self.interpreter = language.interpreter
        self._process = process
        self._output = output
        self._wish = wish
        self._language = language
        self._reconnect = reconnect
        self._closed: tuple[str, str] | None = None
        self._closing = StopSignal()
        self._why_closing = ""
        self._is_busy = False

    @property
    def is_open(self) -> bool:
        """Whether it takes commands, one at a time."""
        return self._closed is None and not self._process.is_over

    @property
    def reason(self) -> str:
        """Why it is closed, as a code."""
        return self._ending()[0]

    @property
    def why_closed(self) -> str:
        """Why it is closed, as a sentence."""
        return self._ending()[1]

    async def wait_closed(self) -> None:
        """Wait until it is no longer open."""
        await self._process.until(lambda: not self.is_open, None)

    async def execute(
        self,
        command: Command,
        *,
        sink: Sink,
        before_start: Callable[[], Awaitable[None]],
        started: Callable[[Started], Awaitable[None]],
        stopping: Callable[[StopCause], Awaitable[None]],
        stop: StopSignal,
        grace_s: float = GRACE_S,
    ) -> Ended:
        """Run the command in the shell and return its one ending, as ``execute.execute`` does.

        ``started`` is told of the shell itself. A command may end the session (``exit``, ``exec``, ``set -e``), and so
        may its stop, where the shell does not come back otherwise; the message says so and ``is_open`` is false then.
        Variables and arguments of the command are set in the shell and stay; so do those that are secret.
        Raises: EngineError only while nothing was sent, also when it is closed or another command runs in it.
        """
        if self._is_busy:
            raise CommandRefused("The session is busy with another command. It did not run.", reason="session_busy")
        if not self.is_open or self.is_closing:
            why = self._why_closing or self.why_closed or "The session is being closed."
            raise CommandRefused(f"{why} The command did not run.", reason="session_closed")
        if command.run_as or command.interpreter.strip() or command.working_directory or command.is_dry_run:
            message = "A session has its own user, interpreter and working directory. The command did not run."
            raise CommandRefused(message, reason="command_invalid")
        marks = Marks()
        fed = self._language.feed(command, marks)
        run = KeptCommand(self, self._process, self._output, self._language, command, marks, stop, grace_s)
        self._is_busy = True
        self._closing.listen(self._process.changed.set)
        stop.listen(self._process.changed.set)
        try:
            return await run.execute(fed, sink, before_start, started, stopping)
        finally:
            stop.unlisten(self._process.changed.set)
            self._closing.unlisten(self._process.changed.set)
            self._output.forget()
            self._is_busy = False
            self._process.changed.set()

    async def close(self, why: str = "") -> Survivors:
        """End the shell and everything in its session, and say what is left; a command that runs in it is stopped.

        ``why`` is a sentence for that command. What one moved into a session of its own (``setsid``) stays, as after a
        logout.
        """
        self._why_closing = self._why_closing or why
        self._closing.request()
        await self._process.until(lambda: not self._is_busy, None)
        if self._closed is None:
            self.mark_closed(*(self._ending() if self._process.is_over else _CLOSED))
        return await self.end()

    # What a command in it (kept_command.py) needs of it.

    @property
    def reconnect(self) -> Reconnect:
        """Give a connection for Stop."""
        return self._reconnect

    @property
    def is_closing(self) -> bool:
        """Whether ``close`` was asked for."""
        return self._closing.cause is not None

    @property
    def why_closing(self) -> str:
        """What ``close`` was told."""
        return self._why_closing

    @property
    def exit_status(self) -> int | None:
        """How the shell has ended: on Windows as it says itself, for SSH carries eight bits."""
        if self._header.exit_code is not None or self._process.exit is None:
            return self._header.exit_code
        return self._process.exit.status

    def mark_closed(self, reason: str, why: str) -> None:
        """Take no more commands; the first reason stays."""
        self._closed = self._closed or (reason, why)
        self._process.changed.set()

    async def end(self, *, grace_s: float = GRACE_S) -> Survivors:
        """End the shell and everything in its session, over a channel of its own, and say what is left."""
        self._process.write_eof()
        await self._process.until(lambda: self._process.is_over, SIGNAL_S)
        tree = tree_of(self._wish.command_type, self._wish.marker, self.started)
        left = await contact(self._reconnect, tree, lambda tree, there: tree.stop(there, grace_s=grace_s))
        self._process.close()
        return left

    def _ending(self) -> tuple[str, str]:
        exit_ = self._process.exit
        if self._closed is not None:
            return self._closed
        if self._process.is_lost:
            return _LOST
        if exit_ is None:
            return "", ""
        how = f" by signal {exit_.signal}" if exit_.signal else ""
        code, why = "ended_on_instance", f"The shell of the session was ended on the instance{how}."
        return code, why


_CLOSED = ("session_closed", "The session was closed.")
_LOST = ("connection_lost", "The connection was lost, and the session with it.")


def _language(wish: ShellWish) -> KeptLanguage:
    if wish.command_type is CommandType.BAT:
        message = "Sessions are not offered for Bat: use PowerShell. The session was not opened."
        raise SessionRefused(message, reason="not_offered")
    return PosixShell(wish) if wish.command_type is CommandType.SHELL else WindowsShell(wish)


def _refused(header: Header) -> SessionRefused:
    """Say why the shell did not come up."""
    message = _NOT_OPENED.get(header.verdict)
    if message is not None:
        return SessionRefused(message, reason=header.verdict)
    message = " ".join((SessionRefused.__doc__ or "").split())
    return SessionRefused(message + (f" It answered: {header.noise}" if header.noise else ""))
