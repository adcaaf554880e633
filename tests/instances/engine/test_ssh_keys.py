"""What signs in, against servers that take only that; and that nothing else is ever offered."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from instances.engine import errors
from instances.engine.ssh import SSHTransport
from instances.engine.ssh_keys import agent_identities, public_line, split_keys
from instances.engine.types import AgentAuth, Auth, HostKey, KeyAuth, PasswordAuth
from tests.instances.credentials.keys import PASSPHRASE, key_pair, signed
from tests.support import ssh_server as fault
from tests.support.sshd import Sshd, ordinary_user, running_sshd, set_password
from tests.support.until import until, wait_until


def fingerprint(key: str, passphrase: str | None = None) -> str:
    return HostKey.parse(public_line(key, passphrase)).fingerprint


@pytest.mark.parametrize(("kind", "form"), [("rsa", "PKCS8"), ("ed25519", "RFC4716")])
def test_a_key_is_named_by_its_fingerprint(kind: str, form: str) -> None:
    sealed = key_pair(kind, form=form, passphrase=PASSPHRASE)
    assert fingerprint(sealed.private, PASSPHRASE) == sealed.fingerprint
    assert fingerprint(key_pair(kind).private) == key_pair(kind).fingerprint
    with pytest.raises(errors.PassphraseWrong):
        public_line(sealed.private, "wrong")
    with pytest.raises(errors.PassphraseWrong):
        public_line(sealed.private)


@pytest.mark.parametrize("body", [b"AAAA", b"", b"b3BlbnNzaC1rZXktdjEA"])
def test_what_is_no_key_is_said_to_be_none(body: bytes) -> None:
    whole = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + body + b"\n-----END OPENSSH PRIVATE KEY-----\n"
    for text in (whole, body, b"ssh-ed25519 " + body, whole[:50]):
        with pytest.raises(errors.KeyUnreadable):
            public_line(text.decode())


async def connects(server: Sshd, auth: Auth) -> bool:
    """Whether the server lets this in."""
    try:
        connection = await SSHTransport().connect(server.target(auth=auth))
    except errors.AuthFailed:
        return False
    connection.close()
    await connection.wait_closed()
    return True


async def said(server: Sshd, text: str, count: int = 1) -> None:
    """Wait until the server has written this: it does so after the client knows."""
    await wait_until(lambda: server.log().count(text) == count)


@pytest.fixture(scope="module")
def plain() -> Iterator[Sshd]:
    """A server that takes the keys in its ``user_key.pub``."""
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="module")
def someone() -> Iterator[str]:
    with ordinary_user("mustersign") as name:
        set_password(name, "right horse")
        yield name


# ------------------------------------------------------------------ each kind, where nothing else is taken


@pytest.mark.sshd
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
async def test_a_password_where_only_that_is_taken(someone: str, method: str) -> None:
    only = {"PubkeyAuthentication": "no", "AuthenticationMethods": method, "UsePAM": "yes"}
    only |= {"PasswordAuthentication": "yes", "KbdInteractiveAuthentication": "yes"}
    with running_sshd(**only) as server:
        assert await connects(server, PasswordAuth(someone, "right horse"))
        assert not await connects(server, PasswordAuth(someone, "wrong"))
        assert not await connects(server, KeyAuth(someone, server.user_key))
        await said(server, f"Accepted {method}")


@pytest.mark.sshd
@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
@pytest.mark.parametrize(
    ("kind", "form"), [("ed25519", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "PKCS8"), ("ed25519", "PPK2"), ("rsa", "PPK3")]
)
async def test_a_key_in_each_form_where_only_that_key_is_taken(
    plain: Sshd, someone: str, kind: str, form: str, passphrase: str
) -> None:
    pair, accepted = key_pair(kind, form=form, passphrase=passphrase), plain.accepted
    (plain.folder / "user_key.pub").write_text(pair.public)
    assert await connects(plain, KeyAuth(someone, pair.private.encode(), passphrase or None))
    await said(plain, f"Accepted publickey for {someone}", accepted + 1)
    if passphrase:
        with pytest.raises(errors.PassphraseWrong):
            await connects(plain, KeyAuth(someone, pair.private.encode(), "wrong"))


@pytest.mark.sshd
async def test_several_keys_are_tried_in_their_order(someone: str) -> None:
    others = [key_pair("rsa", form="PEM"), key_pair("ecdsa", form="PPK3")]
    with running_sshd(LogLevel="VERBOSE") as server:
        text = b"".join(pair.private.encode() for pair in others) + server.user_key
        assert await connects(server, KeyAuth(someone, text))
        offered = [line.split()[-1] for line in server.log().splitlines() if "Failed publickey" in line]
        assert offered == [pair.fingerprint for pair in others]


@pytest.mark.sshd
async def test_a_certificate_where_only_its_authority_is_taken(someone: str, tmp_path: Path) -> None:
    authority, pair = key_pair("ecdsa"), key_pair("rsa", form="PEM")
    with running_sshd(AuthorizedKeysFile="none", TrustedUserCAKeys=str(_readable(authority.public))) as server:
        good = signed(pair.public, authority.private, principals=someone)
        assert await connects(server, KeyAuth(someone, pair.private.encode(), None, good))
        assert not await connects(server, KeyAuth(someone, pair.private.encode()))
        elsewhere = signed(pair.public, authority.private, principals="somebody-else")
        assert not await connects(server, KeyAuth(someone, pair.private.encode(), None, elsewhere))
        old = signed(pair.public, authority.private, principals=someone, valid="-2h:-1h")
        with pytest.raises(errors.CertificateRefused, match="expired"):
            # Nothing listens there, and nothing was dialled to find that out.
            await SSHTransport().connect(server.target(port=1, auth=KeyAuth(someone, pair.private.encode(), None, old)))


def _readable(text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="muster-ca-")
    os.write(handle, text.encode())
    os.close(handle)
    return Path(name)


# ------------------------------------------------------------------ the agent


@contextmanager
def agent(*pairs: str) -> Iterator[str]:
    """A real ssh-agent that holds these private keys; the block gets its socket."""
    folder = Path(tempfile.mkdtemp(prefix="muster-agent-"))
    path = folder / "socket"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        environment = os.environ | {"SSH_AUTH_SOCK": str(path)}
        # 2: there is no agent yet.
        until(lambda: subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True).returncode != 2, 60)
        for private in pairs:
            subprocess.run(["ssh-add", "-q", "-"], input=private, text=True, check=True, env=environment)
        yield str(path)
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def line_of(public: str) -> str:
    return " ".join(public.split()[:2])


@pytest.mark.sshd
async def test_of_an_agents_two_keys_the_server_sees_only_the_chosen_one(
    someone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, other = key_pair("ed25519"), key_pair("rsa")
    with running_sshd(LogLevel="DEBUG1") as server, agent(other.private, chosen.private) as socket_path:
        # The service account's own agent is not asked, whatever it holds.
        monkeypatch.setenv("SSH_AUTH_SOCK", socket_path)
        (server.folder / "user_key.pub").write_text(chosen.public + other.public)
        assert await connects(server, AgentAuth(someone, socket_path, (line_of(chosen.public),)))
        await wait_until(lambda: chosen.fingerprint in server.log())
        assert other.fingerprint not in server.log()
        connection = await SSHTransport().connect(
            server.target(auth=AgentAuth(someone, socket_path, (line_of(chosen.public),)))
        )
        connection.close()
        await connection.wait_closed()
        assert "auth-agent" not in server.log()


async def test_what_the_agent_holds_is_listed_in_its_order() -> None:
    pairs = [key_pair("rsa"), key_pair("ed25519")]
    with agent(*(pair.private for pair in pairs)) as socket_path:
        held = await agent_identities(socket_path)
    assert [(one.fingerprint, one.comment) for one in held] == [(pair.fingerprint, "test") for pair in pairs]


async def test_without_the_agent_or_the_chosen_key_nothing_is_dialled() -> None:
    line = line_of(key_pair("ecdsa").public)
    async with fault.ssh_server() as server:
        with agent(key_pair("rsa").private) as socket_path:
            for path in (socket_path, f"{socket_path}.gone", ""):
                with pytest.raises(errors.AgentUnavailable) as raised:
                    await SSHTransport().connect(server.target(AgentAuth("x", path, (line,))))
                # Nothing was refused, so this must not count against the credential.
                assert raised.value.reason == "auth_failed"
                assert not isinstance(raised.value, errors.AuthFailed)
            with pytest.raises(errors.AgentUnavailable):
                await SSHTransport().connect(server.target(AgentAuth("x", socket_path, ())))
        assert server.connections == 0


# ------------------------------------------------------------------ files


def test_keys_are_taken_out_of_the_text_around_them() -> None:
    pairs = [key_pair("rsa", form="PEM"), key_pair(form="PPK2"), key_pair("ecdsa")]
    text = "first\n" + "\nand then\n".join(pair.private for pair in pairs) + "last"
    assert [line_of(pair.public) for pair in pairs] == [public_line(key) for key in split_keys(text)]
    assert split_keys("no key") == ["no key"]


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("Argon2-Memory: 8192", "Argon2-Memory: 99999999"),
        ("Argon2-Passes: ", "Argon2-Passes: 999"),
        ("Private-Lines: ", "Private-Lines: 9"),
        ("aes256-cbc", "des"),
        ("File-3", "File-4"),
        ("Argon2id", "Argon3"),
    ],
)
def test_a_putty_file_that_asks_for_too_much_or_makes_no_sense_is_refused_at_once(found: str, put: str) -> None:
    text = key_pair(form="PPK3", passphrase=PASSPHRASE).private
    assert found in text
    with pytest.raises(errors.KeyUnreadable):
        public_line(text.replace(found, put), PASSPHRASE)
