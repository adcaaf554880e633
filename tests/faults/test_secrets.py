"""What must not be found afterwards: secret values anywhere in the console, and scripts on the instances."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults.conftest import Stage
from tests.support.processes import start_worker
from tests.support.sshd import ordinary_user
from tests.support.sudoers import sudoers
from tests.support.until import until
from tests.support.viewer import Viewer, say
from tests.support.visitor import marker_of

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
    until(lambda: has_printed(stage, run, b"ready\n"), 20)
    assert [line for line in command_lines() if SECRET.encode() in line] == []
    if as_whom == "other":
        assert any(line.startswith(b"sudo\0") for line in command_lines())
    pages = [f"/runs/{run}/", f"/runs/{run}/?i=0", "/runs/", f"/send/?again={run}&which=all", "/"]
    seen = [page_of(stage, page) for page in pages]
    frames = asyncio.run(watched(stage, run, gate))
    until(lambda: stage.records.run(run)["finished_at"], 20)
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
    async with Viewer(stage.console, stage.visitor, run, 0, None).connected() as socket, asyncio.timeout(20):
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
    files = [path for path in (stage.folder / "data").rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    return [path.read_bytes() for path in [*files, *stage.folder.glob("*.log"), stage.sshd.log_path]]


def command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes()
            except OSError:
                continue


@pytest.mark.parametrize("how", ["ends", "fails", "stopped", "deaf"])
def test_no_script_is_left_on_an_instance(stage, worker, other, how, tmp_path):
    """Whatever is newer than the start and named after one of its attempts, anywhere on the machine."""
    mark = tmp_path / "mark"
    mark.touch()
    script = {
        "ends": "print('ready')",
        "fails": "print('ready', flush=True); raise SystemExit(3)",
        "stopped": "import time; print('ready', flush=True); time.sleep(300)",
        "deaf": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
        "while True: time.sleep(1)",
    }[how]
    runs = [sent(stage, f"#!/usr/bin/env python3\n{script}\n", 2, run_as=run_as) for run_as in ("", other)]
    for run in runs:
        until(lambda run=run: has_printed(stage, run, b"ready\n"), 20)
        if how in ("stopped", "deaf"):
            assert all(Path(f"/tmp/muster.{marker_of(row)}/script").exists() for row in stage.records.invocations(run))
            stage.visitor.stop(run)
    for run in runs:
        until(lambda run=run: stage.records.run(run)["finished_at"], 30)
        wanted = {"ends": "succeeded", "fails": "failed"}.get(how, "stopped")
        assert stage.records.statuses(run) == [wanted] * 2
    assert found_after(mark, [marker_of(row) for run in runs for row in stage.records.invocations(run)]) == []


def found_after(mark: Path, names: list[str]) -> list[str]:
    either = [word for name in names for word in ("-o", "-path", f"*{name}*")][1:]
    done = subprocess.run(
        ["find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-newer", str(mark), "(", *either, ")", "-print"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()
