"""Output stored per second, of one instance flat out and of ten, beside ``ssh`` and raw asyncssh, in one run."""

import argparse
import asyncio
import random
import sqlite3
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import rig
from rig import Fleet, Product, addresses, quantile, say

from tests.support.until import until
from tests.support.viewer import Viewer
from tests.support.visitor import Visitor

COMMANDS = {"light": "stream {megabytes}", "sshd": "head -c {megabytes}000000 /dev/zero | tr '\\0' x"}


def through_muster(muster: Product, command: str, n: int, *, watched: bool) -> tuple[float, rig.Usage, list[float]]:
    """MB per second from the first start to the last end, what it cost, and how long a small page took meanwhile."""
    answers: list[float] = []
    over = threading.Event()

    def ask() -> None:
        visitor = Visitor(muster.console)
        while not (answers and over.is_set()):
            began = time.perf_counter()
            assert visitor.get("/health/").status == 200
            answers.append(time.perf_counter() - began)
            over.wait(0.02)

    asker = threading.Thread(target=ask)
    with rig.Usage(muster.pids) as usage:
        run = muster.visitor.send(command, muster.instances[:n])
        asker.start()
        if watched:
            asyncio.run(Viewer(muster.console, muster.visitor, run, 0, random.Random(0)).follow())
        until(lambda: muster.records.run(run)["finished_at"], 600, every_s=0.05)
    over.set()
    asker.join()
    rows = muster.records.invocations(run)
    if {row["status"] for row in rows} != {"succeeded"} or any(row["dropped_bytes"] for row in rows):
        raise RuntimeError(f"Not all was stored: {[dict(row) for row in rows]}")
    moments = [[datetime.fromisoformat(row[name]) for row in rows] for name in ("started_at", "finished_at")]
    seconds = (max(moments[1]) - min(moments[0])).total_seconds()
    return sum(row["size"] for row in rows) / 1e6 / seconds, usage, answers


def through_ssh(fleet: Fleet, command: str, megabytes: int) -> float:
    """MB per second of OpenSSH's client into nothing."""
    words = ["ssh", *fleet.ssh_options(), "-c", "aes128-gcm@openssh.com", addresses(1)[0], command]
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return megabytes / (time.perf_counter() - began)


async def through_asyncssh(fleet: Fleet, command: str, megabytes: int) -> float:
    """MB per second of raw asyncssh, read and thrown away."""
    async with await fleet.connect(addresses(1)[0]) as connection:
        began = time.perf_counter()
        async with connection.create_process(command, encoding=None, window=8 * 1024 * 1024) as process:
            while await process.stdout.read(1024 * 1024):
                pass
        return megabytes / (time.perf_counter() - began)


def into_sqlite(megabytes: int) -> float:
    """MB per second of SQLite alone, set as the console sets it: what storing cannot exceed here."""
    row = b"x" * 65536
    with (
        tempfile.TemporaryDirectory(prefix="muster-bench-") as name,
        closing(sqlite3.connect(f"{name}/db")) as database,
    ):
        database.isolation_level = None
        database.executescript("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        database.execute("CREATE TABLE output (id INTEGER PRIMARY KEY, number INT UNIQUE, data BLOB)")
        began = time.perf_counter()
        for first in range(0, megabytes * 1_000_000 // len(row), 64):
            database.execute("BEGIN IMMEDIATE")
            for start in range(first, first + 64, 16):
                values = [value for number in range(start, start + 16) for value in (number, row)]
                database.execute(f"INSERT INTO output (number, data) VALUES {', '.join(['(?, ?)'] * 16)}", values)
            database.execute("COMMIT")
        return megabytes / (time.perf_counter() - began)


def measure(fleet: Fleet, megabytes: int) -> None:
    """Print the rows of one target."""
    one = COMMANDS[fleet.name].format(megabytes=megabytes)
    ten = COMMANDS[fleet.name].format(megabytes=megabytes // 10)
    ssh = through_ssh(fleet, one, megabytes)
    raw = asyncio.run(through_asyncssh(fleet, one, megabytes))
    stored = into_sqlite(megabytes)
    for name, command, n, watched in (("one", one, 1, False), ("one, watched", one, 1, True), ("ten", ten, 10, False)):
        with rig.product(fleet, n, MUSTER_OUTPUT_CAP=str(4 * 10**9)) as muster:
            speed, usage, answers = through_muster(muster, command, n, watched=watched)
        gigabytes, page_ms = megabytes / 1000, 1000 * quantile(answers, 0.99)
        say(
            f"| {fleet.name} | {name} | {speed:.0f} | {stored:.0f} | {raw:.0f} | {ssh:.0f} | {speed / stored:.2f} "
            f"| {speed / ssh:.2f} "
            f"| {usage.cpu_s['worker'] / gigabytes:.1f} | {usage.peak_mb['worker']:.0f} | "
            f"{usage.cpu_s['web'] / gigabytes:.1f} | {usage.peak_mb['web']:.0f} | {page_ms:.0f} |"
        )


def main() -> None:
    """Measure both targets and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="Only see that it works.")
    options = parser.parse_args()
    if options.quick:
        options.megabytes = 20
    rig.say_machine()
    say(
        "| target | instances | Muster MB/s | SQLite alone MB/s | raw asyncssh MB/s | ssh MB/s | Muster / SQLite "
        "| Muster / ssh | worker CPU s/GB | worker MB | web CPU s/GB | web MB | a page meanwhile, p99 ms |\n|"
        + "---|"
        * 13
    )
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as name, rig.light(Path(name)) as fleet:
        measure(fleet, options.megabytes)
    with rig.real() as fleet:
        measure(fleet, options.megabytes)


if __name__ == "__main__":
    main()
