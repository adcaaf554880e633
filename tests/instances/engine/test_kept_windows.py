"""The kept PowerShell on pretended machines: nothing here has run on a real Windows machine."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.engine.errors import CommandRefused, SessionRefused
from instances.engine.kept_output import Marks
from instances.engine.kept_shell import KeptShell, open_shell
from instances.engine.kept_windows import WindowsShell
from instances.engine.kept_wish import ShellWish
from instances.engine.testing import Machine, Say, Scene, ScriptedTransport
from instances.engine.transport import Connection
from instances.engine.types import Command, CommandType, Ended, Flow, Outcome, Sink, Stream, Target
from tests.instances.engine.conftest import Going, has_started
from tests.support.windows import AROUND, CMD_CHARACTERS, decoded

TARGET = Target("one", "one", "192.0.2.1", 22, None, ())
POWERSHELL = CommandType.POWERSHELL
Opened = tuple[KeptShell, Machine]


async def opened(scene: Scene, **fields: str) -> Opened:
    transport = ScriptedTransport(lambda _: scene)
    connection = await transport.connect(TARGET)

    @asynccontextmanager
    async def reconnect() -> AsyncIterator[Connection]:
        yield connection

    wish = ShellWish(uuid4(), POWERSHELL, **fields)
    return await open_shell(connection, wish, reconnect=reconnect), transport.machines["one"]


async def run(shell: KeptShell, text: str, going: Going | None = None, **fields: object) -> tuple[Ended, Going]:
    going = going or Going()
    ended = await shell.execute(
        Command(text, going.marker, POWERSHELL, **fields),  # type: ignore[arg-type]
        sink=going.sink,
        before_start=going.before_start,
        started=going.started,
        stopping=going.stopping,
        stop=going.stop,
        grace_s=0.1,
    )
    return ended, going


async def stopped(shell: KeptShell, text: str, ready: Callable[[Going], Awaitable[object]]) -> Ended:
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(shell, text, going))
        await ready(going)
        going.stop.request()
    return running.result()[0]


async def test_one_command_after_the_other_in_one_shell() -> None:
    shell, machine = await opened(Scene((Say(b"out"), Say(b"err", Stream.STDERR)), exit_status=-1073741510))
    for text in ("$x = 1", "$x"):
        ended, going = await run(shell, text)
        assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, -1073741510)
        assert (going.stdout, going.stderr) == (b"out", b"err")
    assert machine.scripts == [b"$x = 1", b"$x"]
    assert (shell.interpreter, shell.started.code_page, shell.is_open) == ("powershell.exe", "850", True)


async def test_exit_ends_the_session_with_all_its_32_bits() -> None:
    shell, machine = await opened(Scene())
    ended, going = await run(shell, "exit 70000")
    assert (ended.outcome, ended.exit_status, ended.message) == (Outcome.EXITED, 70000, "It ended the session.")
    assert (shell.reason, going.stdout, machine.living) == ("ended_by_command", b"", {})


async def test_stop_ends_what_the_command_started_and_keeps_the_session() -> None:
    shell, machine = await opened(Scene(ends_after_s=None))
    ended = await stopped(shell, "ping -t", has_started)
    assert (ended.outcome, ended.message) == (
        Outcome.STOPPED,
        "Stopped; nothing of it is left running. The session goes on.",
    )
    assert list(machine.living) == [shell.started.pid]
    assert shell.is_open
    assert (await shell.close()).is_clean
    assert machine.living == {}


async def test_a_script_that_starts_nothing_cannot_be_interrupted_and_costs_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("instances.engine.kept_command.BACK_S", 0.1)
    shell, machine = await opened(Scene())
    ended = await stopped(shell, "while ($true) {}", has_started)
    assert ended.outcome is Outcome.STOPPED
    assert "so the session was closed" in ended.message
    assert (shell.reason, machine.living) == ("stop_needed_it", {})


async def test_the_time_limit_uses_the_same_way() -> None:
    shell, _ = await opened(Scene(ends_after_s=None))
    ended, _ = await run(shell, "ping -t", timeout_s=0.05)
    assert (ended.outcome, shell.is_open) == (Outcome.TIMED_OUT, True)


@dataclass
class Late:
    """A sink that takes nothing until the exit record is there."""

    sink: Sink

    def attach(self, flow: Flow) -> None:
        self.sink.attach(flow)
        flow.pause()
        asyncio.get_running_loop().call_later(0.05, flow.resume)

    def write(self, stream: Stream, data: bytes) -> None:
        self.sink.write(stream, data)


async def test_an_answer_that_the_exit_overtakes_is_waited_for() -> None:
    connection = await ScriptedTransport(lambda _: Scene(verdict="cwd_missing")).connect(TARGET)
    start = connection.start
    connection.start = lambda request, stdin, sink: start(request, stdin=stdin, sink=Late(sink))  # type: ignore[assignment]
    with pytest.raises(SessionRefused) as refused:
        await open_shell(connection, ShellWish(uuid4(), POWERSHELL), reconnect=lambda: nullcontext(connection))  # type: ignore[arg-type,return-value]
    assert refused.value.reason == "cwd_missing"


async def test_what_cannot_be_opened_or_sent_is_refused() -> None:
    with pytest.raises(SessionRefused, match="working directory") as missing:
        await opened(Scene(verdict="cwd_missing"), working_directory="Z:\\")
    assert missing.value.reason == "cwd_missing"
    with pytest.raises(SessionRefused) as invalid:
        await opened(Scene(), interpreter="pwsh\nexe")
    assert invalid.value.reason == "command_invalid"
    shell, machine = await opened(Scene())
    for fields in ({"text": "a\0"}, {"text": "x", "arguments": ("one",)}, {"text": "x", "environment": (("a b", ""),)}):
        with pytest.raises(CommandRefused):
            await run(shell, **fields)  # type: ignore[arg-type]
    assert machine.scripts == []


def test_what_starts_it_fits_into_the_command_lines_of_windows() -> None:
    delivery = WindowsShell(ShellWish(uuid4(), POWERSHELL)).opening()
    assert len(AROUND + delivery.exec_request) < CMD_CHARACTERS
    words = delivery.exec_request.split(" ")
    arguments = delivery.opening.decode().split("\n")[3]
    programs = [decoded(words[1:]), decoded(arguments.split(" "))]
    assert len(arguments) < CMD_CHARACTERS
    # The automatic variable for piped input makes PowerShell read stdin away.
    assert all("$input" not in program.lower() and program.startswith("#") for program in programs)


@given(
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_a_command_is_one_line_in_which_nothing_of_it_is_read_as_powershell(text: str, value: str) -> None:
    language = WindowsShell(ShellWish(uuid4(), POWERSHELL))
    command = Command(text, uuid4(), POWERSHELL, environment=(("NAME", value),))
    marks = Marks("b" * 32, "e" * 32)
    line = language.feed(command, marks)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    program = base64.b64decode(line[:-1], validate=True).decode()
    plain = language.feed(Command("", command.marker, POWERSHELL, environment=(("NAME", ""),)), marks)
    expected = base64.b64decode(plain).decode()
    assert len(program) - len(expected) == sum(4 * ((len(part.encode()) + 2) // 3) for part in (text, value))
