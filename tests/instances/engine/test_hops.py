"""Instances behind jump hosts: real sshds, each with a host key and a credential of its own."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from instances.engine import errors
from instances.engine.hops import Tunnelled, not_opened
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.engine.types import KeyAuth, Outcome, Target
from tests.instances.engine.conftest import Bench, Going
from tests.support import ssh_server as fault
from tests.support.networks import network
from tests.support.sshd import SSHD, Sshd, free_port, marked_by, running_sshd
from tests.support.until import wait_until

pytestmark = pytest.mark.sshd


@dataclass
class Chain:
    """Servers a, b and c, of which each is reached through the one before."""

    servers: tuple[Sshd, Sshd, Sshd]

    def target(self, **changes: dict[str, Any]) -> Target:
        """c through b through a; ``b={"port": 1}`` changes one of them."""
        via: Target | None = None
        for number, (name, server) in enumerate(zip("abc", self.servers, strict=True), 1):
            fields = {"name": name, "via": via} | changes.get(name, {})
            via = server.target(number, **fields)
            via = replace(via, key=(via.key, via.via.key if via.via else None))
        assert via is not None
        return via

    @property
    def accepted(self) -> list[int]:
        return [server.accepted for server in self.servers]


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    if SSHD is None:
        pytest.fail("needs OpenSSH's sshd: apt-get install openssh-server")
    with running_sshd() as a, running_sshd() as b, running_sshd() as c:
        yield Chain((a, b, c))


async def error_of(target: Target, **options: Any) -> errors.ConnectError:
    """What keeps one from reaching it; the options are those of the last way alone."""

    def transport_for(wanted: Target) -> SSHTransport:
        return SSHTransport(**({"connect_s": 60.0, "login_s": 60.0} | (options if wanted is target else {})))

    pool = Pool(transport_for, retry_window_s=0)
    try:
        with pytest.raises(errors.ConnectError) as raised:
            async with pool.borrow(target):
                pass
    finally:
        await pool.close()
    assert "did not run" in str(raised.value)
    return raised.value


async def logged(condition: Callable[[], bool]) -> None:
    """Wait for a log to say it: sshd writes "Accepted" after the client knows."""
    await wait_until(condition)


# ------------------------------------------------------------------ through


async def test_a_command_runs_behind_two_jump_hosts(chain: Chain, bench_for: Callable[..., Bench]) -> None:
    before = chain.accepted
    ended, going = await bench_for(chain.target()).run("echo $SSH_CONNECTION; exit 3")
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 3)
    assert going.stdout.split()[3] == str(chain.servers[2].port).encode()
    await logged(lambda: [now - then for now, then in zip(chain.accepted, before, strict=True)] == [1, 1, 1])


async def test_a_large_output_arrives_whole(chain: Chain, bench_for: Callable[..., Bench]) -> None:
    ended, going = await bench_for(chain.target()).run("head -c 20000000 /dev/zero; echo end >&2")
    assert (ended.exit_status, len(going.stdout), going.stderr) == (0, 20_000_000, b"end\n")


async def test_twenty_instances_share_one_connection_to_their_jump_host(
    chain: Chain, bench_for: Callable[..., Bench]
) -> None:
    a, _, c = chain.servers
    bench, before = bench_for(a.target()), chain.accepted
    hop = a.target(1, name="a")
    behind = [c.target(number, via=hop, key=number) for number in range(20)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(Bench(bench.pool, target).run("echo here")) for target in behind]
    assert {task.result()[1].stdout for task in running} == {b"here\n"}
    await logged(lambda: (a.accepted - before[0], c.accepted - before[2]) == (1, 20))
    # Those of former tests may still be closing.
    await logged(lambda: a.open_connections == 1)


async def test_more_than_fit_on_one_connection_get_another(chain: Chain, bench_for: Callable[..., Bench]) -> None:
    a, _, c = chain.servers
    bench, before = bench_for(a.target(), tunnels_per_connection=3), a.accepted
    behind = [c.target(number, via=a.target(1), key=number) for number in range(7)]
    async with asyncio.TaskGroup() as group:
        for target in behind:
            group.create_task(Bench(bench.pool, target).run("true"))
    await logged(lambda: a.accepted - before == 3)


async def test_a_jump_host_is_kept_as_long_as_something_runs_through_it(
    chain: Chain, bench_for: Callable[..., Bench]
) -> None:
    a, b, _ = chain.servers
    bench = bench_for(b.target(2, via=a.target(1, name="a"), key="b"), idle_close_s=0.1)
    going = Going()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.run("echo there; sleep 1", going))
        await going.sink.until(b"there")
        # What is outdated is used to its end too, and never lent again.
        bench.pool.close_unless(lambda key: False)
    assert running.result()[0].exit_status == 0
    await logged(lambda: not (bench.pool.keys() or a.connections or b.connections))


async def test_a_jump_host_takes_commands_of_its_own_on_the_same_connection(
    chain: Chain, bench_for: Callable[..., Bench]
) -> None:
    a, b, _ = chain.servers
    hop, before = a.target(1), a.accepted
    bench = bench_for(b.target(2, via=hop, key="b"))
    await bench.run("true")
    await Bench(bench.pool, hop).run("true")
    await logged(lambda: a.accepted - before == 1)


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("down", "says"),
    [
        ("a", "Jump host a: nothing listens at this address and port"),
        ("b", "Jump host b: jump host a: nothing listens at 127.1.0.3:"),
        ("c", "Jump host b: nothing listens at 127.1.0.4:"),
    ],
)
async def test_an_instance_that_is_down_is_named(chain: Chain, down: str, says: str) -> None:
    error = await error_of(chain.target(**{down: {"port": free_port()}}))
    assert (error.reason, str(error)[: len(says)]) == ("refused", says)
    assert getattr(error.hop, "name", "c") == down


@pytest.mark.parametrize("place", ["a", "b", "c"])
async def test_an_impostor_in_the_place_of_any_of_them_gets_no_credential(chain: Chain, place: str) -> None:
    async with fault.ssh_server() as impostor:
        at = {"address": "127.0.0.1", "port": impostor.port}
        error = await error_of(chain.target(**{place: at}))
        assert (error.reason, impostor.auth_requests, impostor.connections) == ("host_key_changed", [], 1)
        assert isinstance(error, errors.HostKeyChanged)
        assert error.presented == impostor.host_key
        assert getattr(error.hop, "name", "c") == place
        assert str(error).startswith("" if place == "c" else f"Jump host {place}: ")


@pytest.mark.parametrize("place", ["a", "b", "c"])
async def test_a_key_nobody_has_reviewed_is_shown_for_the_one_it_belongs_to(chain: Chain, place: str) -> None:
    error = await error_of(chain.target(**{place: {"host_keys": ()}}))
    assert isinstance(error, errors.HostKeyUnknown)
    assert error.presented == chain.servers["abc".index(place)].host_key
    assert getattr(error.hop, "name", "c") == place


@pytest.mark.parametrize("place", ["a", "b", "c"])
async def test_a_refused_credential_is_that_of_the_one_that_refused(chain: Chain, place: str) -> None:
    wrong = KeyAuth(chain.target().auth.user, fault.new_key())  # type: ignore[union-attr]
    before = chain.accepted
    error = await error_of(chain.target(**{place: {"auth": wrong}}))
    assert (error.reason, getattr(error.hop, "name", "c")) == ("auth_failed", place)
    if place != "c":
        assert str(error).startswith(f"Jump host {place}: the instance refused the user name or credential")
    signed_in = {"a": [0, 0, 0], "b": [1, 0, 0], "c": [1, 1, 0]}[place]
    await logged(lambda: [now - then for now, then in zip(chain.accepted, before, strict=True)] == signed_in)


async def test_those_who_share_a_failed_jump_host_are_each_told_so(chain: Chain) -> None:
    hop = chain.servers[0].target(1, name="a", auth=None)
    pool = Pool(lambda _: SSHTransport())
    behind = [chain.servers[2].target(number, via=hop, key=number) for number in range(3)]

    async def reach(target: Target) -> str:
        with pytest.raises(errors.CredentialsMissing) as raised:
            async with pool.borrow(target):
                pass
        assert raised.value.hop is hop
        return str(raised.value)

    told = await asyncio.gather(*map(reach, behind))
    assert set(told) == {f"Jump host a: this {errors.CredentialsMissing.__doc__[5:]}"}  # type: ignore[index]
    await pool.close()


@pytest.mark.parametrize("option", [{"AllowTcpForwarding": "no"}, {"PermitOpen": "127.0.0.1:1"}])
async def test_a_jump_host_that_may_not_connect_on_says_so(chain: Chain, option: dict[str, str]) -> None:
    with running_sshd(**option) as closed:
        error = await error_of(chain.servers[2].target(3, via=closed.target(1, name="closed")))
    assert (error.reason, error.hop) == ("jump_refused", None)
    assert str(error).startswith("Jump host closed: it may not connect to 127.1.0.4:")
    assert "AllowTcpForwarding" in str(error)


async def test_names_are_resolved_by_the_jump_host(chain: Chain) -> None:
    def nobody_asks(*_: object) -> list[tuple[Any, ...]]:
        raise AssertionError

    target = chain.servers[2].target(3, via=chain.servers[0].target(1, name="a"), address="nowhere.invalid")
    error = await error_of(target, resolver=nobody_asks)  # type: ignore[arg-type]
    assert (error.reason, error.hop) == ("dns", None)
    assert str(error).startswith("Jump host a: it cannot resolve the name nowhere.invalid:")


async def test_closed_networks_are_closed_behind_a_jump_host_too(chain: Chain) -> None:
    a, _, c = chain.servers
    before = a.accepted
    error = await error_of(c.target(3, via=a.target(1), denied_networks=("127.0.0.0/8",)))
    assert (error.reason, error.hop) == ("address_denied", None)
    await logged(lambda: a.accepted - before == 1)


async def test_a_target_with_a_jump_host_is_never_dialled_directly(chain: Chain) -> None:
    before = chain.accepted
    with pytest.raises(errors.JumpRefused):
        await SSHTransport().connect(chain.target())
    assert chain.accepted == before


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (2, "Connection refused", "refused"),
        (2, "Connection timed out", "connect_timeout"),
        (2, "Network is unreachable", "no_route"),
        (2, "No route to host", "no_route"),
        (2, "Temporary failure in name resolution", "dns"),
        (2, "", "no_route"),
        (2, "Something\x1b[31m else", "no_route"),
        (1, "open failed", "jump_refused"),
        (3, "unknown channel type", "jump_refused"),
        (4, "", "jump_refused"),
    ],
)
def test_what_a_jump_host_answers_becomes_a_reason(code: int, said: str, reason: str) -> None:
    target = Target("c", "c", "2001:db8::1", 22, None, (), via=Target("b", "b", "192.0.2.1", 22, None, ()))
    error = not_opened(code, said, target, is_hop_lost=False)
    assert error.reason == reason
    assert str(error).startswith("Jump host b: ")
    assert "[2001:db8::1]:22" in str(error)
    assert str(error).isprintable()


async def test_a_channel_that_is_opened_too_late_is_closed(chain: Chain) -> None:
    class Channel:
        is_aborted = asyncio.Event()

        def abort(self) -> None:
            self.is_aborted.set()

    class Slow:
        may_open = asyncio.Event()

        async def create_connection(self, session_factory: Callable[[], Any], *_: object) -> tuple[Any, Any]:
            await self.may_open.wait()
            return Channel(), session_factory()

    slow = Slow()
    way = Tunnelled(slow, chain.target(), connect_s=0.05)
    with pytest.raises(errors.ConnectTimedOut, match="Jump host b"):
        await way.create_connection(asyncio.Protocol, "192.0.2.1", 22)
    slow.may_open.set()
    async with asyncio.timeout(60):
        await Channel.is_aborted.wait()


# ------------------------------------------------------------------ stop, and lost hops


async def test_stop_is_verified_through_a_chain(chain: Chain, bench_for: Callable[..., Bench]) -> None:
    async def ready(going: Going) -> None:
        await going.sink.until(b"on")

    ended, going = await bench_for(chain.target()).stopped_after(
        "trap '' TERM; setsid sleep 300 & echo on; sleep 300; sleep 300", ready
    )
    assert ended.outcome is Outcome.STOPPED
    assert marked_by("MUSTER_INVOCATION", str(going.marker)) == []


async def test_a_lost_jump_host_loses_what_is_behind_and_stop_finds_its_way_again(
    bench_for: Callable[..., Bench],
) -> None:
    with running_sshd() as a, running_sshd() as b:
        bench = bench_for(b.target(2, via=a.target(1, name="a"), key="b"))

        async def ready(going: Going) -> None:
            await going.sink.until(b"on")
            for pid in a.connections:
                os.kill(pid, 9)

        ended, going = await bench.stopped_after("setsid sleep 300 & echo on; sleep 300", ready)
        assert marked_by("MUSTER_INVOCATION", str(going.marker)) == []
        assert ended.outcome is Outcome.STOPPED
        await logged(lambda: a.accepted == 2)


# ------------------------------------------------------------------ no other way


@dataclass(frozen=True)
class Far:
    """Two namespaces in a row: 10.213.N.2 is linked with this one, 10.214.N.3 only with the first."""

    number: int
    near: tuple[str, ...]
    far: tuple[str, ...]


@contextmanager
def far_away() -> Iterator[Far]:
    with ExitStack() as stack:
        number = next(number for number in range(250) if _is_linked(f"mj{number}a", f"mj{number}b"))
        stack.callback(subprocess.run, ["ip", "link", "del", f"mj{number}a"], check=False, capture_output=True)
        further = f"mj{number}c", f"mj{number}d"
        assert _is_linked(*further)
        near = stack.enter_context(
            network(
                f"muster-b{number}", (f"mj{number}b", f"10.213.{number}.2/24"), (further[0], f"10.214.{number}.2/24")
            )
        )
        far = stack.enter_context(network(f"muster-c{number}", (further[1], f"10.214.{number}.3/24")))
        subprocess.run(["ip", "addr", "add", f"10.213.{number}.1/24", "dev", f"mj{number}a"], check=True)
        subprocess.run(["ip", "link", "set", f"mj{number}a", "up"], check=True)
        yield Far(number, near, far)


def _is_linked(one: str, other: str) -> bool:
    """Make a pair of interfaces, unless somebody else has these names."""
    made = ["ip", "link", "add", one, "type", "veth", "peer", "name", other]
    return subprocess.run(made, check=False, capture_output=True).returncode == 0


async def test_an_instance_in_a_network_that_only_the_jump_host_has(bench_for: Callable[..., Bench]) -> None:
    with far_away() as away, running_sshd(prefix=away.near) as b, running_sshd(prefix=away.far) as c:
        number = away.number
        hop = b.target(1, name="b", address=f"10.213.{number}.2")
        target = c.target(2, name="c", address=f"10.214.{number}.3", via=hop, key="c")
        alone = await error_of(replace(target, via=None), connect_s=0.5)
        assert alone.reason in {"connect_timeout", "no_route", "refused"}
        bench = bench_for(target)
        ended, going = await bench.run("echo from $SSH_CLIENT")
        assert (ended.exit_status, going.stdout.split()[1]) == (0, f"10.214.{number}.2".encode())
        nobody = replace(target, address=f"10.214.{number}.99", key="nobody")
        error = await error_of(nobody, connect_s=0.5)
        assert (error.reason, error.hop) == ("connect_timeout", None)
        assert str(error).startswith("Jump host b: ")
