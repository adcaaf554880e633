"""Bat commands that a cmd.exe really runs: Wine's, behind a real sshd.

What stands in for Windows is in ``tests.support.windows``. Wine's cmd.exe knows no code pages without a console and no
taskkill of trees, so non-ASCII text and Stop are not shown here.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from instances.engine.shells import deliver
from instances.engine.transport import Collector, Exit
from instances.engine.types import Command, CommandType, Outcome, Started
from tests.instances.engine.conftest import Bench
from tests.support.sshd import Sshd, running_sshd
from tests.support.windows import WINE, Wine

pytestmark = pytest.mark.slow

TREE = Path(__file__).parents[3]
SCRIPT = """\
rem not shown, for commands are not echoed
echo 100%% of "a b" ^& c ^| d ^^ e
set name=x y
if "%name%"=="x y" (echo five) else (echo six)
for %%i in (1 2) do echo item%%i
echo to stderr 1>&2
call :part "in quotes & more"
goto end
:part
echo part "%~1"
exit /b 3
:end
echo level %errorlevel%
exit /b %errorlevel%
"""


@pytest.fixture(scope="module")
def wine() -> Wine:
    if WINE is None:
        pytest.fail("needs Wine: apt-get install --no-install-recommends wine wine64")
    return Wine.prepared()


@pytest.fixture(scope="module")
def windows_like(wine: Wine) -> Iterator[Sshd]:
    """An sshd whose every command goes to the pretended Windows account."""
    shell = f"cd {TREE} && exec {sys.executable} -m tests.support.windows_shell"
    with running_sshd(ForceCommand=shell) as server:
        yield server


@pytest.fixture
def bat(windows_like: Sshd, bench_for) -> Bench:
    return bench_for(windows_like.target())


async def test_a_bat_script_with_everything_special_in_it(bat: Bench) -> None:
    ended, going = await bat.run(SCRIPT, command_type=CommandType.BAT)
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 3)
    assert [call.code_page for call in going.calls if isinstance(call, Started)] == ["850"]
    assert [line.rstrip() for line in going.stdout.decode().splitlines()] == [
        '100% of "a b" & c | d ^ e',
        "five",
        "item1",
        "item2",
        'part "in quotes & more"',
        "level 3",
    ]
    assert going.stderr.decode().strip() == "to stderr"


async def test_a_bat_script_of_a_megabyte_runs_to_its_last_line(bat: Bench) -> None:
    text = "rem " + "x" * 4000 + "\n"
    ended, going = await bat.run(text * 262 + "echo the end\nexit /b 9\n", command_type=CommandType.BAT)
    assert (ended.exit_status, going.stdout.strip()) == (9, b"the end")


async def test_variables_are_set_beside_the_script(bat: Bench) -> None:
    values = {"PARAM_a": "C:\\Users\\x y", "PARAM_b": "a=b,c@d+e:/._-", "PARAM_c": ""}
    script = 'echo "%PARAM_a%" "%PARAM_b%" "%PARAM_c%"\nexit /b 0'
    ended, going = await bat.run(script, command_type=CommandType.BAT, environment=tuple(values.items()))
    assert (ended.exit_status, going.stdout.decode().strip()) == (0, '"C:\\Users\\x y" "a=b,c@d+e:/._-" ""')


@pytest.mark.parametrize("code", [0, 256, -1, -1073741510])
async def test_exit_codes_of_32_bits_come_back_with_their_sign(bat: Bench, code: int) -> None:
    ended, going = await bat.run(f"exit /b {code}", command_type=CommandType.BAT)
    assert (ended.outcome, ended.exit_status, going.stdout) == (Outcome.EXITED, code, b"")


async def test_a_script_that_was_cut_off_never_runs(bat: Bench) -> None:
    command = Command("echo ran", uuid4(), CommandType.BAT)
    delivery, output = deliver(command), Collector()
    async with bat.pool.borrow(bat.target) as connection:
        process = await connection.start(delivery.exec_request, stdin=delivery.opening, sink=output)
        process.write_eof()
        assert await process.until(lambda: process.is_over and process.is_output_complete, 60)
    assert process.exit == Exit(125)
    assert output.stdout.endswith(b" incomplete\n")
