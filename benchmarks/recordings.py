"""A long recording written, sent, searched; and what recording many terminals at once takes."""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MIB = 1024 * 1024
LINE = "\x1b[32m{:08d}\x1b[0m é {} /srv/app/shared/log/production.log: the quick brown fox jumps over the lazy dog\r\n"
PLAYER_PART = MIB


def main() -> None:
    """Make a console's database of its own, and print what each step takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--terminals", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.terminals, options.seconds = 5, 20, 3.0
    with tempfile.TemporaryDirectory(prefix="muster-recordings-") as folder:
        os.environ |= {"MUSTER_DATA": folder, "DJANGO_SETTINGS_MODULE": "console.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print("| what | s | MB/s | traced peak MB | process MB |\n|---|---|---|---|---|")
        _one_long_recording(options.megabytes)
        print("\n| terminals | transactions/s | database thread, CPU | event loop, CPU | rows |\n|---|---|---|---|---|")
        asyncio.run(_many_terminals(options.terminals, options.seconds))


def _measured(what: str, megabytes: float, work: Callable[[], Any]) -> Any:
    """Do it twice, the second time with memory traced, which is slow; print both."""
    started = time.perf_counter()
    work()
    took = time.perf_counter() - started
    tracemalloc.start()
    answer = work()
    peak = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {took:.2f} | {megabytes / took:.0f} | {peak:.1f} | {rss:.0f} |", flush=True)
    return answer


def _one_long_recording(megabytes: int) -> None:
    from django.test import Client
    from django.urls import reverse

    from console.members.models import User
    from console.recordings import reading
    from console.recordings.models import Recording
    from instances.access.models import Grant

    user = User.objects.create(username="admin")
    Grant.objects.create(user=user, role="administrator")
    started = time.perf_counter()
    recording = _written(user, megabytes)
    took = time.perf_counter() - started
    stored = Path(os.environ["MUSTER_DATA"], "muster.sqlite3").stat().st_size / MIB
    what = f"written, {recording.size / MIB:.0f} MB, {stored:.0f} on the disk"
    print(f"| {what} | {took:.2f} | {megabytes / took:.0f} | | |")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    data = reverse("recording-cast", args=[recording.pk])

    def whole() -> None:
        assert sum(map(len, client.get(data).streaming_content)) == recording.size

    def in_ranges() -> None:
        for start in range(0, recording.size, PLAYER_PART):
            answer = client.get(data, headers={"Range": f"bytes={start}-{start + PLAYER_PART - 1}"})
            assert sum(map(len, answer.streaming_content)) == int(answer["Content-Length"])

    _measured("sent whole", megabytes, whole)
    _measured("sent in ranges of 1 MiB", megabytes, in_ranges)
    found = _measured(
        "searched to the end, nothing found", megabytes, lambda: reading.search(recording, "nowhere", within_s=9999)
    )
    assert not found.hits
    assert Recording.objects.count() == 1


def _written(user: Any, megabytes: int) -> Any:
    from django.utils import timezone

    from console.recordings import services
    from console.recordings.asciicast import Tape
    from console.recordings.models import Recording
    from instances.engine.transport import Size

    tape = Tape(Size(80, 24), title="long", started_at=timezone.now(), clock=iter(range(10**9)).__next__)
    recording = Recording.objects.create(
        instance_name="long", owner=user, owner_name="admin", started_at=tape.started_at, columns=80, rows=24
    )
    written = number = 0
    while written < megabytes * MIB:
        for _ in range(8):
            tape.write("".join(LINE.format(number + i, os.urandom(6).hex()) for i in range(200)).encode())
            number += 200
        lines = tape.take(MIB)
        assert lines is not None
        services.append(
            [services.Addition(recording.pk, written, lines.data, lines.events, lines.until_ms, lines.lost)]
        )
        written += len(lines.data)
    recording.refresh_from_db()
    return recording


async def _many_terminals(count: int, seconds: float) -> None:
    """Record terminals into which five keys a second are typed, and a quarter of which show top."""
    from django.db import connection

    from console.recordings.models import RecordingPart
    from console.worker.recordings import Recordings

    busy = calls = 0.0
    with ThreadPoolExecutor(1) as executor:

        def timed(call: Callable[..., Any]) -> Any:
            nonlocal busy
            started = time.thread_time()
            try:
                return call()
            finally:
                busy += time.thread_time() - started

        async def in_database(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += call.__name__ == "append"
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, partial(timed, partial(call, *args, **kwargs)))

        recordings = Recordings(in_database)
        async with recordings.kept():
            tapes = [await _begun(recordings, in_database, number) for number in range(count)]
            busy = calls = 0
            began, spent = time.perf_counter(), time.thread_time()
            screen = b"\x1b[H" + b"".join(b"%5d root 20 0 1024 512 S 0.3 0.1 0:00.01 worker\r\n" % n for n in range(24))
            while time.perf_counter() - began < seconds:
                for number, tape in enumerate(tapes):
                    tape.write(b"x")
                    if number % 4 == 0 and int(time.perf_counter() * 5) % 15 == 0:
                        tape.write(screen)
                await asyncio.sleep(0.2)
            took, spent = time.perf_counter() - began, time.thread_time() - spent
            rate, share = calls / took, busy / took
            for tape in tapes:
                await recordings.end(tape)
            rows = await in_database(RecordingPart.objects.count)
            print(f"| {count} | {rate:.1f} | {share:.1%} | {spent / took:.1%} | {rows} |")
        executor.submit(lambda: connection.close()).result()


async def _begun(recordings: Any, in_database: Any, number: int) -> Any:
    from tests.console.worker.test_recordings import order_of
    from tests.support import factories

    def session() -> Any:
        return factories.session(factories.InstanceFactory(), factories.UserFactory(), kind="terminal")

    order = order_of(await in_database(session))
    tape = recordings.tape_for(order)
    await recordings.begin(tape, order.session_id)
    return tape


if __name__ == "__main__":
    main()
