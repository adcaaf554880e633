"""By what a machine is recognised, against OpenSSH's own server and certificates; and what an impostor is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from instances.engine import errors
from instances.engine.algorithms import CERTIFICATES
from instances.engine.host_trust import Expected
from instances.engine.ssh import SSHTransport
from instances.engine.transport import ask
from instances.engine.types import HostKey, KeyAuth, PasswordAuth, Target
from tests.support import ssh_server as fault
from tests.support.host_authority import HostAuthority, certified_sshd, keygen
from tests.support.sshd import Sshd, running_sshd

sshd_test = pytest.mark.sshd


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> HostAuthority:
    return HostAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> HostAuthority:
    return HostAuthority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def certified(authority: HostAuthority) -> Iterator[Sshd]:
    with certified_sshd(authority) as server:
        yield server


async def signs_in(target: Target) -> None:
    """Sign in and have the server do something, for it counts the sign-in only before that."""
    connection = await SSHTransport().connect(target)
    await ask(connection, "exec true", timeout_s=60)
    connection.close()
    await connection.wait_closed()


async def refused(target: Target, server: Sshd) -> errors.ConnectError:
    """The error, after a look that nobody tried to sign in."""
    accepted = server.accepted
    with pytest.raises(errors.ConnectError) as raised:
        await SSHTransport().connect(target)
    assert server.accepted == accepted
    assert "Failed " not in server.log()
    assert "No credential was sent and the command did not run." in str(raised.value)
    return raised.value


@sshd_test
async def test_a_certificate_of_a_trusted_authority_needs_no_trusted_key(certified, authority) -> None:
    accepted = certified.accepted
    await signs_in(certified.target(1, host_keys=(), authorities=(authority.key,)))
    assert certified.accepted == accepted + 1


@sshd_test
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
async def test_authorities_of_other_kinds_certify_too(kind: str, tmp_path: Path) -> None:
    signer = HostAuthority(tmp_path, kind=kind)
    with certified_sshd(signer) as server:
        await signs_in(server.target(1, host_keys=(), authorities=(signer.key,)))


@sshd_test
async def test_an_rsa_host_key_is_certified_too(authority: HostAuthority, tmp_path: Path) -> None:
    keygen("-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f", str(tmp_path / "rsa"))
    certificate = authority.sign(tmp_path / "rsa.pub")
    with running_sshd(HostKey=str(tmp_path / "rsa"), HostCertificate=str(certificate)) as server:
        await signs_in(server.target(1, host_keys=(), authorities=(authority.key,)))


@sshd_test
@pytest.mark.parametrize(
    ("signed", "fault"),
    [
        ({"names": "web-1.example.com"}, "is for another host name"),
        ({"names": "127.1.0.20,127.1.0.1"}, "is for another host name"),
        ({"validity": "-2d:-1d"}, "has expired"),
        ({"validity": "+1d:+2d"}, "is not valid yet"),
    ],
)
async def test_a_certificate_that_is_not_good_here_and_now_is_refused(
    authority: HostAuthority, signed: dict[str, str], fault: str
) -> None:
    with certified_sshd(authority, **signed) as server:
        error = await refused(server.target(1, host_keys=(), authorities=(authority.key,)), server)
        assert isinstance(error, errors.HostCertificateRefused)
        assert (error.reason, error.presented) == ("host_certificate", server.host_key)
        assert fault in str(error)


@sshd_test
async def test_a_certificate_without_names_is_good_for_every_one_as_with_openssh(authority: HostAuthority) -> None:
    with certified_sshd(authority, names="") as server:
        await signs_in(server.target(1, host_keys=(), authorities=(authority.key,)))


@sshd_test
async def test_an_authority_that_is_not_trusted_certifies_nothing(certified, other_authority) -> None:
    error = await refused(certified.target(1, host_keys=(), authorities=(other_authority.key,)), certified)
    assert error.reason == "host_certificate"
    assert "not trusted for it" in str(error)


@sshd_test
async def test_without_an_authority_nobody_looks_at_certificates(certified: Sshd) -> None:
    error = await refused(certified.target(1, host_keys=()), certified)
    assert isinstance(error, errors.HostKeyUnknown)
    assert error.presented == certified.host_key


@sshd_test
async def test_a_trusted_key_needs_no_certificate(certified: Sshd, authority, other_authority) -> None:
    await signs_in(certified.target(1, authorities=(other_authority.key,)))
    with certified_sshd(authority, validity="-2d:-1d") as expired:
        await signs_in(expired.target(1, authorities=(authority.key,)))


@sshd_test
async def test_a_server_without_certificate_is_known_by_its_key(authority: HostAuthority) -> None:
    with running_sshd() as server:
        await signs_in(server.target(1, authorities=(authority.key,)))
        error = await refused(server.target(1, host_keys=(), authorities=(authority.key,)), server)
        assert (error.reason, error.presented) == ("host_key_unknown", server.host_key)
        other = fault.new_host_key("ssh-ed25519")
        error = await refused(server.target(1, host_keys=(other,), authorities=(authority.key,)), server)
        assert (error.reason, error.presented) == ("host_key_changed", server.host_key)


@sshd_test
async def test_a_new_key_with_a_certificate_replaces_a_trusted_one_by_itself(certified, authority) -> None:
    former = fault.new_host_key("ssh-ed25519")
    await signs_in(certified.target(1, host_keys=(former,), authorities=(authority.key,)))


@sshd_test
async def test_what_is_revoked_is_refused_whoever_vouches_for_it(certified: Sshd, authority: HostAuthority) -> None:
    for revoked in (certified.host_key, authority.key):
        target = certified.target(1, host_keys=(), authorities=(authority.key,), revoked=(revoked,))
        assert (await refused(target, certified)).reason == "host_key_revoked"
    for keys in ((certified.host_key,), ()):
        error = await refused(certified.target(1, host_keys=keys, revoked=(certified.host_key,)), certified)
        assert error.reason == "host_key_revoked"
    with pytest.raises(errors.HostKeyRevoked):
        await SSHTransport().presented_host_key(certified.target(1, revoked=(certified.host_key,)))


@sshd_test
async def test_revoking_something_else_changes_nothing(certified: Sshd, authority: HostAuthority) -> None:
    other = fault.new_host_key("ssh-rsa")
    await signs_in(certified.target(1, revoked=(other,)))
    await signs_in(certified.target(1, host_keys=(), authorities=(authority.key,), revoked=(other,)))


@pytest.mark.parametrize("auth", [KeyAuth("someone", fault.new_key()), PasswordAuth("someone", "right")])
@pytest.mark.parametrize("case", ["changed", "unknown", "revoked", "authority"])
async def test_an_impostor_is_asked_to_authenticate_nobody(auth: KeyAuth | PasswordAuth, case: str) -> None:
    """It has taken over the address with a host key of its own, and counts."""
    password = "right" if isinstance(auth, PasswordAuth) else None
    async with fault.ssh_server(password=password) as genuine:
        await signs_in(genuine.target(auth))
        assert genuine.sign_ins == 1
        trusted = genuine.host_key
    async with fault.ssh_server(password=password, has_other_host_key=True) as impostor:
        shown = await SSHTransport().presented_host_key(impostor.target(None, host_keys=()))
        assert shown != trusted
        trust: dict[str, tuple[HostKey, ...]] = {
            "changed": {"host_keys": (trusted,)},
            "unknown": {"host_keys": ()},
            "revoked": {"host_keys": (trusted, shown), "revoked": (shown,)},
            "authority": {"host_keys": (), "authorities": (trusted,)},
        }[case]
        with pytest.raises(errors.ConnectError) as raised:
            await SSHTransport().connect(impostor.target(auth, **trust))
        assert raised.value.reason.startswith("host_key_")
        assert (impostor.sign_ins, impostor.auth_requests) == (0, [])
        assert impostor.connections >= 2


def test_certificates_are_asked_for_only_where_an_authority_could_have_signed_one() -> None:
    key = fault.new_host_key("ssh-ed25519")
    assert not set(CERTIFICATES) & set(Expected(keys=(key,)).algorithms)
    assert Expected(authorities=(key,)).algorithms[: len(CERTIFICATES)] == CERTIFICATES


def test_no_certificate_is_signed_with_sha_1() -> None:
    assert not [name for name in CERTIFICATES if name.startswith("ssh-rsa")]
