"""What viewers hold is what the command printed, whatever happens between."""

import asyncio
import hashlib
import random

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.processes import resident_bytes, start_web, start_worker
from tests.support.until import WITHIN_S, until
from tests.support.viewer import Viewer, say

# Bursts of random bytes; every byte that left is also noted on the machine itself.
NOISY = """set -- $SSH_CONNECTION
i=0
while [ $i -lt 60 ]; do
  head -c $((i % 7 * 9000 + 100)) /dev/urandom | tee -a "{notes}/$3.out"
  echo "$i: a line for stderr" >&2
  i=$((i+1))
  [ $i != 30 ] || until [ -e "{notes}/go" ]; do sleep 0.1; done
  sleep 0.05
done
"""


@pytest.fixture(scope="module")
def worker(stage):
    part = start_worker(stage.console)
    yield part
    assert part.end() == 0


async def test_every_viewer_holds_what_was_printed_over_a_lossy_layer_and_lost_connections(stage, worker):
    notes = stage.folder / "printed"
    notes.mkdir()
    notes.chmod(0o777)
    stage.web.end()
    lossy = {"DJANGO_SETTINGS_MODULE": "tests.support.lossy_settings"}
    stage.web = start_web(stage.console, **lossy)
    run = stage.visitor.send(NOISY.format(notes=notes), stage.instances[:2])
    viewers = [
        Viewer(stage.console, stage.visitor, run, number % 2, random.Random(number), cuts=3 * (number // 2))
        for number in range(6)
    ]

    async def restart_the_web():
        await asyncio.to_thread(until, lambda: all(viewer.position > 200_000 for viewer in viewers))
        stage.web.kill()
        stage.web = await asyncio.to_thread(start_web, stage.console, **lossy)
        (notes / "go").touch()

    async with asyncio.timeout(180), asyncio.TaskGroup() as group:
        group.create_task(restart_the_web())
        for viewer in viewers:
            group.create_task(viewer.follow())

    assert stage.records.statuses(run) == ["succeeded"] * 2
    for row in stage.records.invocations(run):
        printed = (notes / f"{row['address'].rpartition(':')[0]}.out").read_bytes()
        assert row["stdout_sha256"] == hashlib.sha256(printed).hexdigest()
        assert (row["stdout_bytes"], row["dropped_bytes"]) == (len(printed), 0)
    for viewer in viewers:
        row = stage.records.invocations(run)[viewer.ordinal]
        assert hashlib.sha256(viewer.everything).hexdigest() == row["sha256"] == viewer.end["sha256"]
        assert viewer.connections >= 2
    stage.records.assert_sound()


async def test_a_viewer_far_behind_is_taken_to_the_tail_with_the_gap_counted(stage, worker):
    run = stage.visitor.send("head -c 5000000 /dev/urandom", stage.instances[:1])
    await asyncio.to_thread(until, lambda: stage.records.run(run)["finished_at"])
    viewer = Viewer(stage.console, stage.visitor, run, 0, random.Random(1))
    async with asyncio.timeout(WITHIN_S):
        await viewer.follow()
    assert viewer.gaps == 1
    assert len(viewer.streams[1]) < 1024 * 1024 < len(viewer.everything) == 5_000_000
    assert hashlib.sha256(viewer.everything).hexdigest() == viewer.end["sha256"]


async def test_a_viewer_that_reads_nothing_holds_nobody_up(stage, worker):
    """Ten of them, and one that reads; all are shown a flood."""
    run = stage.visitor.send("head -c 40000000 /dev/zero; sleep 1", stage.instances[:1])
    stalled = [Viewer(stage.console, stage.visitor, run, 0, random.Random(number)) for number in range(10)]
    reading = Viewer(stage.console, stage.visitor, run, 0, random.Random(99))
    before = resident_bytes(stage.web.process.pid)
    sockets = []
    try:
        for viewer in stalled:
            socket = await viewer.connected()
            socket.transport.pause_reading()
            await say(socket, type="open", run=run, i=0, **{"from": 0})
            sockets.append(socket)
        async with asyncio.timeout(WITHIN_S):
            await reading.follow()
        assert hashlib.sha256(reading.everything).hexdigest() == hashlib.sha256(b"\0" * 40_000_000).hexdigest()
        assert stage.records.statuses(run) == ["succeeded"]
        # 1 MiB of credit each, what the system buffers, and the reader's own.
        assert resident_bytes(stage.web.process.pid) - before < 80 * 1024 * 1024
    finally:
        for socket in sockets:
            socket.transport.abort()


@pytest.mark.slow
async def test_a_message_that_is_too_long_ends_the_socket_before_it_is_held(stage, worker):
    viewer = Viewer(stage.console, stage.visitor, 0, 0, random.Random(0))
    async with viewer.connected() as socket:

        async def send_and_listen():
            await socket.send("x" * 2 * 1024 * 1024)
            await socket.recv()

        with pytest.raises(ConnectionClosed):
            await send_and_listen()
