"""Cold and warm fan-out of ``true`` through the whole product, beside raw asyncssh and clush, in one run."""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh  # noqa: TID251  the peer to compare with

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.console import running_console  # noqa: E402
from tests.support.sshd import free_port, ordinary_user, running_sshd  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SEED = """
from console.members.models import User
from instances.credentials import services as credentials
from instances.engine.types import HostKey as Presented
from instances.host_keys.models import HostKey
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
key = credentials.add_credential(admin, name="fleet", kind="key", user_name={user!r}, secret={key!r}, passphrase="")
Instance.objects.bulk_create([Instance(name=f"b-{{n:05}}", address=a, port={port}, credential=key)
                              for n, a in enumerate({addresses!r})])
p = Presented.parse({host_key!r})
HostKey.objects.bulk_create([HostKey(instance=i, state="trusted", algorithm=p.algorithm, data=p.data,
                                     fingerprint=p.fingerprint) for i in Instance.objects.all()])
"""
SEND = """
import json, time
from console.members.models import User
from console.runs import services
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
instances = list(Instance.objects.all())
began = time.perf_counter()
run = services.send_command(admin, instances=instances, command="true", request_key=f"k{{time.time()}}",
                            options=services.Options(max_concurrency={n}))
while not run.finished_at:
    time.sleep(0.005)
    run.refresh_from_db()
print(json.dumps([time.perf_counter() - began, run.counts]))
"""


@dataclass(frozen=True)
class Fleet:
    """Where the instances are and how to sign in."""

    name: str
    port: int
    user: str
    key: Path
    host_key: str


def addresses(count: int) -> list[str]:
    """Every loopback address is one instance."""
    return [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)]


@contextmanager
def light(folder: Path) -> Iterator[Fleet]:
    """The light target for the block."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)], check=True)
    source = Path(__file__).parent / "light_target" / "main.go"
    go = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache")}
    subprocess.run(["go", "build", "-o", str(folder / "target"), str(source)], env=go, check=True)
    port = free_port()
    files = ["-host-key", str(folder / "host"), "-user-key", str(folder / "user.pub")]
    process = subprocess.Popen([str(folder / "target"), "-port", str(port), *files], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield Fleet("light", port, "bench", folder / "user", (folder / "host.pub").read_text().strip())
    finally:
        process.terminate()
        process.wait(10)


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def product(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """Seconds, then CPU and MB of each process of the console, cold and warm."""
    found = {}
    with running_console() as console:
        seed = SEED.format(
            user=fleet.user, key=fleet.key.read_text(), port=fleet.port, addresses=addresses(n), host_key=fleet.host_key
        )
        console.manage("shell", "-v", "0", "-c", seed)
        for state in ("cold", "warm"):
            before = {pid: used(pid)[0] for pid in console.children()}
            took, counts = json.loads(console.manage("shell", "-v", "0", "-c", SEND.format(n=n)).splitlines()[-1])
            if counts.get("succeeded") != n:
                raise RuntimeError(f"Not all succeeded: {counts}")
            row = {}
            for pid, cpu in before.items():
                words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                now, size = used(pid)
                row["worker" if "worker" in words else "web"] = (now - cpu, size)
            found[state] = [took, *row.get("worker", (0, 0)), *row.get("web", (0, 0))]
    return found


async def raw(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """Raw asyncssh at its tuned public settings, in this one process, 100 handshakes at a time."""
    kept = []
    gate = asyncio.Semaphore(100)
    key = asyncssh.read_private_key(str(fleet.key))
    trusted = ([asyncssh.import_public_key(fleet.host_key)], [], [])

    async def cold(address: str) -> None:
        async with gate:
            connection = await asyncssh.connect(
                address, fleet.port, username=fleet.user, client_keys=[key], known_hosts=trusted, config=None,
                agent_path=None, gss_auth=False, gss_kex=False, x509_trusted_certs=None, preferred_auth="publickey",
                compression_algs=None, kex_algs=["curve25519-sha256"], encryption_algs=["aes128-gcm@openssh.com"],
                server_host_key_algs=["ssh-ed25519"],
            )  # fmt: skip
            kept.append(connection)
            await connection.run("true", check=True)

    async def warm(connection: asyncssh.SSHClientConnection) -> None:
        async with gate:
            await connection.run("true", check=True)

    began = time.perf_counter()
    await asyncio.gather(*map(cold, addresses(n)))
    middle = time.perf_counter()
    await asyncio.gather(*map(warm, kept))
    ended = time.perf_counter()
    for connection in kept:
        connection.abort()
    return {"cold": [middle - began], "warm": [ended - middle]}


def clush(fleet: Fleet, n: int) -> dict[str, list[float]]:
    """clush -f64 with a new connection for each instance, cold only."""
    options = (
        f"-p {fleet.port} -i {fleet.key} -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        " -o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256 -o IdentitiesOnly=yes"
    )
    began = time.perf_counter()
    words = ["clush", "-f64", "-S", "-l", fleet.user, "-o", options, "-w", ",".join(addresses(n)), "true"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return {"cold": [time.perf_counter() - began]}


def measure(fleet: Fleet, sizes: list[int], repetitions: int) -> None:
    """Print the rows of one target; the ways are interleaved inside each repetition."""
    for n in sizes:
        asked: dict[tuple[str, str], list[list[float]]] = {}
        for _ in range(repetitions):
            ways = {"muster": product(fleet, n), "raw": asyncio.run(raw(fleet, n)), "clush": clush(fleet, n)}
            for way, states in ways.items():
                for state, figures in states.items():
                    asked.setdefault((way, state), []).append(figures)
        middle = {k: [statistics.median(c) for c in zip(*v, strict=True)] for k, v in asked.items()}
        for state in ("cold", "warm"):
            mine, other = middle["muster", state], middle["raw", state][0]
            peer = middle["clush", "cold"][0]
            print(
                f"| {fleet.name} | {n} | {state} | {mine[0]:.3f} | {other:.3f} | {peer:.2f} | {mine[0] / other:.2f} "
                f"| {peer / mine[0]:.1f} | {mine[1]:.2f} / {mine[2]:.0f} | {mine[3]:.2f} / {mine[4]:.0f} |",
                flush=True,
            )


def main() -> None:
    """Measure what was asked for and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--light", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--sshd", type=int, nargs="*", default=[100, 300])
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    print("| target | N | pool | Muster s | raw asyncssh s | clush cold s | Muster / raw | clush cold / Muster "
          "| worker CPU s / MB | web CPU s / MB |\n|" + "---|" * 10, flush=True)  # fmt: skip
    if options.light:
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as name, light(Path(name)) as fleet:
            measure(fleet, options.light, options.repetitions)
    if options.sshd:
        with running_sshd() as server, ordinary_user("musterbench") as user:
            key = server.folder / "user_key"
            fleet = Fleet("sshd", server.port, user, key, server.host_key.line)
            measure(fleet, options.sshd, options.repetitions)


if __name__ == "__main__":
    main()
