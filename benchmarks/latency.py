"""From Run to the first byte at a socket, from a print to the socket, and from Stop to the last verified end."""

import argparse
import asyncio
import random
import subprocess
import time
from datetime import datetime

import rig
from rig import Fleet, Product, addresses, quantile, say

from tests.support.until import until
from tests.support.viewer import Viewer
from tests.support.viewer import say as say_to

# bash alone: no process per line, so that 300 of them do not measure fork.
TICKER = "exec 9<> <(:); while :; do echo $EPOCHREALTIME; read -t 1 -u 9; done"


class Clock(Viewer):
    """A viewer that only notes when bytes came."""

    def _keep(self, kind: int, data: bytes) -> None:
        self.arrivals: list[tuple[float, bytes]] = getattr(self, "arrivals", [])
        self.arrivals.append((time.time(), data))
        super()._keep(kind, data)


async def first_bytes(muster: Product, ids: list[int]) -> list[float]:
    """Seconds from sending the form to the first byte of output at a socket, one instance after the other."""
    took = []
    # A page has its one socket before Run is pressed.
    async with Viewer(muster.console, muster.visitor, 0, 0, random.Random(0)).connected() as socket:
        for instance in ids:
            began = time.time()
            run = await asyncio.to_thread(muster.visitor.send, "echo first", [instance])
            await say_to(socket, type="watch", run=run)
            await say_to(socket, type="open", run=run, i=0, **{"from": 0})
            while not isinstance(await socket.recv(), bytes):
                pass
            took.append(time.time() - began)
            await asyncio.to_thread(until, lambda run=run: muster.records.run(run)["finished_at"], 10)
    return took


async def raw_first_bytes(fleet: Fleet, names: list[str]) -> tuple[list[float], list[float]]:
    """The same over raw asyncssh, cold and then over the same connections."""
    cold, warm = [], []
    for name in names:
        began = time.time()
        connection = await fleet.connect(name)
        await connection.run("echo first", check=True)
        cold.append(time.time() - began)
        began = time.time()
        await connection.run("echo first", check=True)
        warm.append(time.time() - began)
        connection.abort()
    return cold, warm


def ssh_first_bytes(fleet: Fleet, names: list[str]) -> list[float]:
    """The same with OpenSSH's client, a process each."""
    took = []
    for name in names:
        began = time.time()
        subprocess.run(["ssh", *fleet.ssh_options(), name, "echo first"], check=True, capture_output=True)
        took.append(time.time() - began)
    return took


def measure_first_bytes(fleet: Fleet, tries: int) -> None:
    """Print p50 and p95 of each way."""
    with rig.product(fleet, tries) as muster:
        cold = asyncio.run(first_bytes(muster, muster.instances))
        warm = asyncio.run(first_bytes(muster, muster.instances))
    raw_cold, raw_warm = asyncio.run(raw_first_bytes(fleet, addresses(tries)))
    ssh = ssh_first_bytes(fleet, addresses(tries))
    ways = {"Muster cold": cold, "ssh": ssh, "raw asyncssh cold": raw_cold, "Muster warm": warm}
    for name, values in {**ways, "raw asyncssh warm": raw_warm}.items():
        say(f"| {fleet.name} | first byte, {name} | {_ms(values)} | {tries} tries |")


async def ticks(muster: Product, seconds: float) -> list[float]:
    """Seconds from a line's printing to its arrival, of one of the running instances."""
    run = await asyncio.to_thread(
        muster.visitor.send, TICKER, muster.instances, interpreter="bash", max_concurrency=1000
    )
    clock = Clock(muster.console, muster.visitor, run, len(muster.instances) // 2, random.Random(0))
    async with asyncio.TaskGroup() as group:
        group.create_task(clock.follow())
        everybody = "SELECT COUNT(*) FROM console_invocation WHERE run_id = ? AND size > 0"
        await asyncio.to_thread(
            until, lambda: muster.records.rows(everybody, run)[0][0] == len(muster.instances), 60, every_s=0.5
        )
        from_now = time.time()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(muster.visitor.stop, run)
    await asyncio.to_thread(until, lambda: muster.records.run(run)["finished_at"], 60)
    lines = [(at, float(line)) for at, data in clock.arrivals for line in data.split()]
    return [at - printed for at, printed in lines if from_now < printed < from_now + seconds]


def measure_ticks(fleet: Fleet, n: int, seconds: float) -> None:
    """Print p50 and p95 with one and with many instances that print."""
    with rig.product(fleet, n) as muster:
        found = asyncio.run(ticks(muster, seconds))
    say(f"| {fleet.name} | print to socket, {n} instance{'s' if n > 1 else ''} | {_ms(found)} | {len(found)} lines |")


def measure_stop(fleet: Fleet, n: int, name: str, command: str) -> None:
    """Print how long after the press invocations were verified stopped."""
    with rig.product(fleet, n) as muster:
        run = muster.visitor.send(command, muster.instances)
        until(lambda: muster.records.statuses(run) == ["running"] * n, 120, every_s=0.2)
        pressed = time.time()
        muster.visitor.stop(run)
        until(lambda: muster.records.run(run)["finished_at"], 120, every_s=0.1)
        rows = muster.records.invocations(run)
        if {row["status"] for row in rows} != {"stopped"}:
            raise RuntimeError(f"Not all stopped: {[row['status'] for row in rows]}")
        ends = [datetime.fromisoformat(f"{row['finished_at']}+00:00").timestamp() - pressed for row in rows]
    say(f"| {fleet.name} | Stop of {n}, {name} | {_ms(ends)} | p99 {1000 * quantile(ends, 0.99):.0f} ms |")


def _ms(values: list[float]) -> str:
    return f"{1000 * quantile(values, 0.5):.1f} | {1000 * quantile(values, 0.95):.1f}"


def main() -> None:
    """Measure everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=40)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--quick", action="store_true", help="Only see that it works.")
    options = parser.parse_args()
    if options.quick:
        options.tries, options.instances, options.seconds = 3, 5, 2
    rig.say_machine()
    say("| target | what | p50 ms | p95 ms | |\n|---|---|---|---|---|")
    with rig.real() as fleet:
        measure_first_bytes(fleet, options.tries)
        for n in (1, options.instances):
            measure_ticks(fleet, n, options.seconds)
        measure_stop(fleet, options.instances, "plain", "sleep 300")
        measure_stop(fleet, options.instances, "with a setsid child", "setsid sleep 300 & sleep 300")


if __name__ == "__main__":
    main()
