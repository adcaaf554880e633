import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from instances.engine.execute import execute
from instances.engine.local import LocalTransport
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.engine.transport import Transport
from instances.engine.types import Command, Ended, Flow, Started, StopCause, StopSignal, Stream, Target
from tests.support.sshd import SSHD, Sshd, ordinary_user, running_sshd


@dataclass
class Recorder:
    """A sink that keeps everything and says when something came."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    flow: Flow | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def attach(self, flow: Flow) -> None:
        self.flow = flow

    def write(self, stream: Stream, data: bytes) -> None:
        (self.stdout if stream is Stream.STDOUT else self.stderr).extend(data)
        self.came.set()

    async def until(self, text: bytes) -> None:
        """Wait until stdout holds the text."""
        async with asyncio.timeout(10):
            while text not in self.stdout:
                self.came.clear()
                await self.came.wait()


@dataclass
class Going:
    """One command on its way: what it printed, which callbacks came, how to stop it."""

    sink: Recorder = field(default_factory=Recorder)
    stop: StopSignal = field(default_factory=StopSignal)
    marker: UUID = field(default_factory=uuid4)
    calls: list[object] = field(default_factory=list)
    has_started: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stdout(self) -> bytes:
        return bytes(self.sink.stdout)

    @property
    def stderr(self) -> bytes:
        return bytes(self.sink.stderr)

    async def before_start(self) -> None:
        self.calls.append("before_start")

    async def started(self, started: Started) -> None:
        self.calls.append(started)
        self.has_started.set()

    async def stopping(self, cause: StopCause) -> None:
        self.calls.append(cause)


@dataclass
class Bench:
    """A pool and a target: what a worker has in hand."""

    pool: Pool
    target: Target
    grace_s: float = 1.0

    async def run(self, text: str, going: Going | None = None, **fields: object) -> tuple[Ended, Going]:
        going = going or Going()
        command = Command(text, going.marker, **fields)  # type: ignore[arg-type]
        async with self.pool.borrow(self.target) as connection:
            ended = await execute(
                connection,
                command,
                sink=going.sink,
                before_start=going.before_start,
                started=going.started,
                stopping=going.stopping,
                stop=going.stop,
                reconnect=lambda: self.pool.borrow(self.target, for_stop=True),
                grace_s=self.grace_s,
            )
        return ended, going

    async def stopped_after(
        self, text: str, ready: Callable[[Going], Awaitable[None]], **fields: object
    ) -> tuple[Ended, Going]:
        """Run it and press Stop once it is ready."""
        going = Going()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.run(text, going, **fields))
            await ready(going)
            going.stop.request(StopCause.USER)
        return running.result()


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    if SSHD is None:
        pytest.fail("needs OpenSSH's sshd: apt-get install openssh-server")
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def user() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.fail("needs root, to make a user")
    with ordinary_user("mustertests") as name:
        yield name


@pytest.fixture
async def bench_for() -> AsyncIterator[Callable[..., Bench]]:
    """Make benches; their pools are closed in the end."""
    pools: list[Pool] = []

    def make(target: Target, transport: Transport | None = None, **limits: float) -> Bench:
        chosen = transport or (LocalTransport() if target.is_local else SSHTransport())
        pools.append(Pool(lambda _: chosen, **limits))  # type: ignore[arg-type]
        return Bench(pools[-1], target)

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture(
    params=[
        pytest.param("root", marks=pytest.mark.sshd),
        pytest.param("user", marks=pytest.mark.sshd),
        "local",
    ]
)
def bench(request: pytest.FixtureRequest, bench_for: Callable[..., Bench]) -> Bench:
    """Each way to a real machine: the login of the tests themselves, an ordinary user, and no SSH at all."""
    if request.param == "local":
        return bench_for(Target("local", "here", "localhost", 0, None, (), is_local=True))
    server: Sshd = request.getfixturevalue("sshd")
    name = request.getfixturevalue("user") if request.param == "user" else ""
    return bench_for(server.target(user=name))
