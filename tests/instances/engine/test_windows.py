"""What a Windows machine would receive, taken apart as its OpenSSH server, shells and PowerShell read it."""

import base64
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.engine import windows
from instances.engine.check import check
from instances.engine.errors import CommandRefused, ConnectionLost
from instances.engine.shells import deliver
from instances.engine.testing import Say, Scene, ScriptedTransport
from instances.engine.transport import Process
from instances.engine.types import Command, CommandType, KeyAuth, Outcome, Sink, Stream, Target
from tests.instances.engine.conftest import Bench
from tests.support.ssh_server import Asked, new_key, ssh_server
from tests.support.windows import Received, decoded

BAT, POWERSHELL = CommandType.BAT, CommandType.POWERSHELL
TARGET = Target("one", "one", "192.0.2.1", 22, None, ())
TRICKY = [
    "",
    "echo hi",
    "Write-Output 'it''s' \"quoted `\"twice`\" $env:X\"; & cmd /c 'a & b | c ^ %PATH%'",
    "$text = @'\nno $expansion 'here'\n'@\n$more = @\"\n$text \"and\" here\n\"@\n$more",
    "one\r\ntwo\nthree\r\n\r\n",
    "Gruß aus Köln, 東京 und 🚀, Ω≈ç√",
    'echo 100%% ^& !x! "a b" <nul >nul %~dp0',
    "#" + "x" * 1024 * 1024,
    'ends with a quote"',
]


def command(text: str = "echo hi", kind: CommandType = POWERSHELL, **fields: str) -> Command:
    return Command(text, uuid4(), kind, **fields)  # type: ignore[arg-type]


def received(sent: Command) -> Received:
    delivery = deliver(sent)
    arrived = Received.read(delivery.exec_request, delivery.opening + delivery.go)
    assert delivery.nonce.decode() == arrived.nonce
    assert not Received.read(delivery.exec_request, delivery.opening).is_whole
    return arrived


@pytest.mark.parametrize("text", TRICKY)
def test_a_powershell_script_arrives_to_the_byte(text: str) -> None:
    sent = command(text)
    arrived = received(sent)
    assert arrived.is_whole
    assert arrived.script.decode() == text
    assert (arrived.interpreter, arrived.suffix, arrived.marker) == ("powershell.exe", "", str(sent.marker))


@pytest.mark.parametrize("text", TRICKY)
def test_a_bat_script_arrives_with_the_line_ends_of_windows(text: str) -> None:
    arrived = received(command(text, BAT))
    assert arrived.is_whole
    assert b"\n" not in arrived.script.replace(b"\r\n", b"")
    assert arrived.script.decode().replace("\r\n", "\n") == text.replace("\r\n", "\n")
    assert arrived.interpreter == "cmd.exe"
    # Only the outermost quotes go (/s); the path in the inner ones may hold spaces and ampersands.
    assert arrived.arguments.replace("{}", r"C:\Users\R&D x\s.cmd") == (
        r'/d /q /s /c "chcp 65001>nul & "C:\Users\R&D x\s.cmd""'
    )


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_arrives_as_it_was_written(text: str) -> None:
    assert received(command(text)).script.decode() == text


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_nothing_of_the_script_is_on_a_command_line(text: str) -> None:
    marker = uuid4()
    requests = {deliver(Command(some, marker, kind)).exec_request for some in (text, "x") for kind in (BAT, POWERSHELL)}
    assert len(requests) == 1


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_script_cut_off_on_the_way_is_not_whole(cut: int) -> None:
    delivery = deliver(command("Remove-Item C:\\data -Recurse"))
    stdin = delivery.opening + delivery.go
    assert not Received.read(delivery.exec_request, stdin[:-cut]).is_whole


def test_the_supervisor_promises_what_the_posix_bootstrap_does() -> None:
    program = received(command()).program
    for verdict in ("cwd_missing", "interpreter_missing", "incomplete", "no_space", "ok"):
        assert f'Say "$n {verdict}"' in program
    # In this order: the pid, what may be missing, the script as a whole, and only then a start.
    places = [
        program.index(part) for part in ('"$n $PID', "cwd_missing", "interpreter_missing", "incomplete", "::Start(")
    ]
    assert places == sorted(places)


def test_no_program_reads_piped_input_or_touches_the_error_preference() -> None:
    arrived = received(command())
    for program in (arrived.program, decoded(arrived.arguments.split(" "))):
        assert "$input" not in program.lower()
        assert "$erroractionpreference" not in program.lower()
        assert program.isascii()


def test_powershell_evaluates_what_comes_on_stdin_and_ends_with_its_code() -> None:
    sent = command()
    program = decoded(received(sent).arguments.split(" "))
    assert program.startswith(f"#{sent.marker}\n")
    assert program.index("OpenStandardInput") < program.index("& $MusterScript") < program.index("exit $LASTEXITCODE")
    assert program.endswith("exit $LASTEXITCODE")


@pytest.mark.parametrize("interpreter", ["pwsh", r"C:\Program Files\PowerShell\7\pwsh.exe"])
def test_powershell_7_is_an_interpreter(interpreter: str) -> None:
    assert received(command(interpreter=interpreter)).interpreter == interpreter


def test_the_working_directory_may_hold_any_letters() -> None:
    assert received(command(working_directory=r"~\Größe & more")).working_directory == r"~\Größe & more"


@pytest.mark.parametrize(
    ("text", "kind", "fields", "reason"),
    [
        ("a\0b", BAT, {}, "script_invalid"),
        ("\ud800", POWERSHELL, {}, "script_invalid"),
        ("dir", BAT, {"interpreter": "bash"}, "command_invalid"),
        ("dir", BAT, {"environment": (("A", "a&b"),)}, "command_invalid"),
        ("dir", BAT, {"environment": (("A", "C:\\"),)}, "command_invalid"),
        ("dir", POWERSHELL, {"environment": (("A", "\0"),)}, "command_invalid"),
        ("dir", POWERSHELL, {"environment": (("A", "\ud800"),)}, "command_invalid"),
        ("dir", POWERSHELL, {"environment": (("A=B", ""),)}, "command_invalid"),
        ("dir", POWERSHELL, {"arguments": ("a",)}, "command_invalid"),
        ("dir", POWERSHELL, {"interpreter": "a\nb"}, "command_invalid"),
        ("dir", BAT, {"working_directory": "C:\\\r\n"}, "command_invalid"),
    ],
)
def test_what_no_windows_machine_could_run_is_refused(
    text: str, kind: CommandType, fields: dict[str, str], reason: str
) -> None:
    with pytest.raises(CommandRefused) as refused:
        deliver(command(text, kind, **fields))
    assert refused.value.reason == reason


def test_the_marker_is_found_in_every_command_line_of_the_engine() -> None:
    sent = command()
    plain, hidden = windows.traces(sent.marker)
    delivery = deliver(sent)
    assert hidden in delivery.exec_request
    assert hidden in delivery.opening.decode()
    assert plain in base64.b64decode(hidden).decode("utf-16-le")
    assert hidden not in deliver(command()).exec_request


@pytest.mark.parametrize("kind", [BAT, POWERSHELL])
async def test_the_whole_way_over_ssh_with_an_exit_code_of_32_bits(bench_for, kind: CommandType) -> None:
    async def play(asked: Asked) -> None:
        # As under a PowerShell as default shell, which knows only 0 and 1.
        asked.process.stdout.write(b"\x84 out\r\n\0%b exit -1073741510\n" % asked.nonce)
        asked.process.exit(1)

    async with ssh_server(play) as server:
        bench: Bench = bench_for(server.target(KeyAuth("any", new_key())))
        ended, going = await bench.run("dir", command_type=kind)
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, -1073741510)
    assert going.stdout == b"\x84 out\r\n"
    assert server.commands[0].startswith("powershell.exe -NoLogo ")


async def test_a_missing_folder_is_told_before_anything_ran(bench_for) -> None:
    transport = ScriptedTransport(lambda _: Scene((Say(b"ran"),), verdict="cwd_missing"))
    bench: Bench = bench_for(TARGET, transport)
    ended, going = await bench.run("dir", command_type=BAT, working_directory="C:\\nowhere")
    assert (ended.outcome, ended.reason, going.stdout) == (Outcome.NOT_STARTED, "cwd_missing", b"")


class Machine:
    """A connection to a machine that gives one answer, or none at all."""

    is_closed = False

    def __init__(self, banner: str, answer: bytes | None) -> None:
        self.banner = banner
        self._answer = answer
        self.asked: list[str] = []

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        self.asked.append(exec_request)
        if self._answer is None:
            raise ConnectionLost
        connection = await ScriptedTransport(lambda _: Scene()).connect(TARGET)
        process = await connection.start("true", stdin=b"", sink=sink)
        sink.write(Stream.STDOUT, self._answer)
        return process


async def test_check_asks_windows_in_its_own_words() -> None:
    answer = "muster facts\nWindows\n10.0.26100.0\nPC-7\nC:\\Windows\\system32\\cmd.exe\nPC-7\\jörg\nWindows 11 Pro\n"
    machine = Machine("SSH-2.0-OpenSSH_for_Windows_9.5", answer.encode())
    facts = await check(machine)  # type: ignore[arg-type]
    assert (facts.os, facts.kernel, facts.hostname) == ("Windows 11 Pro", "10.0.26100.0", "PC-7")
    assert (facts.shell, facts.user) == ("C:\\Windows\\system32\\cmd.exe", "PC-7\\jörg")
    words = machine.asked[0].split(" ")
    assert "'muster facts','Windows'" in decoded(words[1:])


@pytest.mark.parametrize("answer", [b"", b"noise\r\n", None])
async def test_check_of_a_windows_without_powershell_still_says_windows(answer: bytes | None) -> None:
    facts = await check(Machine("SSH-2.0-OpenSSH_for_Windows_9.5", answer))  # type: ignore[arg-type]
    assert (facts.os, facts.user) == ("Windows", "")
