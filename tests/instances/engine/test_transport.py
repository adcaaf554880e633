"""What every way to a real machine must do alike: SSH as two kinds of user, and the console's own machine."""

import asyncio
import hashlib
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from instances.engine.errors import CommandRefused
from instances.engine.types import CommandType, Ended, Outcome, Started, StopCause
from tests.instances.engine.conftest import Bench, Going
from tests.support.sshd import marked_by


async def test_output_and_status_are_the_commands_own(bench: Bench) -> None:
    ended, going = await bench.run("echo out; echo err >&2; exit 7")

    assert ended == Ended(Outcome.EXITED, exit_status=7)
    assert (going.stdout, going.stderr) == (b"out\n", b"err\n")
    first, second = going.calls
    assert first == "before_start"
    assert isinstance(second, Started)
    assert second.pid > 1
    assert second.start_time.isdigit()


@pytest.mark.parametrize("status", [0, 1, 255])
async def test_every_exit_status_arrives(bench: Bench, status: int) -> None:
    ended, _ = await bench.run(f"exit {status}")
    assert ended == Ended(Outcome.EXITED, exit_status=status)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
async def test_a_signal_is_named(bench: Bench, name: str) -> None:
    ended, _ = await bench.run(f"kill -s {name} $$")
    assert ended == Ended(Outcome.SIGNALLED, exit_signal=name)


async def test_stdin_is_at_its_end(bench: Bench) -> None:
    _, going = await bench.run("read x || echo eof; cat; echo after")
    assert going.stdout == b"eof\nafter\n"


async def test_only_the_marker_is_added_to_the_script(bench: Bench) -> None:
    _, going = await bench.run("env | grep ^MUSTER; set | grep ^__; echo $#")
    assert going.stdout == f"MUSTER_INVOCATION={going.marker}\n0\n".encode()


async def test_the_script_is_on_no_command_line(bench: Bench) -> None:
    _, going = await bench.run("cat /proc/$$/cmdline # SECRETWORD")
    assert going.stdout.startswith(b"/bin/sh\0")
    assert b"SECRETWORD" not in going.stdout


@pytest.mark.parametrize("interpreter", ["", "bash", "python3"])
async def test_a_script_of_a_megabyte_arrives_whole(bench: Bench, interpreter: str) -> None:
    line = "# 'quotes' \"$x\" \\ ! ü 漢 🙂\n"
    text = line * (1024 * 1024 // len(line.encode()))
    end = "print('whole')" if interpreter == "python3" else "echo whole"
    ended, going = await bench.run(text + end, interpreter=interpreter)
    assert (ended.exit_status, going.stdout, going.stderr) == (0, b"whole\n", b"")


async def test_text_reaches_the_script_unchanged(bench: Bench) -> None:
    _, going = await bench.run("cat <<'END'\n  ü $HOME `x` \\n 'a' \"b\" ! 🙂\t\n\nEND\nprintf last")
    assert going.stdout == "  ü $HOME `x` \\n 'a' \"b\" ! 🙂\t\n\nlast".encode()


async def test_errors_name_the_line_of_the_script(bench: Bench) -> None:
    ended, going = await bench.run("true\ntrue\nno-such-program")
    assert ended.exit_status == 127
    assert b"sh: 3:" in going.stderr or b"line 3" in going.stderr


async def test_a_syntax_error_is_a_failure(bench: Bench) -> None:
    ended, going = await bench.run("if true; then")
    assert ended == Ended(Outcome.EXITED, exit_status=2)
    assert going.stderr


async def test_a_trap_on_exit_runs(bench: Bench) -> None:
    ended, going = await bench.run("trap 'echo bye' EXIT; set -eu; false; echo never")
    assert (ended.exit_status, going.stdout) == (1, b"bye\n")


async def test_the_working_directory_is_entered(bench: Bench) -> None:
    folder = Path("/tmp") / f"muster test '{uuid4()}' $x"
    folder.mkdir(mode=0o755)
    try:
        _, going = await bench.run("pwd", working_directory=str(folder))
    finally:
        folder.rmdir()
    assert going.stdout == f"{folder}\n".encode()


async def test_home_is_the_working_directory_and_tilde_means_it(bench: Bench) -> None:
    _, plain = await bench.run('[ "$PWD" = "$HOME" ] && echo home')
    _, tilde = await bench.run('[ "$PWD" = "$HOME" ] && echo home', working_directory="~")
    assert (plain.stdout, tilde.stdout) == (b"home\n", b"home\n")


async def test_without_the_working_directory_nothing_runs(bench: Bench) -> None:
    ended, going = await bench.run("echo ran", working_directory="/nowhere/at all")
    assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, "cwd_missing")
    assert "did not run" in ended.message
    assert (going.stdout, going.calls) == (b"", ["before_start"])


async def test_without_the_interpreter_nothing_runs(bench: Bench) -> None:
    for interpreter in ("no-such-shell", "/opt/no/such", "/etc/passwd"):
        ended, going = await bench.run("echo ran", interpreter=interpreter)
        assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, "interpreter_missing")
        assert going.stdout == b""
    ended, _ = await bench.run("#!/usr/bin/env no-such-python\nprint('ran')")
    assert ended.reason == "interpreter_missing"


@pytest.mark.parametrize("interpreter", ["bash", "/bin/bash -e"])
async def test_bash_is_bash(bench: Bench, interpreter: str) -> None:
    ended, going = await bench.run('a=(1 2 3); echo "${a[2]}" $#; read x || exit 5', interpreter=interpreter)
    assert (ended.exit_status, going.stdout) == (5, b"3 0\n")


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("import sys; print(sys.argv[0], sys.stdin.read()); sys.exit(4)", "python3"),
        ("#!/usr/bin/env python3\nimport sys; print(sys.argv[0], sys.stdin.read()); sys.exit(4)", ""),
        ("#!/bin/bash -e\necho $0; exit 4", ""),
    ],
)
async def test_other_interpreters_get_a_file_that_is_gone_afterwards(bench: Bench, text: str, interpreter: str) -> None:
    ended, going = await bench.run(text, interpreter=interpreter)
    assert (ended.exit_status, going.stderr) == (4, b"")
    path = Path(going.stdout.decode().split()[0])
    assert path.parent.name == f"muster.{going.marker}"
    assert not path.parent.exists()


async def test_every_byte_arrives_as_it_was(bench: Bench) -> None:
    numbers = "".join(f"\\{number:03o}" for number in range(256))
    _, going = await bench.run(f"printf '{numbers}' | tee /dev/stderr")
    assert going.stdout == bytes(range(256))
    assert going.stderr == bytes(range(256))


async def test_both_outputs_can_be_large(bench: Bench) -> None:
    script = "head -c 10000000 /dev/zero >&2 & head -c 10000000 /dev/zero; wait; printf end"
    ended, going = await bench.run(script)
    assert ended == Ended(Outcome.EXITED, exit_status=0)
    assert (len(going.stdout), len(going.stderr)) == (10_000_003, 10_000_000)


async def test_twenty_megabytes_are_the_same_bytes(bench: Bench) -> None:
    script = (
        "import hashlib, os, random, sys\n"
        "data = random.Random(1).randbytes(20_000_000)\n"
        "sys.stdout.buffer.write(data)\n"
        "print(hashlib.sha256(data).hexdigest(), end='', file=sys.stderr)\n"
    )
    _, going = await bench.run(script, interpreter="python3")
    assert hashlib.sha256(going.stdout).hexdigest().encode() == going.stderr


async def test_a_held_back_output_stops_the_command_and_loses_nothing(bench: Bench) -> None:
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run("echo go; head -c 30000000 /dev/zero; echo done >&2", going))
        await going.sink.until(b"go\n")
        assert going.sink.flow is not None
        going.sink.flow.pause()
        # What was read before that is still passed on.
        await asyncio.sleep(0.1)
        held = len(going.stdout)
        await asyncio.sleep(0.3)
        assert len(going.stdout) == held
        assert going.stderr == b""
        going.sink.flow.resume()
    assert len(going.stdout) == 30_000_003
    assert running.result()[0] == Ended(Outcome.EXITED, exit_status=0)


@pytest.mark.slow
async def test_a_child_that_keeps_the_output_open_does_not_delay_the_end(bench: Bench) -> None:
    began_at = monotonic()
    ended, going = await bench.run("sleep 600 & echo early; exit 3")
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 3)
    assert "keeps its output open" in ended.message
    assert going.stdout == b"early\n"
    assert monotonic() - began_at < 300
    left = marked_by("MUSTER_INVOCATION", str(going.marker))
    assert len(left) == 1
    ended, _ = await bench.run(f"kill {left[0]}")
    assert ended.exit_status == 0


async def test_the_time_limit_ends_everything(bench: Bench) -> None:
    ended, going = await bench.run("sleep 600 & sleep 600", timeout_s=0.3)
    assert ended.outcome is Outcome.TIMED_OUT
    assert going.calls[-1] is StopCause.TIMEOUT
    assert marked_by("MUSTER_INVOCATION", str(going.marker)) == []


@pytest.mark.slow
async def test_many_commands_at_once_stay_apart(bench: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(bench.run(f"echo {number}; exit {number}")) for number in range(20)]
    for number, task in enumerate(running):
        ended, going = task.result()
        assert (ended.exit_status, going.stdout) == (number, f"{number}\n".encode())


async def test_what_no_machine_could_run_is_refused(bench: Bench) -> None:
    for text, fields in (
        ("dir\0", {"command_type": CommandType.BAT}),
        ("echo\0", {}),
        ("echo \ud800", {}),
        ("echo", {"working_directory": "/a\nb"}),
    ):
        going = Going()
        with pytest.raises(CommandRefused):
            await bench.run(text, going, **fields)
        assert going.calls == []


async def test_a_stop_before_the_start_sends_nothing(bench: Bench) -> None:
    going = Going()
    going.stop.request(StopCause.USER)
    ended, _ = await bench.run("echo ran", going)
    assert (ended.outcome, ended.reason) == (Outcome.STOPPED, "not_started")
    assert (going.calls, going.stdout) == ([], b"")
