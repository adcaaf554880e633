"""From a key to its echo with many terminals at once, beside raw SSH doing the same; and what a terminal costs."""

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import asyncssh  # noqa: TID251  the peer to compare with
import rig
from rig import Fleet, Product, Usage, addresses, quantile, say

from tests.support.console import PASSWORD
from tests.support.terminal_page import TerminalPage
from tests.support.visitor import Visitor

# The kernel's own echo: no program on the instance has to wake up for it.
QUIET = "stty -icanon -isig min 1; echo rea''dy; exec cat >/dev/null\r"
GAP_S = 0.2
# As many as one person may show at once.
EACH = 50
PEOPLE = """
from console.members.models import User
from instances.access.models import Grant
for number in range({count}):
    user = User.objects.create_user(f"person-{{number}}", password={password!r})
    Grant.objects.create(user=user, role="operator")
"""


class Keys:
    """Types a letter every ``GAP_S`` and notes how long each takes to come back; they come back in order."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._sent: dict[int, float] = {}
        self.count = self.back = 0
        self.took: list[float] = []

    def came(self, data: bytes) -> None:
        """Note what came back."""
        for _ in range(data.count(b"x")):
            sent = self._sent.pop(self.back, None)
            self.back += 1
            if sent is not None:
                self.took.append(time.perf_counter() - sent)

    async def type_for(self, seconds: float) -> None:
        """Type for a while, beginning at a moment of its own."""
        await asyncio.sleep(random.uniform(0, GAP_S))
        ends = time.perf_counter() + seconds
        while (now := time.perf_counter()) < ends:
            self._sent[self.count] = now
            self.count += 1
            await self._send(b"x")
            await asyncio.sleep(max(0.0, GAP_S - (time.perf_counter() - now)))
        await asyncio.sleep(2)


class Page(TerminalPage):
    """A page that counts its echoes."""

    keys: Keys | None = None
    _seen = 0

    def _note(self) -> None:
        if self.keys is not None:
            self.keys.came(bytes(self.shown[self._seen :]))
        self._seen = len(self.shown)
        super()._note()


async def muster(product: Product, count: int, seconds: float) -> tuple[list[float], dict[str, float]]:
    """Echo times through the console, in seconds, and what its processes used."""
    count_of_people = -(-count // EACH)
    product.console.manage("shell", "-v", "0", "-c", PEOPLE.format(count=count_of_people, password=PASSWORD))
    people = [Visitor(product.console, f"person-{number}") for number in range(count_of_people)]
    pages = [
        await asyncio.to_thread(open_one, product, people[number // EACH], instance)
        for number, instance in enumerate(product.instances[:count])
    ]
    tasks = [asyncio.get_running_loop().create_task(page.live()) for page in pages]
    for page in pages:
        await page.when(lambda page=page: page.is_writer, 120)
        await page.type(QUIET.encode())
    for page in pages:
        await page.until(b"ready\r\n", within_s=120)
        page.keys = Keys(page.type)
    await asyncio.sleep(2)
    with Usage(product.pids) as usage:
        await asyncio.gather(*(page.keys.type_for(seconds) for page in pages))
    memory = {name: rig.used(pid)[1] for name, pid in product.pids.items()}
    say(
        "  CPU s "
        + ", ".join(f"{name} {value:.1f}" for name, value in usage.cpu_s.items())
        + "; resident MB "
        + ", ".join(f"{name} {value:.0f}" for name, value in memory.items())
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    lost = sum(page.keys.count - page.keys.back for page in pages)
    say(f"  keys that did not come back: {lost}")
    return [took for page in pages for took in page.keys.took], memory


def open_one(product: Product, visitor: Visitor, instance: int) -> Page:
    """Open a terminal and return a page of it."""
    answer = visitor.post(f"/instances/{instance}/terminal/", request_key=f"bench-{instance}")
    return Page(product.console, visitor, int(answer.headers["Location"].strip("/").split("/")[-1]))


async def raw(fleet: Fleet, count: int, seconds: float) -> list[float]:
    """Echo times over raw asyncssh, in seconds."""
    gate = asyncio.Semaphore(6)
    rows = []

    async def one(address: str) -> None:
        async with gate:
            connection = await fleet.connect(address)
            process = await connection.create_process(
                term_type="xterm-256color", term_size=(80, 24), encoding=None, request_pty="force"
            )
            process.stdin.write(QUIET.encode())
            await process.stdout.readuntil(b"ready\r\n")
        keys = Keys(lambda data: _written(process, data))
        rows.append((connection, process, keys))

    await asyncio.gather(*(one(address) for address in addresses(count)))
    readers = [asyncio.get_running_loop().create_task(_read(process, keys)) for _, process, keys in rows]
    await asyncio.gather(*(keys.type_for(seconds) for *_, keys in rows))
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    for connection, *_ in rows:
        connection.abort()
    return [took for *_, keys in rows for took in keys.took]


async def _written(process: "asyncssh.SSHClientProcess[bytes]", data: bytes) -> None:
    process.stdin.write(data)


async def _read(process: "asyncssh.SSHClientProcess[bytes]", keys: Keys) -> None:
    while data := await process.stdout.read(65536):
        keys.came(data)


def idle(product: Product) -> None:
    """Print what the console's processes hold before any terminal is open."""
    say("idle: " + ", ".join(f"{name} {rig.used(pid)[1]:.0f} MB" for name, pid in product.pids.items()))


def main() -> None:
    """Measure on OpenSSH's server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminals", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    wanted = parser.parse_args()
    rig.say_machine()
    with rig.real() as fleet:
        theirs = asyncio.run(raw(fleet, wanted.terminals, wanted.seconds))
        with rig.product(fleet, wanted.terminals) as product:
            idle(product)
            before = {name: rig.used(pid)[1] for name, pid in product.pids.items()}
            ours, after = asyncio.run(muster(product, wanted.terminals, wanted.seconds))
    each = {name: (after[name] - before[name]) / wanted.terminals * 1000 for name in after}
    say("kB per terminal: " + ", ".join(f"{name} {value:.0f}" for name, value in each.items()))
    for name, took in (("raw asyncssh", theirs), ("Muster", ours)):
        say(
            f"{name}: {len(took)} keys, echo p50 {quantile(took, 0.5) * 1000:.1f} ms, "
            f"p95 {quantile(took, 0.95) * 1000:.1f} ms, p99 {quantile(took, 0.99) * 1000:.1f} ms"
        )
    say(f"p95 above raw: {(quantile(ours, 0.95) - quantile(theirs, 0.95)) * 1000:.1f} ms (goal: 50)")


if __name__ == "__main__":
    main()
