import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from instances.engine.errors import AuthFailed, ChannelRefused, ConnectionLost, ServerClosed
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.engine.testing import Scene, ScriptedTransport
from instances.engine.transport import Connection, Process
from instances.engine.types import Outcome, Sink, Target
from tests.instances.engine.conftest import Bench, Recorder
from tests.support.sshd import running_sshd
from tests.support.until import wait_until


def target(key: object = "one", address: str = "192.0.2.1") -> Target:
    return Target(key, str(key), address, 22, None, ())


class Line:
    """A connection that refuses and dies on demand."""

    def __init__(self) -> None:
        self.banner = "line"
        self.is_closed = False
        self.fails_with: list[Exception] = []
        self.started = 0

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        await asyncio.sleep(0)
        if self.fails_with:
            raise self.fails_with.pop()
        self.started += 1
        return None  # type: ignore[return-value]

    def close(self) -> None:
        self.is_closed = True

    async def wait_closed(self) -> None:
        pass


class Lines:
    """A transport that counts."""

    def __init__(self, *failures: Exception, delay_s: float = 0.0) -> None:
        self.made: list[Line] = []
        self.failures = list(failures)
        self.delay_s = delay_s
        self.at_once = 0
        self.most_at_once = 0

    async def connect(self, target: Target, through: Connection | None = None) -> Line:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.at_once -= 1
        self.made.append(Line())
        return self.made[-1]


def pool_over(lines: Lines, **limits: float) -> Pool:
    return Pool(lambda _: lines, **limits)  # type: ignore[arg-type, return-value]


async def start(connection: Connection) -> None:
    await connection.start("true", stdin=b"", sink=Recorder())


async def hold(
    pool: Pool, wanted: Target, until: asyncio.Event, *, for_stop: bool = False, holding: list[Connection] | None = None
) -> None:
    async with pool.borrow(wanted, for_stop=for_stop) as connection:
        if holding is not None:
            holding.append(connection)
        await until.wait()


async def test_one_connection_serves_one_after_the_other() -> None:
    lines = Lines()
    pool = pool_over(lines)
    for _ in range(3):
        async with pool.borrow(target()) as connection:
            await start(connection)
    assert len(lines.made) == 1
    assert lines.made[0].started == 3
    await pool.close()
    assert lines.made[0].is_closed


async def test_borrowers_of_one_key_wait_for_one_connect_at_a_time() -> None:
    lines = Lines(delay_s=0.01)
    pool = pool_over(lines)
    all_hold = asyncio.Barrier(13)

    async def hold_together() -> None:
        async with pool.borrow(target()):
            await all_hold.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(13):
            group.create_task(hold_together())
    # Six of eight channels each; two are kept for Stop.
    assert (len(lines.made), lines.most_at_once) == (3, 1)
    await pool.close()


async def test_stop_finds_room_on_the_same_connection() -> None:
    lines = Lines()
    pool = pool_over(lines)
    release = asyncio.Event()
    holding: list[Connection] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(hold(pool, target(), release, holding=holding))
        for _ in range(2):
            group.create_task(hold(pool, target(), release, for_stop=True, holding=holding))
        await wait_until(lambda: len(holding) == 8)
        assert len(lines.made) == 1
        group.create_task(hold(pool, target(), release, for_stop=True, holding=holding))
        await wait_until(lambda: len(holding) == 9)
        assert len(lines.made) == 2
        release.set()
    await pool.close()


@pytest.mark.parametrize(("limits", "expected"), [({}, 6), ({"handshakes": 4}, 4), ({"handshakes_per_host": 9}, 9)])
async def test_handshakes_are_limited(limits: dict[str, float], expected: int) -> None:
    lines = Lines(delay_s=0.01)
    pool = pool_over(lines, **limits)
    release = asyncio.Event()
    release.set()
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(hold(pool, target(number), release))
    assert lines.most_at_once == expected
    await pool.close()


async def test_a_busy_server_is_tried_again_and_says_so() -> None:
    lines = Lines(ServerClosed())
    pool = pool_over(lines)
    attempts: list[int] = []
    began_at = monotonic()
    async with pool.borrow(target(), on_retry=attempts.append):
        pass
    assert attempts == [2]
    assert monotonic() - began_at > 0.4
    await pool.close()


@pytest.mark.parametrize("failure", [AuthFailed(), ServerClosed(is_signing_in=True)])
async def test_nothing_else_is_tried_again(failure: Exception) -> None:
    pool = pool_over(Lines(failure, failure))
    with pytest.raises(type(failure)):
        async with pool.borrow(target()):
            pass
    await pool.close()


async def test_the_window_for_trying_again_ends() -> None:
    pool = pool_over(Lines(*[ServerClosed() for _ in range(9)]), retry_window_s=0.1)
    with pytest.raises(ServerClosed):
        async with pool.borrow(target()):
            pass
    await pool.close()


async def test_idle_connections_close() -> None:
    lines = Lines()
    pool = pool_over(lines, idle_close_s=0.05)
    async with pool.borrow(target()):
        await asyncio.sleep(0.1)
        assert not lines.made[0].is_closed
    await asyncio.sleep(0.1)
    assert lines.made[0].is_closed
    async with pool.borrow(target()):
        pass
    assert len(lines.made) == 2
    await pool.close()


async def test_outdated_connections_close_when_nobody_uses_them() -> None:
    lines = Lines()
    pool = pool_over(lines)
    async with pool.borrow(target("idle")):
        pass
    async with pool.borrow(target("current")):
        pass
    async with pool.borrow(target("busy")):
        pool.close_unless(lambda key: key == "current")
        assert [line.is_closed for line in lines.made] == [True, False, False]
    assert [line.is_closed for line in lines.made] == [True, False, True]
    await pool.close()


async def test_a_dead_connection_is_replaced_before_anything_was_sent() -> None:
    lines = Lines()
    pool = pool_over(lines)
    async with pool.borrow(target()) as connection:
        lines.made[0].fails_with = [ConnectionLost(is_sent=False)]
        await start(connection)
    assert [line.started for line in lines.made] == [0, 1]
    assert lines.made[0].is_closed
    async with pool.borrow(target()) as connection:
        lines.made[1].fails_with = [ConnectionLost(is_sent=True)]
        with pytest.raises(ConnectionLost):
            await start(connection)
    assert [line.started for line in lines.made] == [0, 1]
    await pool.close()


async def test_a_connection_known_to_be_closed_is_not_lent() -> None:
    lines = Lines()
    pool = pool_over(lines)
    async with pool.borrow(target()):
        pass
    lines.made[0].is_closed = True
    async with pool.borrow(target()) as connection:
        await start(connection)
    assert len(lines.made) == 2
    await pool.close()


async def test_a_server_with_fewer_channels_is_learnt() -> None:
    lines = Lines()
    pool = pool_over(lines)
    release = asyncio.Event()
    holding: list[Connection] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(pool, target(), release, holding=holding))
        group.create_task(hold(pool, target(), release, holding=holding))
        await wait_until(lambda: len(holding) == 2)
        async with pool.borrow(target()) as connection:
            lines.made[0].fails_with = [ChannelRefused()]
            await start(connection)
            assert len(lines.made) == 2
        release.set()
    await pool.close()


async def test_a_server_that_allows_no_channel_at_all_is_an_error() -> None:
    lines = Lines()
    pool = pool_over(lines)
    async with pool.borrow(target()) as connection:
        lines.made[0].fails_with = [ChannelRefused()]
        with pytest.raises(ChannelRefused):
            await start(connection)
    await pool.close()


async def test_giving_up_while_connecting_lets_the_next_one_connect() -> None:
    lines = Lines(delay_s=0.05)
    pool = pool_over(lines)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), pool.borrow(target()):
            pass
    async with pool.borrow(target()) as connection:
        await start(connection)
    assert len(lines.made) == 1
    await pool.close()


async def test_who_waits_for_a_connect_shares_its_failure() -> None:
    lines = Lines(AuthFailed(), delay_s=0.01)
    pool = pool_over(lines)
    told = await asyncio.gather(*(hold(pool, target(), asyncio.Event()) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in told] == [AuthFailed] * 5
    assert (lines.made, lines.failures) == ([], [])
    await pool.close()


async def test_a_connect_nobody_waits_for_any_more_ends() -> None:
    lines = Lines(delay_s=600)
    pool = pool_over(lines)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(hold(pool, target(), asyncio.Event())) for _ in range(3)]
        await wait_until(lambda: lines.at_once)
        for task in waiting[:2]:
            task.cancel()
        await asyncio.wait(waiting[:2])
        await asyncio.sleep(0.01)
        assert lines.at_once == 1
        waiting[2].cancel()
        await wait_until(lambda: not lines.at_once)
    await pool.close()


async def test_a_server_that_closes_after_every_sign_in_is_not_tried_for_ever() -> None:
    class Closing(Lines):
        async def connect(self, target: Target, through: Connection | None = None) -> Line:
            line = await super().connect(target)
            line.close()
            line.fails_with = [ConnectionLost("Closed.", is_sent=False) for _ in range(9)]
            return line

    lines = Closing(delay_s=0.01)
    pool = pool_over(lines)
    with pytest.raises(ConnectionLost):
        async with pool.borrow(target()) as connection:
            await start(connection)
    assert len(lines.made) == 4
    await pool.close()


async def test_a_closed_pool_lends_nothing_new() -> None:
    lines = Lines(delay_s=0.05)
    pool = pool_over(lines)
    async with asyncio.TaskGroup() as group:
        late = group.create_task(_refused(pool))
        await wait_until(lambda: lines.at_once)
        await pool.close()
    assert late.result()
    assert lines.made[0].is_closed


async def _refused(pool: Pool) -> bool:
    with pytest.raises(ConnectionLost):
        async with pool.borrow(target()):
            pass
    return True


async def test_other_targets_are_not_held_up_by_a_slow_one() -> None:
    scenes = {"slow": Scene(connect_after_s=600), "fast": Scene()}
    transport = ScriptedTransport(lambda wanted: scenes[str(wanted.key)])
    pool = Pool(lambda _: transport)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(hold(pool, target("slow"), asyncio.Event()))
        ended, _ = await Bench(pool, target("fast")).run("echo")
        slow.cancel()
    assert ended.exit_status == 0
    await pool.close()


@pytest.mark.sshd
@pytest.mark.slow
@pytest.mark.parametrize("options", [{"MaxStartups": "2:100:3"}, {"MaxStartups": "10:30:100"}])
async def test_a_server_that_drops_newcomers_is_reached_by_all(options: dict[str, str]) -> None:
    with running_sshd(**options) as server:
        pool = Pool(lambda _: SSHTransport())
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(Bench(pool, server.target(number)).run(f"echo {number}")) for number in range(20)
            ]
        outputs = [task.result()[1].stdout for task in running]
        await pool.close()
        assert outputs == [f"{number}\n".encode() for number in range(20)]
        assert server.accepted == 20


@pytest.mark.sshd
@pytest.mark.slow
async def test_a_server_with_two_sessions_a_connection_runs_ten_at_once(bench_for: Callable[..., Bench]) -> None:
    with running_sshd(MaxSessions="2") as server:
        bench = bench_for(server.target())

        async def ready(going: object) -> None:
            await going.sink.until(b"ready\n")  # type: ignore[attr-defined]

        async with asyncio.TaskGroup() as group:
            running = [group.create_task(bench.stopped_after("echo ready; sleep 300", ready)) for _ in range(10)]
        assert [task.result()[0].outcome for task in running] == [Outcome.STOPPED] * 10
        await bench.pool.close()


@pytest.mark.sshd
async def test_a_pooled_connection_that_died_meanwhile_is_replaced(bench_for: Callable[..., Bench]) -> None:
    with running_sshd() as server:
        bench = bench_for(server.target())
        assert (await bench.run("exit 1"))[0].exit_status == 1
        server.stop()
        server.start()
        assert (await bench.run("exit 2"))[0].exit_status == 2
        assert server.accepted == 2
        await bench.pool.close()
