"""Stop on Windows: the whole ladder on pretended machines, and what belongs to a command in one look."""

import asyncio
import base64
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.engine.errors import ConnectionLost
from instances.engine.testing import Say, Scene
from instances.engine.transport import Exit, Process
from instances.engine.trees import tree_of
from instances.engine.types import CommandType, Outcome, Sink, Started, StopCause, Stream, Target
from instances.engine.windows_stop import WindowsTree
from tests.instances.engine.conftest import Going, has_started

KINDS = pytest.mark.parametrize("kind", [CommandType.BAT, CommandType.POWERSHELL])
FIRST = Started(10, "500")
TARGET = Target("one", "one", "192.0.2.1", 22, None, ())


# ------------------------------------------------------------------ on pretended machines


@KINDS
async def test_stop_ends_the_tree_and_sees_it_gone(scripted, kind: CommandType) -> None:
    bench, transport = scripted(Scene((Say(b"up"),), ends_after_s=None, is_deaf=True))
    ended, going = await bench.stopped_after("sleep", has_started, command_type=kind)
    assert (ended.outcome, ended.message) == (Outcome.STOPPED, "Stopped; nothing of it is left running.")
    machine = transport.machines["one"]
    # No TERM by SSH: the server would end the shell alone, and call that success.
    assert (machine.signals, machine.living) == (["KILL"], {})
    assert going.calls[-1] is StopCause.USER


@KINDS
async def test_the_time_limit_uses_the_same_way(scripted, kind: CommandType) -> None:
    bench, transport = scripted(Scene(ends_after_s=None))
    ended, _ = await bench.run("sleep", command_type=kind, timeout_s=0.1)
    assert (ended.outcome, transport.machines["one"].living) == (Outcome.TIMED_OUT, {})


async def test_what_survives_taskkill_is_named_and_never_called_stopped(scripted, monkeypatch) -> None:
    monkeypatch.setattr("instances.engine.windows_stop.KILL_S", 0.1)
    bench, _ = scripted(Scene(ends_after_s=None, is_immortal=True))
    ended, _ = await bench.stopped_after("sleep", has_started, command_type=CommandType.BAT)
    assert (ended.outcome, ended.reason, ended.survivors) == (Outcome.LOST, "stop_unconfirmed", (1001,))
    assert "It still runs" in ended.message


async def test_a_lost_connection_is_made_again_to_stop_what_runs(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=None, drops_after_s=0.0))
    ended, going = await bench.stopped_after("sleep", has_started, command_type=CommandType.POWERSHELL)
    assert (ended.outcome, going.calls[-1]) == (Outcome.STOPPED, StopCause.USER)
    assert transport.machines["one"].living == {}


async def test_a_lost_connection_without_a_stop_is_looked_after(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=None, drops_after_s=0.0))
    ended, _ = await bench.run("sleep", command_type=CommandType.POWERSHELL)
    assert (ended.outcome, ended.reason, ended.survivors) == (Outcome.LOST, "connection_lost", (1001,))
    assert transport.machines["one"].signals == []


async def test_what_it_leaves_behind_is_stopped_as_well(scripted) -> None:
    bench, transport = scripted(Scene(ends_after_s=0.05, bystanders=2))
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run("start app", going, command_type=CommandType.BAT))
        await has_started(going)
        going.stop.request(StopCause.USER)
    assert running.result()[0].outcome in {Outcome.EXITED, Outcome.STOPPED}
    assert transport.machines["one"].living == {}


# ------------------------------------------------------------------ what belongs to a command


class Answers:
    """A connection that gives answers in turn and keeps what it was asked."""

    banner = "SSH-2.0-OpenSSH_for_Windows_9.5"
    is_closed = False

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.stdin: list[bytes] = []
        self.requests: list[str] = []

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        self.requests.append(exec_request)
        self.stdin.append(stdin)
        process = Ended()
        sink.write(Stream.STDOUT, self._answers.pop(0).encode())
        return process


class Ended(Process):
    """A process that is over when it is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.exit, self.is_output_complete = Exit(0), True

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def signal(self, name: str) -> None: ...
    def close(self) -> None: ...


def table(*rows: tuple[int, int, int, int]) -> str:
    return "".join(f"{' '.join(map(str, row))}\r\n" for row in [(4, 0, 0, 0), *rows]) + "done\r\n"


async def look(*answers: str, started: Started | None = FIRST) -> list[tuple[int, ...]]:
    tree, connection = WindowsTree(uuid4(), started), Answers(*answers)
    return [await tree.look(connection) for _ in answers]  # type: ignore[arg-type]


async def test_the_first_process_its_descendants_and_what_is_marked() -> None:
    rows = [(10, 2, 500, 0), (11, 10, 501, 0), (12, 11, 502, 0), (20, 2, 400, 0), (30, 3, 450, 1), (31, 30, 451, 0)]
    assert await look(table(*rows)) == [(10, 11, 12, 30, 31)]


async def test_a_number_used_again_is_not_ours() -> None:
    assert await look(table((10, 2, 900, 0), (11, 10, 901, 0))) == [()]


async def test_an_older_process_that_names_ours_as_its_parent_is_not_ours() -> None:
    assert await look(table((10, 2, 500, 0), (11, 10, 499, 0))) == [(10,)]


async def test_a_child_is_ours_after_its_parent_has_gone() -> None:
    before = table((10, 2, 500, 0), (11, 10, 501, 0), (12, 11, 502, 0))
    assert await look(before, table((12, 11, 502, 0)), table((13, 12, 503, 0))) == [(10, 11, 12), (12,), (13,)]


async def test_without_a_header_the_marker_alone_decides() -> None:
    assert await look(table((10, 2, 500, 0), (30, 2, 1, 1)), started=None) == [(30,)]


async def test_what_was_seen_is_ended_by_number_and_start_time() -> None:
    tree = WindowsTree(UUID(int=7), Started(10, "500"))
    connection = Answers(table((10, 2, 500, 0), (11, 10, 501, 0)), table((11, 10, 501, 0)), table())
    assert (await tree.stop(connection)).is_clean  # type: ignore[arg-type]
    marker = str(UUID(int=7))
    assert [line.split(b"\n")[1] for line in connection.stdin] == [
        b"end 10:500",
        b"end 10:500 11:501",
        b"end 10:500 11:501",
    ]
    assert {line.split(b" ")[0].decode() for line in connection.stdin} == {marker}
    # The sweep must not find itself by the encoded marker it looks for.
    assert {base64.b64decode(line.split()[1]).decode("utf-16-le") for line in connection.stdin} == {f"#{marker}\n "}


@pytest.mark.parametrize(
    "answer",
    ["", "done\r\n", "10 2 500 0\r\n", "what?\r\ndone\r\n", "denied Access denied\r\n", "Get-CimInstance : no\r\n"],
)
async def test_half_an_answer_is_never_a_clean_machine(answer: str) -> None:
    with pytest.raises(ConnectionLost):
        await look(answer)


@given(
    rows=st.lists(
        st.tuples(st.integers(5, 30), st.integers(0, 30), st.integers(0, 9), st.integers(0, 1)),
        unique_by=lambda r: r[0],
    )
)
def test_every_marked_process_is_ours_and_every_look_ends(rows: list[tuple[int, int, int, int]]) -> None:
    found = asyncio.run(look(table(*rows), started=Started(10, "5")))[0]
    assert {row[0] for row in rows if row[3]} <= set(found) <= {row[0] for row in rows}


def test_the_command_type_says_how_it_is_stopped() -> None:
    assert tree_of(CommandType.SHELL, uuid4(), None).takes_signals
    assert not tree_of(CommandType.BAT, uuid4(), None).takes_signals
    assert not tree_of(CommandType.POWERSHELL, uuid4(), None).takes_signals
