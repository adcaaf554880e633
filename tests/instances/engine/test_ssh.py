"""What can go wrong between here and a signed-in connection, and what must never leave here."""

import asyncio
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from instances.engine import errors
from instances.engine.check import check
from instances.engine.ssh import KEEPALIVE_COUNT, KEEPALIVE_S, LOGIN_S, SSHTransport
from instances.engine.types import KeyAuth, Outcome, PasswordAuth, Target
from tests.instances.engine.conftest import Going
from tests.support import ssh_server as fault
from tests.support.sshd import Sshd, free_port

KEY = fault.new_key()
AUTH = KeyAuth("someone", KEY)


def target_at(port: int, **changes: object) -> Target:
    return fault.Server(port=port).target(AUTH, **changes)


def hasty() -> SSHTransport:
    """A way that soon gives up, for what must time out."""
    return SSHTransport(connect_s=0.3, login_s=0.3)


async def error_of(target: Target, transport: SSHTransport | None = None) -> errors.ConnectError:
    with pytest.raises(errors.ConnectError) as raised:
        await (transport or SSHTransport(connect_s=60, login_s=60)).connect(target)
    assert "did not run" in str(raised.value)
    return raised.value


async def test_a_key_signs_in() -> None:
    async with fault.ssh_server() as server:
        connection = await SSHTransport().connect(server.target(AUTH))
        assert connection.banner.startswith("SSH-2.0-")
        assert not connection.is_closed
        connection.close()
        await connection.wait_closed()
        assert connection.is_closed


@pytest.mark.parametrize("asks", [(), ("Password: ",)])
async def test_a_password_signs_in_also_when_it_is_asked_for(asks: tuple[str, ...]) -> None:
    async with fault.ssh_server(password="right", asks=asks) as server:
        connection = await SSHTransport().connect(server.target(PasswordAuth("someone", "right")))
        connection.close()
        await connection.wait_closed()
        assert len(server.auth_requests) == 1


@pytest.mark.parametrize("asks", [("Token: ",), ("Password: ", "Token: ")])
async def test_other_questions_get_no_answer(asks: tuple[str, ...]) -> None:
    async with fault.ssh_server(password="right", asks=asks) as server:
        error = await error_of(server.target(PasswordAuth("someone", "right")))
    assert error.reason == "auth_failed"


async def test_a_wrong_credential_is_tried_once() -> None:
    async with fault.ssh_server(password="right") as server:
        error = await error_of(server.target(PasswordAuth("someone", "wrong")))
        assert (error.reason, server.auth_requests) == ("auth_failed", ["password"])
    async with fault.ssh_server(accepts_any_key=False) as server:
        error = await error_of(server.target(AUTH))
        assert (error.reason, server.auth_requests) == ("auth_failed", ["publickey"])


@pytest.mark.parametrize("auth", [AUTH, PasswordAuth("someone", "right")])
async def test_a_changed_host_key_gets_no_credential(auth: KeyAuth | PasswordAuth) -> None:
    async with fault.ssh_server(has_other_host_key=True, password="right") as server:
        trusted = fault.Server().host_key
        with pytest.raises(errors.HostKeyChanged) as raised:
            await SSHTransport().connect(server.target(auth, host_keys=(trusted,)))
        assert raised.value.presented == server.host_key or raised.value.presented != trusted
        assert (server.auth_requests, server.connections) == ([], 1)


async def test_an_unknown_host_key_gets_no_credential_and_is_shown_for_review() -> None:
    async with fault.ssh_server() as server:
        with pytest.raises(errors.HostKeyUnknown) as raised:
            await SSHTransport().connect(server.target(AUTH, host_keys=()))
        assert raised.value.presented == server.host_key
        assert await SSHTransport().presented_host_key(server.target(None, host_keys=())) == server.host_key
        assert server.auth_requests == []


async def test_another_kind_of_host_key_counts_as_changed() -> None:
    """A server without the trusted kind still shows what it has, for review."""
    rsa = fault.new_host_key("ssh-rsa")
    async with fault.ssh_server() as server:
        with pytest.raises(errors.HostKeyChanged) as raised:
            await SSHTransport().connect(server.target(AUTH, host_keys=(rsa,)))
        assert raised.value.presented == server.host_key
        assert server.auth_requests == []


async def test_one_of_several_trusted_keys_is_enough() -> None:
    rsa = fault.new_host_key("ssh-rsa")
    async with fault.ssh_server() as server:
        connection = await SSHTransport().connect(server.target(AUTH, host_keys=(rsa, server.host_key)))
        connection.close()
        await connection.wait_closed()


async def test_nothing_of_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)
    (folder / "id_ed25519").write_bytes(fault.new_key())
    (folder / "id_ed25519").chmod(0o600)
    (folder / "config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/touched\n  User other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    async with fault.ssh_server(password="right") as server:
        error = await error_of(server.target(None))
        assert error.reason == "credentials_missing"
        error = await error_of(server.target(PasswordAuth("someone", "wrong")))
        assert (error.reason, server.auth_requests) == ("auth_failed", ["password"])
    async with fault.ssh_server(accepts_any_key=False) as server:
        await error_of(server.target(AUTH))
        assert server.auth_requests == ["publickey"]
    assert not (tmp_path / "touched").exists()


async def test_nothing_is_dialled_without_a_usable_credential() -> None:
    sealed = fault.new_key(passphrase="right")
    async with fault.ssh_server() as server:
        for auth, reason in (
            (None, "credentials_missing"),
            (KeyAuth("x", sealed, "wrong"), "key_passphrase_wrong"),
            (KeyAuth("x", sealed), "key_passphrase_wrong"),
            (KeyAuth("x", b"nothing like a key"), "key_unreadable"),
        ):
            assert (await error_of(server.target(auth, host_keys=()))).reason == reason
        assert server.connections == 0
        connection = await SSHTransport().connect(server.target(KeyAuth("x", sealed, "right")))
        connection.close()
        await connection.wait_closed()


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256"])
async def test_other_kinds_of_user_keys_sign_in(kind: str) -> None:
    async with fault.ssh_server() as server:
        connection = await SSHTransport().connect(server.target(KeyAuth("x", fault.new_key(kind))))
        connection.close()
        await connection.wait_closed()


async def test_nothing_listens() -> None:
    assert (await error_of(target_at(free_port()))).reason == "refused"


async def test_a_name_that_does_not_exist() -> None:
    assert (await error_of(target_at(22, address="no-such.invalid"))).reason == "dns"


async def test_a_dead_name_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instances.engine.dial.RESOLVE_S", 0.2)
    answers = threading.Event()

    def resolver(*_: object) -> list[tuple[object, ...]]:
        assert answers.wait(60), "it was waited for"
        return []

    try:
        error = await error_of(target_at(22, address="slow.example"), SSHTransport(resolver=resolver))
    finally:
        answers.set()
    assert error.reason == "dns"
    assert "not resolved within" in str(error)


@pytest.mark.parametrize(
    ("handle", "reason"),
    [
        (fault.never_speaks, "connect_timeout"),
        (fault.stalls_in_key_exchange, "connect_timeout"),
        (fault.closes_at_once, "server_closed"),
        (fault.closes_in_key_exchange, "server_closed"),
    ],
)
async def test_servers_that_stall_or_close(handle: fault.Handle, reason: str) -> None:
    transport = hasty() if reason == "connect_timeout" else None
    async with fault.tcp_server(handle) as server:
        began_at = monotonic()
        assert (await error_of(server.target(AUTH), transport)).reason == reason
        # Not the time of everybody.
        assert monotonic() - began_at < LOGIN_S


async def test_an_endless_banner_is_cut_short() -> None:
    async with fault.tcp_server(fault.endless_banner) as server:
        assert (await error_of(server.target(AUTH), hasty())).reason in ("protocol", "connect_timeout")


async def test_a_full_backlog_times_out() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        try:
            assert (await error_of(target_at(sock.getsockname()[1]), hasty())).reason == "connect_timeout"
        finally:
            for filler in fillers:
                filler.close()


async def test_weak_algorithms_are_refused() -> None:
    async with fault.ssh_server(kex_algs=["diffie-hellman-group14-sha1"]) as server:
        assert (await error_of(server.target(AUTH))).reason == "protocol"


@pytest.mark.parametrize("cipher", ["aes128-ctr", "chacha20-poly1305@openssh.com"])
async def test_ciphers_of_small_servers_are_still_offered(cipher: str) -> None:
    async with fault.ssh_server(encryption_algs=[cipher], mac_algs=["hmac-sha2-256"]) as server:
        connection = await SSHTransport().connect(server.target(AUTH))
        connection.close()
        await connection.wait_closed()


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("127.0.0.1", ("127.0.0.0/8",)),
        ("localhost", ("127.0.0.0/8", "::1/128")),
        ("0.0.0.0", ("127.0.0.0/8",)),
        ("::ffff:169.254.169.254", ("169.254.0.0/16",)),
        ("127.1", ("127.0.0.0/8",)),
    ],
)
async def test_denied_networks_are_not_dialled(address: str, networks: tuple[str, ...]) -> None:
    async with fault.ssh_server() as server:
        error = await error_of(server.target(AUTH, address=address, denied_networks=networks))
        assert (error.reason, server.connections) == ("address_denied", 0)


async def test_the_address_that_was_checked_is_the_one_dialled() -> None:
    asked = []

    def resolver(name: str, port: int, *_: object) -> list[tuple[object, ...]]:
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) == 1 else "127.0.0.9", port))]

    async with fault.ssh_server() as server:
        target = server.target(AUTH, address="twice.example", denied_networks=("127.0.0.9/32",))
        connection = await SSHTransport(resolver=resolver).connect(target)
        connection.close()
        await connection.wait_closed()
    assert asked == ["twice.example"]


async def test_an_end_without_status_is_never_a_success(bench_for) -> None:
    async def play(asked: fault.Asked) -> None:
        asked.process.stdout.write(b"some")
        asked.process.close()

    async with fault.ssh_server(play) as server:
        ended, going = await bench_for(server.target(AUTH)).run("echo")
        assert (ended.outcome, ended.reason, going.stdout) == (Outcome.LOST, "no_exit_status", b"some")


async def test_a_status_of_255_is_the_commands_own(bench_for) -> None:
    async def play(asked: fault.Asked) -> None:
        assert asked.script == b"echo hello"
        asked.process.exit(255)

    async with fault.ssh_server(play) as server:
        ended, _ = await bench_for(server.target(AUTH)).run("echo hello")
        assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 255)


async def test_invalid_text_from_the_machine_harms_nothing(bench_for) -> None:
    async def play(asked: fault.Asked) -> None:
        asked.process.stdout.write(b"\xff\xfe\0")
        asked.process.exit_with_signal("KILL", False, "gone")

    async with fault.ssh_server(play, banner="welcome\n" * 100) as server:
        ended, going = await bench_for(server.target(AUTH)).run("echo")
        assert (ended.outcome, ended.exit_signal, going.stdout) == (Outcome.SIGNALLED, "KILL", b"\xff\xfe\0")


async def test_a_silent_partition_is_noticed_by_keepalive(bench_for) -> None:
    cut = asyncio.Event()
    released = asyncio.Event()

    async def play(asked: fault.Asked) -> None:
        asked.process.stdout.write(b"ready\n")
        await released.wait()

    async with fault.ssh_server(play) as server, fault.tcp_server(fault.forwards_to(server.port, cut)) as proxy:
        bench = bench_for(server.target(AUTH, port=proxy.port), SSHTransport(keepalive_s=0.1))
        going = Going()
        began_at = monotonic()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(bench.run("echo", going))
            await going.sink.until(b"ready\n")
            cut.set()
        released.set()
        ended = running.result()[0]
        assert (ended.outcome, ended.reason) == (Outcome.LOST, "connection_lost")
        assert "Nothing of it runs any more" in ended.message
        # Not the time of everybody.
        assert monotonic() - began_at < KEEPALIVE_S * KEEPALIVE_COUNT


@pytest.mark.sshd
async def test_check_tells_what_the_machine_is(sshd: Sshd, bench_for) -> None:
    bench = bench_for(sshd.target(90))
    async with bench.pool.borrow(bench.target) as connection:
        facts = await check(connection)
    assert facts.banner.startswith("SSH-2.0-OpenSSH")
    assert (facts.kernel, facts.hostname) == (os.uname().release, os.uname().nodename)
    assert facts.user == replace(bench.target).auth.user
    assert facts.os
