import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from instances.engine.execute import execute
from instances.engine.kept_shell import KeptShell, open_shell
from instances.engine.kept_wish import ShellWish
from instances.engine.local import LocalTransport
from instances.engine.pool import Pool
from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.testing import Scene, ScriptedTransport
from instances.engine.transport import Transport
from instances.engine.types import Command, Ended, Flow, Started, StopCause, StopSignal, Stream, Target
from tests.support.sshd import SSHD, Sshd, marked_by, ordinary_user, running_sshd


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
        async with asyncio.timeout(60):
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

    @property
    def began(self) -> Started:
        """What it reported when it began."""
        return next(call for call in self.calls if isinstance(call, Started))

    async def before_start(self) -> None:
        self.calls.append("before_start")

    async def started(self, started: Started) -> None:
        self.calls.append(started)
        self.has_started.set()

    async def stopping(self, cause: StopCause) -> None:
        self.calls.append(cause)


async def has_started(going: Going) -> None:
    await going.has_started.wait()


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


@dataclass
class Keeping:
    """Kept shells on one instance, over one connection."""

    target: Target
    connection: SSHConnection
    shells: list[KeptShell] = field(default_factory=list)
    markers: list[UUID] = field(default_factory=list)

    async def open(self, interpreter: str = "bash", **fields: str) -> KeptShell:
        wish = ShellWish(uuid4(), interpreter=interpreter, **fields)  # type: ignore[arg-type]
        self.markers.append(wish.marker)
        self.shells.append(await open_shell(self.connection, wish, reconnect=self.reconnect))
        return self.shells[-1]

    @asynccontextmanager
    async def reconnect(self) -> AsyncIterator[SSHConnection]:
        """Give the connection if it lives, else another one."""
        if not self.connection.is_closed:
            yield self.connection
            return
        other = await SSHTransport().connect(self.target)
        try:
            yield other
        finally:
            other.close()
            await other.wait_closed()

    def left(self) -> list[int]:
        """What still has the marker of one of its shells."""
        return [pid for marker in self.markers for pid in marked_by("MUSTER_INVOCATION", str(marker))]


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


@pytest.fixture
def scripted(bench_for: Callable[..., Bench]) -> Callable[[Scene], tuple[Bench, ScriptedTransport]]:
    """Make benches over pretended machines, and what these saw."""

    def make(scene: Scene) -> tuple[Bench, ScriptedTransport]:
        transport = ScriptedTransport(lambda _: scene)
        bench = bench_for(Target("one", "one", "192.0.2.1", 22, None, ()), transport)
        bench.grace_s = 0.2
        return bench, transport

    return make


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


@pytest.fixture
async def keeping(sshd: Sshd, user: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keeping]:
    monkeypatch.setattr("instances.engine.kept_command.FIRST_NUDGE_S", 0.2)
    # A shell that a busy machine holds up must not be taken for one that does not come back.
    monkeypatch.setattr("instances.engine.kept_command.BACK_S", 60.0)
    target = sshd.target(55, user=user)
    kept = Keeping(target, await SSHTransport().connect(target))
    yield kept
    for shell in kept.shells:
        await shell.close()
    kept.connection.close()
    await kept.connection.wait_closed()
