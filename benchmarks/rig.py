"""What the benchmarks share: targets, a console over them, what its processes use, and the peers' options."""

import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import asyncssh  # noqa: E402, TID251  the peer to compare with
import django  # noqa: E402

from tests.support.console import Console, running_console  # noqa: E402
from tests.support.sshd import free_port, ordinary_user, running_sshd  # noqa: E402
from tests.support.visitor import Records, Visitor  # noqa: E402

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


@dataclass(frozen=True)
class Fleet:
    """Where the instances are and how to sign in."""

    name: str
    port: int
    user: str
    key: Path
    host_key: str

    def ssh_options(self) -> list[str]:
        """Return what makes OpenSSH's client do as little as the others: no files of the user's, one exchange."""
        return [
            "-F", "none", "-p", str(self.port), "-i", str(self.key), "-l", self.user, "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes",
            "-o", "KexAlgorithms=curve25519-sha256",
        ]  # fmt: skip

    async def connect(self, address: str) -> asyncssh.SSHClientConnection:
        """Return a connection of raw asyncssh at its tuned public settings."""
        return await asyncssh.connect(
            address, self.port, username=self.user, client_keys=[asyncssh.read_private_key(str(self.key))],
            known_hosts=([asyncssh.import_public_key(self.host_key)], [], []), config=None, agent_path=None,
            gss_auth=False, gss_kex=False, x509_trusted_certs=None, preferred_auth="publickey", compression_algs=None,
            kex_algs=["curve25519-sha256"], encryption_algs=["aes128-gcm@openssh.com"],
            server_host_key_algs=["ssh-ed25519"],
        )  # fmt: skip


def addresses(count: int) -> list[str]:
    """Every loopback address is one instance."""
    return [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)]


@contextmanager
def light(folder: Path) -> Iterator[Fleet]:
    """The light target for the block; ``folder`` takes its keys and its program."""
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


@contextmanager
def real() -> Iterator[Fleet]:
    """OpenSSH's server for the block, reached as an ordinary user."""
    with running_sshd() as server, ordinary_user("musterbench") as user:
        yield Fleet("sshd", server.port, user, server.folder / "user_key", server.host_key.line)


@dataclass
class Product:
    """A running console over ``count`` instances, and somebody signed in."""

    console: Console
    visitor: Visitor
    records: Records
    instances: list[int]
    pids: dict[str, int] = field(default_factory=dict)


@contextmanager
def product(fleet: Fleet, count: int, **environment: str) -> Iterator[Product]:
    """The whole product for the block, with one worker."""
    with running_console(**environment) as console:
        seed = SEED.format(
            user=fleet.user,
            key=fleet.key.read_text(),
            port=fleet.port,
            addresses=addresses(count),
            host_key=fleet.host_key,
        )
        console.manage("shell", "-v", "0", "-c", seed)
        records = Records(console.folder)
        ids = [row["id"] for row in records.rows("SELECT id FROM instances_instance ORDER BY id")]
        words = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in console.children()}
        pids = {"worker" if "worker" in text else "web": pid for pid, text in words.items()}
        yield Product(console, Visitor(console), records, ids, pids)


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Usage:
    """CPU seconds and peak resident MB of the console's processes within a ``with`` block."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self.cpu_s: dict[str, float] = {}
        self.peak_mb: dict[str, float] = dict.fromkeys(pids, 0.0)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> "Usage":
        self._before = {name: used(pid)[0] for name, pid in self._pids.items()}
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self.cpu_s = {name: used(pid)[0] - self._before[name] for name, pid in self._pids.items()}

    def _watch(self) -> None:
        while True:
            for name, pid in self._pids.items():
                self.peak_mb[name] = max(self.peak_mb[name], used(pid)[1])
            if self._over.wait(0.05):
                return


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which ``part`` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def middle(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the median of each column."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def say(line: str) -> None:
    """Print a line at once: a run takes minutes, and who waits wants to see it move."""
    print(line, flush=True)


def say_machine() -> None:
    """Print what the figures depend on."""
    ssh = subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr.split(",")[0]
    say(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"asyncssh {asyncssh.__version__}, Django {django.__version__}, {ssh}\n"
    )
