"""The starter library: every command on a real machine, as root and as somebody else, with and without its tools."""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from console.saved_commands.files import read_folder
from console.saved_commands.folders import STARTER, folder_files
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from tests.instances.engine.conftest import Bench
from tests.support.sshd import ordinary_user, running_sshd

COMMANDS = read_folder(folder_files(STARTER))
SCRIPTS = {one.files[-1].removesuffix(".sh"): one.content.text for one in COMMANDS}
TWINS = {one.details.name: one.content.windows_text for one in COMMANDS if one.content.windows_text}
# What a Debian without any tool has: dash and coreutils, grep, sed, an awk.
BARE = [
    "awk",
    "cat",
    "cut",
    "date",
    "df",
    "du",
    "getconf",
    "grep",
    "head",
    "id",
    "ls",
    "pwd",
    "rm",
    "sed",
    "sh",
    "sort",
]
BARE += ["basename", "printf", "tail", "tr", "true", "uname", "wc"]


def test_there_are_enough_and_each_says_what_it_is_for():
    assert [one.error for one in COMMANDS if one.error] == []
    assert len(SCRIPTS) >= 12
    assert all(one.details.description and "starter" in one.details.tags for one in COMMANDS)
    assert all(one.content.text and one.content.options["timeout_s"] for one in COMMANDS)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_each_is_posix_shell_and_ends_well(name):
    checked = subprocess.run(["dash", "-n"], input=SCRIPTS[name], text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert SCRIPTS[name].endswith("exit 0\n")


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_each_does_without_the_tools_it_looks_for(name, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in BARE:
        found = shutil.which(tool)
        assert found is not None, tool
        (tools / tool).symlink_to(found)
    done = subprocess.run(
        ["/bin/dash", "-c", SCRIPTS[name]],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def files_of(home):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in home.rglob("*"))


async def outcome_of(bench, script, text, apt):
    # The whole disk of a machine that builds things takes minutes.
    folder = {"working_directory": "/etc"} if script == "largest-folders" else {}
    ended, going = await bench.run(text, timeout_s=120, environment=(("APT_CONFIG", str(apt)),), **folder)
    return ended.exit_status, bool(going.stdout.strip()), going.stderr


@pytest.fixture(scope="module")
def server():
    with running_sshd() as running:
        yield running


@pytest.fixture(scope="module")
def somebody():
    if os.geteuid() != 0:
        pytest.fail("needs root, to make a user")
    with ordinary_user("musterstart") as name:
        yield name


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.parametrize("who", ["root", "user"])
async def test_each_ends_well_on_a_real_instance_and_leaves_nothing(who, server, somebody):
    home = Path(pwd.getpwnam(somebody).pw_dir)
    before = files_of(home)
    # apt with the lists of a machine that was never updated: with all of Debian's it takes seconds.
    apt = server.folder / "apt.conf"
    apt.write_text(f'Dir::State::lists "{server.folder}";\n')
    pool = Pool(lambda _: SSHTransport())
    bench = Bench(pool, server.target(user=somebody if who == "user" else ""))
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(outcome_of(bench, name, text, apt)) for name, text in SCRIPTS.items()}
    await pool.close()
    assert {name: task.result() for name, task in tasks.items()} == dict.fromkeys(SCRIPTS, (0, True, b""))
    assert files_of(home) == before


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_twin_for_windows_is_marked_and_balanced(name):
    """There is no PowerShell here: this finds a bracket that was forgotten, and no more."""
    text = TWINS[name]
    assert text.startswith("# Written from the documentation; not yet run on a real Windows machine.\n")
    assert text.endswith("exit 0\n")
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", text)
    for left, right in ("()", "{}", "[]"):
        assert bare.count(left) == bare.count(right)
    assert bare.count("'") == bare.count('"') == 0
