"""Where nothing is changed: the reason, with the file as it was."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from instances.engine import authorise
from instances.engine.authorise import Placed, place, remove, try_out
from instances.engine.errors import AuthoriseRefused
from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.testing import Scene, ScriptedConnection, ScriptedTransport
from instances.engine.types import KeyAuth, Target
from tests.instances.engine.authorise.keys import BLOB, LINE, OTHER, PAIR
from tests.support.authorized_keys import Home
from tests.support.sshd import Sshd

pytestmark = pytest.mark.sshd


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
