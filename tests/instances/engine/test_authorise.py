import asyncio
import os
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from instances.engine import authorise
from instances.engine.authorise import Limits, Placed, Removed, line_of, place, remove, try_out
from instances.engine.errors import AuthFailed, AuthoriseRefused
from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.testing import Scene, ScriptedConnection, ScriptedTransport
from instances.engine.types import KeyAuth, PasswordAuth, Target
from tests.instances.credentials.keys import key_pair
from tests.support.authorized_keys import PASSWORD, STRICT, Home, account_with_password
from tests.support.sshd import Sshd, running_sshd

pytestmark = pytest.mark.sshd
PAIR = key_pair()
LINE = line_of(PAIR.public, comment="muster:deploy")
BLOB = PAIR.public.split()[1]
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKm8nZ7rJ0zN1i0p0QW1b8v1mE3c2t7lqN6Yv0pXwQzA someone@else"


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    with account_with_password("musterauth") as name:
        yield name


@pytest.fixture(scope="module")
def strict_sshd() -> Iterator[Sshd]:
    with running_sshd(**STRICT) as server:
        yield server


@pytest.fixture
def home(account: str) -> Iterator[Home]:
    found = Home(account)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def target(strict_sshd: Sshd, account: str) -> Target:
    return strict_sshd.target(user=account, auth=PasswordAuth(account, PASSWORD))


@pytest.fixture
async def connection(target: Target) -> AsyncIterator[SSHConnection]:
    found = await SSHTransport().connect(target)
    yield found
    found.close()
    await found.wait_closed()


async def signs_in(target: Target, account: str) -> None:
    auth = KeyAuth(account, PAIR.private.encode())
    connection = await SSHTransport().connect(Target(**(vars(target) | {"auth": auth})))
    try:
        await try_out(connection)
    finally:
        connection.close()


# ------------------------------------------------------------------ the line


def test_the_line_is_restricted_unless_asked_otherwise() -> None:
    assert line_of(PAIR.public, comment="muster:deploy") == f"restrict,pty ssh-ed25519 {BLOB} muster:deploy"
    assert line_of(PAIR.public, limits=Limits.NONE) == f"ssh-ed25519 {BLOB}"
    forwarding = line_of(PAIR.public, limits=Limits.FORWARDING, sources="10.0.0.0/8,*.example")
    assert forwarding == f'restrict,pty,port-forwarding,from="10.0.0.0/8,*.example" ssh-ed25519 {BLOB}'
    assert line_of(PAIR.public, limits=Limits.NONE, sources="::1").startswith('from="::1" ssh-ed25519 ')


@pytest.mark.parametrize("comment", ["a\nssh-rsa AAAA", 'x" y', "a b\t\r\0", "é;$(id)`id`", "z" * 500])
def test_a_comment_cannot_become_anything_else(comment: str) -> None:
    line = line_of(PAIR.public, comment=comment)
    assert line.startswith(f"restrict,pty ssh-ed25519 {BLOB} ")
    assert len(line.split(" ")) == 4
    assert line.isascii()
    assert line.isprintable()
    assert len(line.split(" ")[3]) <= authorise.COMMENT_LIMIT


@pytest.mark.parametrize("sources", ['10.0.0.1" ', "a b", "1\n2", 'x",command="id', "a" * 600])
def test_sources_that_could_end_the_option_are_refused(sources: str) -> None:
    with pytest.raises(ValueError, match="Sources are"):
        line_of(PAIR.public, sources=sources)


@pytest.mark.parametrize(
    "key", ["", "ssh-ed25519", "ssh-ed25519 !!!", f"ssh-rsa {BLOB}"], ids=["none", "kind", "noise", "kinds differ"]
)
def test_what_is_no_public_key_makes_no_line(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        line_of(key)


# ------------------------------------------------------------------ place


async def test_without_a_folder_one_is_made_and_the_key_is_let_in(
    connection: SSHConnection, home: Home, target: Target, account: str
) -> None:
    with pytest.raises(AuthFailed):
        await signs_in(target, account)
    assert await place(connection, LINE) == Placed()
    assert home.file.read_text() == LINE + "\n"
    assert home.nature() == (0o600, home.entry.pw_uid, home.entry.pw_gid)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert home.names() == ["authorized_keys"]
    await signs_in(target, account)


OLD = {
    "empty": b"",
    "usual": f"{OTHER}\n".encode(),
    "no_newline": OTHER.encode(),
    "crlf": f"# keys\r\n{OTHER}\r\n".encode(),
    "crlf_no_newline": f"# keys\r\n{OTHER}\r".encode(),
    "blanks": b"\n\n   \n\t# what\n\n",
    "latin_1": f"{OTHER} caf\xe9\n".encode("latin-1"),
    "our_key_in_a_comment": f"# {LINE}\n#ssh-ed25519 {BLOB}\n".encode(),
    "our_key_in_an_option": f'command="echo ssh-ed25519 {BLOB} x" {OTHER}\n'.encode(),
    "a_key_like_ours": f"ssh-ed25519 {BLOB}A x\nssh-ed25519 {BLOB[:-1]} y\n".encode(),
    "ten_thousand": b"".join(
        f"{'restrict,pty ' if number % 2 else ''}{OTHER} {number}\n".encode() for number in range(10_000)
    ),
    "long_line": b"# " + b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("name", sorted(OLD))
@pytest.mark.parametrize("mode", [0o600, 0o644])
async def test_the_old_file_gets_exactly_one_line_more(
    connection: SSHConnection, home: Home, target: Target, account: str, name: str, mode: int
) -> None:
    old = home.write(OLD[name], mode)
    assert await place(connection, LINE) == Placed()
    new = home.file.read_bytes()
    gap = b"" if not old or old.endswith(b"\n") else b"\n"
    assert new == old + gap + LINE.encode() + b"\n"
    assert home.nature() == (mode, home.entry.pw_uid, home.entry.pw_gid)
    assert home.names() == ["authorized_keys"]
    await signs_in(target, account)
    # Again changes nothing, and taking it away brings back what was there.
    assert await place(connection, LINE) == Placed(was_there=True, options="restrict,pty")
    assert home.file.read_bytes() == new
    assert await remove(connection, PAIR.public) == Removed(1)
    assert home.file.read_bytes() == old + gap
    assert home.nature() == (mode, home.entry.pw_uid, home.entry.pw_gid)
    with pytest.raises(AuthFailed):
        await signs_in(target, account)


@pytest.mark.parametrize(
    "there",
    [
        "ssh-ed25519 {} broad",
        "\t ssh-ed25519 {}",
        "ssh-ed25519\t{} x\r",
        'from="10.0.0.1",command="say \\"hi there\\" # x" ssh-ed25519 {} narrow',
        "cert-authority ssh-ed25519 {}",
    ],
)
async def test_a_key_that_is_there_is_left_with_the_options_it_has(
    connection: SSHConnection, home: Home, there: str
) -> None:
    old = home.write(f"{OTHER}\n{there.format(BLOB)}\n".encode())
    placed = await place(connection, LINE)
    assert placed.was_there
    assert placed.options == there.partition(" ssh-ed25519")[0].strip() or not placed.options
    assert home.file.read_bytes() == old
    assert home.names() == ["authorized_keys"]


# ------------------------------------------------------------------ refused, with the file as it was


async def refused(connection: SSHConnection, reason: str) -> None:
    for attempt in (place(connection, LINE), remove(connection, PAIR.public)):
        with pytest.raises(AuthoriseRefused) as raised:
            await attempt
        assert raised.value.reason == reason
        assert str(raised.value) == authorise.REASONS[reason]


async def test_a_symlinked_file_is_not_followed(connection: SSHConnection, home: Home, tmp_path: Path) -> None:
    home.make_folder()
    victim = Path(home.entry.pw_dir) / "victim"
    victim.write_text(f"ssh-ed25519 {BLOB}\n")
    home.own(victim, 0o600)
    home.file.symlink_to(victim)
    await refused(connection, "symlink")
    assert victim.read_text() == f"ssh-ed25519 {BLOB}\n"
    assert home.file.is_symlink()
    assert home.names() == ["authorized_keys"]


async def test_a_dangling_symlink_is_not_followed(connection: SSHConnection, home: Home) -> None:
    home.make_folder()
    home.file.symlink_to(Path(home.entry.pw_dir) / "nowhere")
    await refused(connection, "symlink")
    assert not home.file.exists()


async def test_a_symlinked_folder_is_not_followed(connection: SSHConnection, home: Home) -> None:
    elsewhere = Path(home.entry.pw_dir) / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    home.own(elsewhere, 0o700)
    home.folder.symlink_to(elsewhere)
    await refused(connection, "symlink")
    assert list(elsewhere.iterdir()) == []


async def test_what_is_no_file_or_no_folder_is_refused(connection: SSHConnection, home: Home) -> None:
    home.make_folder()
    home.file.mkdir()
    await refused(connection, "unusual")
    home.clear()
    home.folder.write_text("a file")
    home.own(home.folder, 0o600)
    await refused(connection, "unusual")
    assert home.folder.read_text() == "a file"


async def test_a_folder_that_others_write_to_is_refused(connection: SSHConnection, home: Home) -> None:
    old = home.write(f"ssh-ed25519 {BLOB}\n".encode())
    for mode in (0o770, 0o702):
        home.make_folder(mode)
        await refused(connection, "unsafe")
    assert home.file.read_bytes() == old


async def test_what_belongs_to_another_user_is_refused(connection: SSHConnection, home: Home) -> None:
    old = home.write(f"ssh-ed25519 {BLOB}\n".encode(), 0o644)
    os.chown(home.file, 0, 0)
    await refused(connection, "not_yours")
    os.chown(home.folder, 0, 0)
    await refused(connection, "not_yours")
    assert home.file.read_bytes() == old
    assert home.nature() == (0o644, 0, 0)


async def test_a_group_that_cannot_be_kept_is_refused(connection: SSHConnection, home: Home) -> None:
    old = home.write(f"{OTHER}\n".encode(), 0o640)
    os.chown(home.file, home.entry.pw_uid, 0)
    with pytest.raises(AuthoriseRefused) as raised:
        await place(connection, LINE)
    assert raised.value.reason == "cannot_keep"
    assert home.file.read_bytes() == old
    assert home.nature() == (0o640, home.entry.pw_uid, 0)
    assert home.names() == ["authorized_keys"]


async def test_a_read_only_file_stays_as_it_is(connection: SSHConnection, home: Home) -> None:
    old = home.write(f"ssh-ed25519 {BLOB}\n".encode(), 0o400)
    await refused(connection, "read_only")
    home.own(home.file, 0o600)
    home.own(home.folder, 0o500)
    await refused(connection, "read_only")
    assert home.file.read_bytes() == old


@contextmanager
def mounted(home: Home, options: str) -> Iterator[None]:
    home.make_folder()
    owner = f"uid={home.entry.pw_uid},gid={home.entry.pw_gid},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{owner},{options}", "tmpfs", str(home.folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(home.folder)], check=True)


def remount(home: Home, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(home.folder)], check=True)


async def test_a_read_only_file_system_stays_as_it_is(connection: SSHConnection, home: Home) -> None:
    with mounted(home, "size=64k"):
        old = home.write(f"ssh-ed25519 {BLOB}\n".encode())
        remount(home, "ro")
        await refused(connection, "read_only")
        assert home.file.read_bytes() == old


@pytest.mark.parametrize("free", [0, 4096, 8192])
async def test_on_a_full_disk_the_file_stays_as_it_is(connection: SSHConnection, home: Home, free: int) -> None:
    """The file takes two pages: there is room for nothing, for half of a copy, for a copy and nothing else."""
    with mounted(home, "size=64k"):
        old = home.write(b"# " + b"x" * 4000 + b"\n" + f"{OTHER}\n".encode()[:90] + b"\n")
        filler = home.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                size = file.tell()
            os.ftruncate(file.fileno(), size - free)
        names = home.names()
        with pytest.raises(AuthoriseRefused) as raised:
            await place(connection, LINE)
        assert raised.value.reason == "no_space"
        assert home.file.read_bytes() == old
        assert home.names() == names
        filler.unlink()
        assert await place(connection, LINE) == Placed()
        assert home.file.read_bytes() == old + LINE.encode() + b"\n"


async def test_a_login_that_may_run_nothing_is_told_apart(strict_sshd: Sshd, home: Home, account: str) -> None:
    home.write(f'command="/bin/true" ssh-ed25519 {BLOB}\n'.encode())
    found = await SSHTransport().connect(strict_sshd.target(user=account, auth=KeyAuth(account, PAIR.private.encode())))
    for attempt, reason in ((try_out(found), "no_commands"), (place(found, LINE), "no_answer")):
        with pytest.raises(AuthoriseRefused) as raised:
            await attempt
        assert raised.value.reason == reason
    found.close()


async def test_a_windows_server_is_asked_nothing() -> None:
    class Windows(ScriptedConnection):
        banner = "SSH-2.0-OpenSSH_for_Windows_9.5"  # type: ignore[assignment]

    transport = ScriptedTransport(lambda _: Scene())
    windows = await transport.connect(Target("w", "w", "127.0.0.1", 22, None, ()))
    windows.__class__ = Windows
    with pytest.raises(AuthoriseRefused) as raised:
        await place(windows, LINE)
    assert raised.value.reason == "windows"


# ------------------------------------------------------------------ remove


async def test_only_the_lines_of_the_key_are_removed(connection: SSHConnection, home: Home) -> None:
    kept = f"# {LINE}\n{OTHER}\r\n\n  spaced\t\n".encode()
    home.write(f"ssh-ed25519 {BLOB}\n".encode() + kept + f'{LINE}\nfrom="a b" ssh-ed25519 {BLOB} last'.encode())
    assert await remove(connection, PAIR.public) == Removed(3)
    assert home.file.read_bytes() == kept
    assert await remove(connection, PAIR.public) == Removed(0)
    assert home.names() == ["authorized_keys"]


async def test_removing_leaves_an_open_last_line_open(connection: SSHConnection, home: Home) -> None:
    home.write(f"{LINE}\n{OTHER}".encode())
    assert await remove(connection, PAIR.public) == Removed(1)
    assert home.file.read_text() == OTHER


async def test_nothing_is_removed_from_a_file_with_nul_characters(connection: SSHConnection, home: Home) -> None:
    old = home.write(b"x\0y\n" + LINE.encode() + b"\n")
    with pytest.raises(AuthoriseRefused):
        await remove(connection, PAIR.public)
    assert home.file.read_bytes() == old


async def test_removing_where_nothing_is_makes_nothing(connection: SSHConnection, home: Home) -> None:
    assert await remove(connection, PAIR.public) == Removed(0)
    assert not home.folder.exists()
    home.make_folder()
    assert await remove(connection, PAIR.public) == Removed(0)
    assert home.names() == []


# ------------------------------------------------------------------ several at once


async def test_two_consoles_at_once_with_different_keys_both_get_in(
    connection: SSHConnection, home: Home, target: Target
) -> None:
    home.write(f"{OTHER}\n".encode())
    second = await SSHTransport().connect(target)
    line = line_of(key_pair("rsa").public, comment="second")
    try:
        assert await asyncio.gather(place(connection, LINE), place(second, line)) == [Placed(), Placed()]
    finally:
        second.close()
    first_line, *rest = home.file.read_text().splitlines()
    assert first_line == OTHER
    assert sorted(rest) == sorted([LINE, line])
    assert home.names() == ["authorized_keys"]


async def test_many_at_once_with_the_same_key_make_one_line(
    connection: SSHConnection, home: Home, target: Target
) -> None:
    second = await SSHTransport().connect(target)
    try:
        placed = await asyncio.gather(*(place(each, LINE) for each in (connection, second) * 3))
    finally:
        second.close()
    assert sorted(one.was_there for one in placed) == [False, *[True] * 5]
    assert home.file.read_text() == LINE + "\n"
    assert home.names() == ["authorized_keys"]


async def test_the_lock_of_a_dead_console_is_taken_over(connection: SSHConnection, home: Home) -> None:
    home.make_folder()
    lock = home.folder / "authorized_keys.muster-lock"
    lock.mkdir()
    home.own(lock, 0o700)
    long_ago = time.time() - 300
    os.utime(lock, (long_ago, long_ago))
    assert await place(connection, LINE) == Placed()
    assert home.names() == ["authorized_keys"]


@pytest.mark.slow
async def test_the_lock_of_a_living_console_is_waited_for_and_kept(connection: SSHConnection, home: Home) -> None:
    old = home.write(f"{OTHER}\n".encode())
    lock = home.folder / "authorized_keys.muster-lock"
    lock.mkdir()
    home.own(lock, 0o700)
    with pytest.raises(AuthoriseRefused) as raised:
        await place(connection, LINE)
    assert raised.value.reason == "locked"
    assert home.file.read_bytes() == old
    assert lock.exists()
