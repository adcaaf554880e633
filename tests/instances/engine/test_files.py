import asyncio
import hashlib
import os
import pwd
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from instances.engine import files
from instances.engine.errors import ConnectionLost, EngineError, FileRefused
from instances.engine.files import Fetched, Overwrite, Sent, Wanted
from instances.engine.local import LocalTransport
from instances.engine.pool import Pool
from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.transport import Connection
from instances.engine.types import Target
from tests.support.sshd import Sshd, running_sshd

pytestmark = pytest.mark.sshd
CONTENT = bytes(range(256)) * 20 + b"\r\nno newline at the end"
OLD = b"what was there before\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running_sshd(Subsystem="sftp internal-sftp") as server:
        yield server


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def home(user: str) -> Iterator[Path]:
    """A folder of the account's own."""
    entry = pwd.getpwnam(user)
    folder = Path(entry.pw_dir) / "files"
    folder.mkdir()
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def target(sshd: Sshd, user: str) -> Target:
    return sshd.target(user=user)


@pytest.fixture
async def connection(target: Target) -> AsyncIterator[SSHConnection]:
    found = await SSHTransport().connect(target)
    yield found
    found.close()
    await found.wait_closed()


def old_file(home: Path, user: str, mode: int = 0o640) -> Path:
    path = home / "target"
    path.write_bytes(OLD)
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(mode)
    return path


def quiet(_: int) -> None:
    pass


async def send(connection: Connection, source: Path, path: object, **fields: Any) -> Sent:
    return await files.send(connection, source, Wanted(str(path), **fields), progress=quiet)


def nature(path: Path) -> tuple[int, str]:
    seen = path.stat()
    return stat.S_IMODE(seen.st_mode), pwd.getpwuid(seen.st_uid).pw_name


async def refused(reason: str, attempt: Any) -> None:
    with pytest.raises(FileRefused) as raised:
        await attempt
    assert raised.value.reason == reason


# ------------------------------------------------------------------ send


@pytest.mark.parametrize(
    "name", ["plain", "with blanks  and 'quotes' \"too\"", "line\nend\n", "$(id)`id`;*?", "-rf", "é", "\\n", "# !x"]
)
async def test_a_file_arrives_byte_for_byte_under_any_name(
    connection: SSHConnection, home: Path, user: str, source: Path, name: str
) -> None:
    said: list[int] = []
    sent = await files.send(connection, source, Wanted(f"{home}/{name}"), progress=said.append)
    assert sent == Sent(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (home / name).read_bytes() == CONTENT
    assert nature(home / name) == (0o644, user)
    assert names(home) == [name]
    assert said[-1] == len(CONTENT)


@pytest.mark.parametrize("path", ["files/here", "~/files/here"])
async def test_a_path_may_begin_at_home(connection: SSHConnection, home: Path, source: Path, path: str) -> None:
    await send(connection, source, path)
    assert (home / "here").read_bytes() == CONTENT


async def test_an_empty_file_can_be_sent(connection: SSHConnection, home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert (await send(connection, tmp_path / "empty", home / "x")).size == 0
    assert (home / "x").read_bytes() == b""


async def test_what_is_there_is_kept_unless_told_otherwise(
    connection: SSHConnection, home: Path, user: str, source: Path
) -> None:
    old = old_file(home, user)
    await refused("exists", send(connection, source, old))
    assert (old.read_bytes(), nature(old)) == (OLD, (0o640, user))
    assert (await send(connection, source, old, overwrite=Overwrite.REPLACE)).is_changed
    assert (old.read_bytes(), nature(old)) == (CONTENT, (0o640, user))
    assert names(home) == ["target"]


async def test_the_same_is_left_where_only_something_different_is_replaced(
    connection: SSHConnection, home: Path, user: str, source: Path
) -> None:
    old = old_file(home, user)
    assert (await send(connection, source, old, overwrite=Overwrite.IF_DIFFERENT)).is_changed
    seen = old.stat()
    assert not (await send(connection, source, old, overwrite=Overwrite.IF_DIFFERENT)).is_changed
    assert old.stat().st_ino == seen.st_ino
    old.write_bytes(CONTENT[::-1])
    assert (await send(connection, source, old, overwrite=Overwrite.IF_DIFFERENT)).is_changed
    assert old.read_bytes() == CONTENT


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o4750, 0o444])
async def test_the_mode_is_as_asked(connection: SSHConnection, home: Path, user: str, source: Path, mode: int) -> None:
    await send(connection, source, home / "x", mode=mode)
    assert nature(home / "x") == (mode, user)


async def test_root_gives_a_file_to_a_user_by_name_and_number(sshd: Sshd, home: Path, user: str, source: Path) -> None:
    entry = pwd.getpwnam(user)
    root = await SSHTransport().connect(sshd.target())
    try:
        for number, owner in enumerate((user, f"{user}:{entry.pw_gid}", f"{entry.pw_uid}:daemon", ":daemon")):
            path = home / str(number)
            await send(root, source, path, owner=owner, mode=0o4711)
            assert path.stat().st_uid == (entry.pw_uid if number < 3 else 0)
            assert path.stat().st_gid == [0, entry.pw_gid, 1, 1][number]
            assert stat.S_IMODE(path.stat().st_mode) == 0o4711
        await refused("no_such_owner", send(root, source, home / "x", owner="nobody-here"))
        await refused("bad_owner", send(root, source, home / "x", owner="-x; id"))
        # What belonged to somebody still does.
        old = old_file(home, user)
        await send(root, source, old, overwrite=Overwrite.REPLACE)
        assert nature(old) == (0o640, user)
    finally:
        root.close()
    assert not [name for name in names(home) if name.startswith(".") or name == "x"]


async def test_an_owner_one_may_not_give_is_refused(
    connection: SSHConnection, home: Path, user: str, source: Path
) -> None:
    old = old_file(home, user)
    await refused("permission_denied", send(connection, source, old, owner="root", overwrite=Overwrite.REPLACE))
    assert old.read_bytes() == OLD
    assert names(home) == ["target"]


async def test_what_is_no_file_is_never_replaced(
    connection: SSHConnection, home: Path, user: str, source: Path
) -> None:
    old = old_file(home, user)
    (home / "link").symlink_to(old)
    (home / "folder").mkdir()
    for name in ("link", "folder"):
        await refused("not_a_file", send(connection, source, home / name, overwrite=Overwrite.REPLACE))
    assert old.read_bytes() == OLD
    await refused("no_such_file", send(connection, source, home / "none" / "x"))
    await refused("permission_denied", send(connection, source, "/etc/muster-test"))
    for path in ("", "/", "x/", ".", "a/..", "~/", "~", "~root/x", "nul\0", "x" * 5000):
        await refused("bad_path", send(connection, source, path))
    assert names(home) == ["folder", "link", "target"]


@contextmanager
def small_disk(home: Path) -> Iterator[Path]:
    disk = home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_on_a_full_disk_the_old_file_stays_and_no_other(
    connection: SSHConnection, home: Path, user: str, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 3_000_000)
    with small_disk(home) as disk:
        old = old_file(disk, user)
        await refused("no_space", send(connection, big, old, overwrite=Overwrite.REPLACE))
        assert old.read_bytes() == OLD
        assert names(disk) == ["target"]


async def test_a_cut_leaves_the_old_file_and_what_was_written_is_removed(
    connection: SSHConnection, home: Path, user: str, target: Target, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(8_000_000))
    old = old_file(home, user)
    seen: list[list[str]] = []

    def cut(sent: int) -> None:
        if sent > 2_000_000 and not seen:
            seen.append(names(home))
            connection.close()

    @asynccontextmanager
    async def reconnect() -> AsyncIterator[Connection]:
        again = await SSHTransport().connect(target)
        yield again
        again.close()

    wanted = Wanted(str(old), overwrite=Overwrite.REPLACE)
    with pytest.raises(ConnectionLost):
        await files.send(connection, big, wanted, progress=cut, reconnect=reconnect)
    assert len(seen[0]) == 2
    assert old.read_bytes() == OLD
    assert names(home) == ["target"]


async def test_cancelling_leaves_the_old_file_and_no_other(
    connection: SSHConnection, home: Path, user: str, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(8_000_000))
    old = old_file(home, user)
    begun = asyncio.Event()
    wanted = Wanted(str(old), overwrite=Overwrite.REPLACE)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(files.send(connection, big, wanted, progress=lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        task.cancel()
    assert old.read_bytes() == OLD
    assert names(home) == ["target"]


async def test_thirty_megabytes_arrive_and_come_back(connection: SSHConnection, home: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    piece = os.urandom(1_000_003)
    with big.open("wb") as file:
        for _ in range(30):
            file.write(piece)
    sent = await send(connection, big, home / "big")
    with (home / "big").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert sent == Sent(30_000_090, digest)
    back = await files.fetch(connection, f"{home}/big", tmp_path / "back", limit_bytes=2**30, progress=quiet)
    assert back == Fetched(30_000_090, digest)
    assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == digest


async def test_without_a_shell_the_checksum_is_read_back(home: Path, user: str, source: Path, tmp_path: Path) -> None:
    """Accounts for files only: sshd runs nothing else for them."""
    with running_sshd(Subsystem="sftp internal-sftp", ForceCommand="internal-sftp") as server:
        found = await SSHTransport().connect(server.target(user=user))
        sent = await send(found, source, home / "x")
        fetched = await files.fetch(found, f"{home}/x", tmp_path / "x", limit_bytes=10**6, progress=quiet)
        found.close()
    assert sent.sha256 == fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (home / "x").read_bytes() == CONTENT


async def test_a_pool_lends_its_connection_for_files_too(target: Target, home: Path, source: Path) -> None:
    pool = Pool(lambda _: SSHTransport())
    async with pool.borrow(target) as lent:
        await send(lent, source, home / "x")
    await pool.close()
    assert (home / "x").read_bytes() == CONTENT


async def test_a_machine_without_sftp_says_so(user: str, source: Path) -> None:
    with running_sshd() as server:
        found = await SSHTransport().connect(server.target(user=user))
        await refused("no_sftp", send(found, source, "x"))
        found.close()
    local = await LocalTransport().connect(Target("local", "here", "localhost", 0, None, (), is_local=True))
    await refused("no_sftp", send(local, source, "x"))


# ------------------------------------------------------------------ fetch


async def test_what_cannot_be_fetched_leaves_nothing_here(
    connection: SSHConnection, home: Path, user: str, tmp_path: Path
) -> None:
    old = old_file(home, user)
    kept = tmp_path / "kept"
    kept.write_bytes(b"mine")
    for path, limit, reason in (
        (home / "none", 10**6, "no_such_file"),
        (home, 10**6, "not_a_file"),
        ("/dev/zero", 10**6, "not_a_file"),
        ("/etc/shadow", 10**6, "permission_denied"),
        (old, len(OLD) - 1, "too_big"),
    ):
        attempt = files.fetch(connection, str(path), kept, limit_bytes=limit, progress=quiet)
        await refused(reason, attempt)
    assert kept.read_bytes() == b"mine"
    assert names(tmp_path) == ["kept"]


async def test_a_file_that_says_it_is_empty_is_still_limited(connection: SSHConnection, tmp_path: Path) -> None:
    """Files in /proc have a size of 0 and yet something in them."""
    await refused("too_big", files.fetch(connection, "/proc/cpuinfo", tmp_path / "x", limit_bytes=10, progress=quiet))
    assert names(tmp_path) == []


async def test_a_cut_while_fetching_leaves_what_was_here(connection: SSHConnection, home: Path, tmp_path: Path) -> None:
    (home / "big").write_bytes(os.urandom(8_000_000))
    kept = tmp_path / "kept"
    kept.write_bytes(b"mine")

    def cut(got: int) -> None:
        if got > 2_000_000:
            connection.close()

    with pytest.raises(EngineError):
        await files.fetch(connection, f"{home}/big", kept, limit_bytes=10**9, progress=cut)
    assert kept.read_bytes() == b"mine"
    assert names(tmp_path) == ["kept"]
