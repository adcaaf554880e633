"""Kept shells on a real sshd: what bash, dash and busybox's ash do with one command after the other."""

import asyncio
import os
import signal

import pytest

from instances.engine.errors import CommandRefused, SessionRefused
from instances.engine.transport import ask
from instances.engine.types import CommandType, Outcome
from tests.instances.engine.conftest import Going, Keeping
from tests.instances.engine.keeping import SHELLS, printed, run
from tests.support.sshd import Sshd
from tests.support.until import wait_until

pytestmark = pytest.mark.sshd


@pytest.mark.parametrize("name", SHELLS)
async def test_everything_persists_from_one_command_to_the_next_on_one_sign_in(
    keeping: Keeping, sshd: Sshd, name: str
) -> None:
    # What the server does with a connection it does once it has counted that.
    await ask(keeping.connection, "exec true", timeout_s=60)
    accepted = sshd.accepted
    shell = await keeping.open(SHELLS[name])
    await run(shell, 'x="a  b"; greet() { echo "hello $1"; }; alias twice="echo two"')
    await run(shell, "cd /usr; export FROM=here; umask 077; set -f")
    ended, going = await run(shell, 'echo "$x $(pwd) $(umask) *"; greet you; twice; sh -c \'echo "$FROM $0"\'')
    assert going.stdout == b"a  b /usr 0077 *\nhello you\ntwo\nhere sh\n"
    assert (ended.outcome, ended.exit_status, going.stderr) == (Outcome.EXITED, 0, b"")
    assert going.calls == ["before_start", shell.started]
    if name == "bash":
        await run(shell, "set +f; list=(one two); declare -A map=([key]=value)")
        assert await printed(shell, 'echo "${list[1]} ${map[key]}"') == "two value\n"
    assert shell.is_open
    assert sshd.accepted == accepted


@pytest.mark.parametrize("name", SHELLS)
async def test_a_child_that_ends_between_two_commands_disturbs_nothing(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    _, going = await run(shell, "sleep 601 & echo $!")
    os.kill(int(going.stdout), signal.SIGKILL)
    # The shell hears of it while it waits for the next line.
    assert await printed(shell, "wait; echo on") == "on\n"
    await run(shell, "kill -s INT $$")
    _, going = await run(shell, "sleep 601 & echo $!")
    os.kill(int(going.stdout), signal.SIGKILL)
    assert await printed(shell, "wait; echo on") == "on\n"


STATUSES = {
    "true": 0,
    "false": 1,
    "(exit 3)": 3,
    "if (": 2,
    "echo one; no-such-command": 127,
    "sh -c 'kill -s KILL $$'": 137,
    "return 5": 5,
    "break": 0,
    "echo ${unset?}\necho 'not reached'": None,
    "set -u; echo $unset\necho 'not reached'": None,
    "set +u; cd /nonexistent": None,
    "readonly r=1; r=2; echo 'not reached'": None,
    "echo 'a b' \\": 0,
    "# only a comment": 0,
    "": 0,
    "kill -s INT $$; sleep 60": 130,
}


@pytest.mark.parametrize("name", SHELLS)
async def test_the_exit_status_is_right_and_the_session_goes_on(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    for text, status in STATUSES.items():
        ended, going = await run(shell, text)
        assert ended.outcome is Outcome.EXITED, text
        assert ended.exit_status == status if status is not None else ended.exit_status in (1, 2), text
        assert b"not reached" not in going.stdout, text
        assert ended.message == ""
    assert await printed(shell, "echo fine") == "fine\n"


@pytest.mark.parametrize("name", SHELLS)
async def test_what_ends_the_shell_ends_the_session_and_says_so(keeping: Keeping, name: str) -> None:
    for text, status in {"echo bye; exit 7": 7, "exec true": 0, "set -e; false; echo on": 1}.items():
        shell = await keeping.open(SHELLS[name])
        ended, going = await run(shell, text)
        assert (ended.outcome, ended.exit_status, ended.message) == (Outcome.EXITED, status, "It ended the session.")
        assert going.stdout + going.stderr == (b"bye\n" if "bye" in text else b"")
        assert (shell.is_open, shell.reason) == (False, "ended_by_command")
        assert f"exit status {status}" in shell.why_closed
        with pytest.raises(CommandRefused, match="The command did not run") as refused:
            await run(shell, "true")
        assert refused.value.reason == "session_closed"


@pytest.mark.parametrize("name", SHELLS)
async def test_nothing_a_command_does_to_its_shell_hides_or_forges_the_end(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    assert await printed(shell, "set") != ""
    # The loop in which ash is kept has a name of its own.
    names = await printed(
        shell, "set | grep -a '^__' | grep -v '^__k='; env | grep '^__'; set | grep -ac 'printf.*036'"
    )
    assert names == "0\n"
    assert await printed(shell, "set -x; echo a 2>&1") in ("a\n+ echo a\n", "a\n+++ echo a\n")
    assert (await printed(shell, "set +x; set -v")).count("\n") <= 1
    assert await printed(shell, "echo b") == "b\n"
    assert await printed(shell, "set +v") == ""
    assert (await printed(shell, "cat; read x || echo eof; read y <&8 || echo none")).startswith("eof\n")
    assert await printed(shell, "exec 8>/dev/null 9>&-; echo c") == "c\n"
    assert await printed(shell, "exec 2>&1; echo d >&2") == "d\n"
    assert await printed(shell, "PS1='> '; PS2='> '; trap 'echo e >&2' INT; f() {\necho f\n}\nf") == "f\n"
    assert await printed(shell, "exec >/dev/null; echo g") == ""
    ended, going = await run(shell, "echo hidden; false")
    assert (ended.exit_status, going.stdout) == (1, b"")


@pytest.mark.parametrize("name", SHELLS)
async def test_output_arrives_to_the_byte_on_both_streams(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    ended, going = await run(shell, "printf 'no end'; printf 'nor here' >&2; printf '\\036\\0\\377\\r\\n\\036'")
    assert (going.stdout, going.stderr) == (b"no end\x1e\x00\xff\r\n\x1e", b"nor here")
    ended, going = await run(
        shell, "head -c 10000000 /dev/zero | tr '\\0' '\\036' & head -c 100000 /dev/zero >&2; wait"
    )
    assert (len(going.stdout), len(going.stderr), ended.exit_status) == (10_000_000, 100_000, 0)
    text = "#" + "x" * 1_000_000 + "\n" + "true\n" * 5000 + "echo $(( 6 * 7 ))"
    assert await printed(shell, text) == "42\n"


@pytest.mark.parametrize("name", SHELLS)
async def test_variables_and_arguments_arrive_on_stdin_alone(keeping: Keeping, name: str) -> None:
    shell = await keeping.open(SHELLS[name])
    secret = "s3cret 'quoted' $(x) \\ \n end"
    await run(shell, "set -v -x")
    fields = {"environment": (("TOKEN", secret),), "arguments": ("one 1", "", "*")}
    _, going = await run(
        shell, 'set +v +x; printf "%s" "$TOKEN"; echo; echo "$#:$1:$3"; cat /proc/[0-9]*/cmdline', **fields
    )
    assert going.stdout.startswith(secret.encode() + b"\n3:one 1:*\n")
    assert going.stdout.count(b"s3cret") == 1
    assert going.stderr.count(b"s3cret") <= 1
    assert await printed(shell, 'echo "$# ${#TOKEN}"') == f"0 {len(secret)}\n"


async def test_one_command_at_a_time(keeping: Keeping) -> None:
    shell = await keeping.open()
    going = Going()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(run(shell, "echo ready; sleep 600", going))
        await going.sink.until(b"ready\n")
        with pytest.raises(CommandRefused, match="busy") as refused:
            await run(shell, "true")
        going.stop.request()
    assert refused.value.reason == "session_busy"
    assert first.result()[0].outcome is Outcome.STOPPED
    for fields in ({"run_as": "root"}, {"interpreter": "sh"}, {"working_directory": "/"}, {"is_dry_run": True}):
        with pytest.raises(CommandRefused, match="its own user"):
            await run(shell, "true", **fields)
    for text in ("a\0b", "\ud800"):
        with pytest.raises(CommandRefused) as invalid:
            await run(shell, text)
        assert invalid.value.reason == "script_invalid"


async def test_the_machine_chooses_bash_if_there_is_one_and_starts_in_the_folder(keeping: Keeping) -> None:
    shell = await keeping.open("", working_directory="/usr")
    assert shell.interpreter == "bash"
    assert await printed(shell, "pwd; echo ${BASH_VERSION:+bash} $HISTFILE; history; jobs") == "/usr\nbash\n"


async def test_what_cannot_be_opened_is_refused(keeping: Keeping) -> None:
    cases: dict[str, dict[str, str]] = {
        "cwd_missing": {"working_directory": "/nonexistent"},
        "interpreter_missing": {"interpreter": "/nonexistent/bash"},
        "command_invalid": {"working_directory": "/a\nb"},
    }
    for reason, fields in cases.items():
        with pytest.raises(SessionRefused, match="The session was not opened") as refused:
            await keeping.open(**fields)
        assert refused.value.reason == reason
    with pytest.raises(SessionRefused, match="keeps sh, bash"):
        await keeping.open("python3")
    with pytest.raises(SessionRefused, match="not offered for Bat"):
        await keeping.open(command_type=CommandType.BAT)
    # It says why and only then exits; nobody waits for that.
    await wait_until(lambda: not keeping.left())
