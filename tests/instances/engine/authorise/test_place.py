"""One line into a real account's file, out of it again, and several consoles at once."""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instances.engine.authorise import Placed, Removed, line_of, place, remove
from instances.engine.errors import AuthFailed, AuthoriseRefused
from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.types import Target
from tests.instances.credentials.keys import key_pair
from tests.instances.engine.authorise.keys import BLOB, LINE, OTHER, PAIR, signs_in
from tests.support.authorized_keys import Home

pytestmark = pytest.mark.sshd


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


@pytest.fixture
def slept(account: str) -> Iterator[Callable[[], str]]:
    """The account's sleep notes how long it was asked to, and does not; this tells."""
    home = Path(f"/home/{account}")
    notes, program, profile = home / "slept", home / "quick" / "sleep", home / ".bashrc"
    usual = profile.read_text()
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{notes}\n')
    program.chmod(0o755)
    notes.touch()
    notes.chmod(0o666)
    profile.write_text(f"export PATH={program.parent}:$PATH\n")
    yield notes.read_text
    profile.write_text(usual)


async def test_the_lock_of_a_living_console_is_waited_for_and_kept(
    connection: SSHConnection, home: Home, slept: Callable[[], str]
) -> None:
    old = home.write(f"{OTHER}\n".encode())
    lock = home.folder / "authorized_keys.muster-lock"
    lock.mkdir()
    home.own(lock, 0o700)
    with pytest.raises(AuthoriseRefused) as raised:
        await place(connection, LINE)
    assert raised.value.reason == "locked"
    assert slept() == "1\n" * 20
    assert home.file.read_bytes() == old
    assert lock.exists()
