"""What must not be found afterwards: secret values anywhere in the console, and scripts on the instances."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults.conftest import Stage
from tests.support.processes import start_worker
from tests.support.sshd import ordinary_user
from tests.support.sudoers import sudoers
from tests.support.until import WITHIN_S, until
from tests.support.viewer import Viewer, say
from tests.support.visitor import contents_in, marker_of

SECRET = "k4n/ry+of the whole c0nsole"
SCRIPT = """
printf 'plain k4n/ry+of'; sleep 0.3; printf ' the whole c0nsole'; printf '\\n'
printf 'again %s\\n' "$TOKEN" >&2
printf %s "$TOKEN" | base64
echo ready
while [ ! -e "$1" ]; do sleep 0.1; done
printf 'last %s' "$TOKEN"
"""


@pytest.fixture(scope="module")
def worker(stage: Stage):
    part = start_worker(stage.console)
    yield part
    assert part.end() == 0


@pytest.fixture(scope="module")
def other(stage: Stage, remote_user: str) -> Iterator[str]:
    with ordinary_user("mustsecret") as name, sudoers(f"{remote_user} ALL=({name}) NOPASSWD: /bin/sh"):
        yield name


def sent(stage: Stage, command: str, count: int, **options: object) -> int:
    return stage.visitor.send(command, stage.instances[:count], **options)


def has_printed(stage: Stage, run: int, text: bytes) -> bool:
    return all(text in stage.records.output(row["id"]) for row in stage.records.invocations(run))


@pytest.mark.parametrize("as_whom", ["login", "other"])
def test_a_secret_is_nowhere_while_it_runs_and_afterwards(stage, worker, other, as_whom):
    gate = stage.folder / f"gate-{as_whom}"
    fields = {"run_as": other} if as_whom == "other" else {}
    run = sent(stage, SCRIPT, 2, secret_environment=f"TOKEN={SECRET}", arguments=str(gate), **fields)
    until(lambda: has_printed(stage, run, b"ready\n"))
    assert [line for line in command_lines() if SECRET.encode() in line] == []
    if as_whom == "other":
        assert any(line.startswith(b"sudo\0") for line in command_lines())
    pages = [f"/runs/{run}/", f"/runs/{run}/?i=0", "/runs/", f"/send/?again={run}&which=all", "/"]
    seen = [page_of(stage, page) for page in pages]
    frames = asyncio.run(watched(stage, run, gate))
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.statuses(run) == ["succeeded"] * 2
    seen += [page_of(stage, page) for page in [*pages, f"/runs/{run}/output/0/"]]
    seen += [stage.records.output(row["id"]) for row in stage.records.invocations(run)]
    assert stage.records.output(stage.records.invocations(run)[0]["id"]).count(b"***") >= 4
    assert stage.records.rows("SELECT * FROM console_runsecrets") == []
    assert len(frames) > 1
    for place in (*seen, *frames, *everything_kept(stage)):
        for form in (SECRET, quote(SECRET), json.dumps(SECRET)[1:-1].replace("/", "\\/"), "azRuL3J5K29m"):
            assert form.encode() not in place


def page_of(stage: Stage, path: str) -> bytes:
    answer = stage.visitor.get(path)
    assert answer.status == 200, (path, answer)
    return answer.body


async def watched(stage: Stage, run: int, gate: Path) -> list[bytes]:
    """Follow one instance to its end, which the gate lets come, and return every frame of the socket."""
    frames = []
    async with Viewer(stage.console, stage.visitor, run, 0, None).connected() as socket, asyncio.timeout(WITHIN_S):
        await say(socket, type="watch", run=run)
        await say(socket, type="open", run=run, i=0, **{"from": 0})
        await asyncio.to_thread(gate.touch)
        async for message in socket:
            frames.append(message if isinstance(message, bytes) else message.encode())
            if not isinstance(message, bytes) and message.startswith("{") and '"ended"' in message:
                return frames
    return frames


def everything_kept(stage: Stage) -> list[bytes]:
    """Every file of the console: the database with its log, key ring, logs of its processes and of sshd."""
    files = contents_in(stage.folder / "data")
    assert any(path.endswith("-wal") for path in files)
    return [*files.values(), *(path.read_bytes() for path in [*stage.folder.glob("*.log"), stage.sshd.log_path])]


def command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes()
            except OSError:
                continue


# How each comes to its end, and by which script.
ENDINGS = {
    "ends": ("succeeded", "print('ready')"),
    "fails": ("failed", "print('ready', flush=True); raise SystemExit(3)"),
    "stopped": ("stopped", "import time; print('ready', flush=True); time.sleep(300)"),
    "deaf": (
        "stopped",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
        "while True: time.sleep(1)",
    ),
}


def test_no_script_is_left_on_an_instance(stage, worker, other):
    """Whatever is named after one of its attempts, anywhere on the machine."""
    runs = {
        (how, run_as): sent(stage, f"#!/usr/bin/env python3\n{script}\n", 2, run_as=run_as)
        for how, (_, script) in ENDINGS.items()
        for run_as in ("", other)
    }
    names = set()
    for (how, _), run in runs.items():
        until(lambda run=run: has_printed(stage, run, b"ready\n"))
        folders = {f"muster.{marker_of(row)}" for row in stage.records.invocations(run)}
        names |= folders
        if how in ("stopped", "deaf"):
            assert all(Path("/tmp", folder, "script").exists() for folder in folders)
            stage.visitor.stop(run)
    for (how, _), run in runs.items():
        until(lambda run=run: stage.records.run(run)["finished_at"])
        assert stage.records.statuses(run) == [ENDINGS[how][0]] * 2
    assert len(names) == 16
    # The search finds what is there.
    planted = stage.folder / f"a {sorted(names)[0]} of them"
    planted.touch()
    assert found(names) == [str(planted)]
    planted.unlink()


def found(names: set[str]) -> list[str]:
    markers = [word for name in names for word in ("-e", name.partition(".")[2])]
    everything = ["find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-print"]
    # Files that are gone before it comes to them are no news.
    with subprocess.Popen(everything, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as listing:
        done = subprocess.run(["grep", "-aF", *markers], stdin=listing.stdout, capture_output=True, check=False)
    return os.fsdecode(done.stdout).splitlines()
