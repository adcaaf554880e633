"""Cold and warm fan-out of ``true`` through the whole product, beside raw asyncssh, clush and xargs, in one run."""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import rig
from rig import Fleet, addresses, say

SEND = """
import json, time
from console.members.models import User
from console.runs import services
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
instances = list(Instance.objects.all())
began = time.perf_counter()
run = services.send_command(admin, instances=instances, command="true", request_key=f"k{{time.time()}}",
                            confirmed_count=len(instances), options=services.Options(max_concurrency={n}))
while not run.finished_at:
    time.sleep(0.01)
    run.refresh_from_db()
print(json.dumps([time.perf_counter() - began, run.counts]))
"""


def product(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """Seconds, then CPU seconds and peak MB of worker and web, cold and warm."""
    found = {}
    with rig.product(fleet, n) as muster:
        for state in ("cold", "warm"):
            with rig.Usage(muster.pids) as usage:
                said = muster.console.manage("shell", "-v", "0", "-c", SEND.format(n=n)).splitlines()[-1]
            took, counts = json.loads(said)
            if counts.get("succeeded") != n:
                raise RuntimeError(f"Not all succeeded: {counts}")
            found[state] = [took]
            for name in ("worker", "web"):
                found[state] += [usage.cpu_s[name], usage.peak_mb[name]]
    return found


async def raw(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """Seconds and CPU seconds of raw asyncssh in this one process, 100 handshakes at a time."""
    kept = []
    gate = asyncio.Semaphore(100)

    async def cold(address: str) -> None:
        async with gate:
            connection = await fleet.connect(address)
            kept.append(connection)
            await connection.run("true", check=True)

    async def warm(connection: "rig.asyncssh.SSHClientConnection") -> None:
        async with gate:
            await connection.run("true", check=True)

    clocks = [(time.perf_counter(), time.process_time())]
    for step in (map(cold, addresses(n)), map(warm, kept)):
        await asyncio.gather(*step)
        clocks.append((time.perf_counter(), time.process_time()))
    for connection in kept:
        connection.abort()
    cold_s, warm_s = ([after - before for before, after in zip(*pair, strict=True)] for pair in pairwise(clocks))
    return {"cold": cold_s, "warm": warm_s}


def clush(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """clush -f64, cold and over OpenSSH's kept connections (it reads a doubled % as one)."""
    with tempfile.TemporaryDirectory(prefix="mux-") as folder:
        options = [*fleet.ssh_options(), "-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%%h"]
        words = ["clush", "-f64", "-S", "-l", fleet.user, "-o", " ".join([*options, "-o", "ControlPersist=60"])]
        took = []
        for _ in ("cold", "warm"):
            began = time.perf_counter()
            subprocess.run(
                [*words, "-w", ",".join(addresses(n)), "true"],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            took.append(time.perf_counter() - began)
        for socket in Path(folder).iterdir():
            asked = ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "any"]
            subprocess.run(asked, check=False, capture_output=True)
    return {"cold": [took[0]], "warm": [took[1]]}


def xargs(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """xargs -P64 ssh: the least a shell can do; cold only."""
    began = time.perf_counter()
    words = ["xargs", "-P64", "-I", "{}", "ssh", *fleet.ssh_options(), "{}", "true"]
    subprocess.run(words, input="\n".join(addresses(n)), text=True, check=True)
    return {"cold": [time.perf_counter() - began]}


def measure(fleet: Fleet, sizes: list[int], repetitions: int) -> None:
    """Print the rows of one target; the ways are interleaved inside each repetition."""
    for n in sizes:
        asked: dict[tuple[str, str], list[list[float]]] = {}
        for _ in range(repetitions):
            ways = {
                "muster": product(fleet, n),
                "raw": asyncio.run(raw(fleet, n)),
                "clush": clush(fleet, n),
                "xargs": xargs(fleet, n),
            }
            for way, states in ways.items():
                for state, figures in states.items():
                    asked.setdefault((way, state), []).append(figures)
        found = {key: rig.middle(rows) for key, rows in asked.items()}
        for state in ("cold", "warm"):
            say(_row(fleet.name, n, state, found))


def _row(name: str, n: int, state: str, found: dict[tuple[str, str], list[float]]) -> str:
    mine, (other, other_cpu_s) = found["muster", state], found["raw", state]
    peers = {way: found[way, state][0] for way in ("clush", "xargs") if (way, state) in found}
    best = min(peers.values())
    return (
        f"| {name} | {n} | {state} | {mine[0]:.3f} | {other:.3f} | {peers['clush']:.2f} | "
        f"{peers.get('xargs', float('nan')):.2f} | {mine[0] / other:.2f} | {best / mine[0]:.1f} | "
        f"{1000 * mine[1] / n:.2f} | {1000 * other_cpu_s / n:.2f} | {mine[2]:.0f} | "
        f"{1000 * mine[3] / n:.2f} | {mine[4]:.0f} |"
    )


def main() -> None:
    """Measure what was asked for and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--light", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--sshd", type=int, nargs="*", default=[100, 300])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="Only see that it works.")
    options = parser.parse_args()
    if options.quick:
        options.light, options.sshd, options.repetitions = [20], [5], 1
    rig.say_machine()
    say(
        "| target | N | pool | Muster s | raw asyncssh s | clush s | xargs ssh s | Muster / raw | best tool / Muster "
        "| worker CPU ms/inst. | raw CPU ms/inst. | worker MB | web CPU ms/inst. | web MB |\n|" + "---|" * 14
    )
    if options.light:
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as name, rig.light(Path(name)) as fleet:
            measure(fleet, options.light, options.repetitions)
    if options.sshd:
        with rig.real() as fleet:
            measure(fleet, options.sshd, options.repetitions)


if __name__ == "__main__":
    main()
