"""Owns files to and from a machine: send one, fetch one; whatever breaks on the way leaves the old file as it was.

A file is written under a name of its own in the target's folder and renamed once its checksum is right, there and here.
Only paths that the caller gave are used: no name that the machine says.
"""

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from instances.engine.errors import EngineError, FileRefused
from instances.engine.sftp import STALL_S
from instances.engine.transport import Connection, Files, OpenFile, Seen, ask

PIECE_BYTES = 1024 * 1024
# A gigabyte takes a machine a few seconds.
CHECKSUM_S = 300.0
PATH_LIMIT = 4096

Progress = Callable[[int], None]
Reconnect = Callable[[], AbstractAsyncContextManager[Connection]]


class Overwrite(StrEnum):
    """What happens to a file that is at the target path already."""

    REFUSE = "refuse"
    REPLACE = "replace"
    IF_DIFFERENT = "if_different"


@dataclass(frozen=True)
class Wanted:
    """How a sent file is to be. ``path`` may begin with ``~/``; a relative one begins at home.

    ``mode`` None: the old file's, or 0644. ``owner``: "user", "user:group" or ":group", names or numbers; empty keeps
    the old file's as far as the one who signs in may.
    """

    path: str
    overwrite: Overwrite = Overwrite.REFUSE
    mode: int | None = None
    owner: str = ""


@dataclass(frozen=True)
class Sent:
    """A file that is in place; ``is_changed`` False: the same was there before. ``sha256`` is what the machine has."""

    size: int
    sha256: str
    is_changed: bool = True


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched."""

    size: int
    sha256: str


async def send(
    connection: Connection, source: Path, wanted: Wanted, *, progress: Progress, reconnect: Reconnect | None = None
) -> Sent:
    """Put a local file in place. ``progress`` gets the bytes sent so far; ``reconnect`` tidies up after a cut.

    Raises: FileRefused, ConnectionLost, with the target as it was, and without a rest of ours unless the machine can no
    longer be reached; as ``Connection.files``.
    """
    path = path_of(wanted.path)
    size, digest = await asyncio.to_thread(_sum_of, source)
    files = await connection.files()
    try:
        old = await files.look(path, follow=False)
        if await _is_settled(connection, files, path, old, wanted.overwrite, (size, digest)):
            return Sent(size, digest, is_changed=False)
        temporary = _beside(path)
        try:
            file = await files.create(temporary)
            await _write(files, file, source, temporary, size, progress)
            there = await _sum_there(connection, temporary) or await _sum_read_back(files, temporary)
            if there != digest:
                raise FileRefused("What arrived is not what was sent.", reason="checksum")
            await _dress(connection, file, wanted, old)
            await file.close()
            await _put(files, temporary, path, replace=wanted.overwrite is not Overwrite.REFUSE)
        except BaseException:
            await asyncio.shield(_tidy(files, temporary, reconnect))
            raise
    finally:
        files.close()
    return Sent(size, digest)


async def fetch(connection: Connection, path: str, target: Path, *, limit_bytes: int, progress: Progress) -> Fetched:
    """Fetch a file to a local path, which must be in a folder of the caller's; symbolic links are followed there.

    Raises: FileRefused, ConnectionLost, with nothing at the local path but what was there; as ``Connection.files``.
    """
    remote = path_of(path)
    part = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
    files = await connection.files()
    try:
        seen = await files.look(remote, follow=True)
        if seen is None:
            raise FileRefused("There is no such file.", reason="no_such_file")
        if not seen.is_file:
            raise FileRefused("This is no ordinary file.", reason="not_a_file")
        if seen.size > limit_bytes:
            raise _too_big(limit_bytes)
        size, digest = await _read(files, remote, part, limit_bytes, progress)
        theirs = await _sum_there(connection, remote)
        if theirs not in {"", digest}:
            raise FileRefused("The file was changed while it was fetched.", reason="changed")
        part.replace(target)
    finally:
        files.close()
        part.unlink(missing_ok=True)
    return Fetched(size, digest)


def path_of(text: str) -> bytes:
    """Return a path as the machine takes it. Raises: FileRefused for none, or one that cannot be.

    ``~name`` is refused: a shell reads it as the home folder of somebody, SFTP as a file of that name.
    """
    path = text.removeprefix("~/")
    if text.startswith("~") and path == text:
        path = ""
    data = path.encode("utf-8", "surrogateescape")
    if (
        not data
        or b"\0" in data
        or len(data) > PATH_LIMIT
        or data.endswith((b"/", b"/.", b"/.."))
        or data in {b".", b".."}
    ):
        raise FileRefused("Name a file by its whole path, such as /etc/motd or ~/notes.txt.", reason="bad_path")
    return data


# ------------------------------------------------------------------ sending


async def _is_settled(
    connection: Connection, files: Files, path: bytes, old: Seen | None, overwrite: Overwrite, wanted: tuple[int, str]
) -> bool:
    """Say whether nothing is to be done. Raises: FileRefused where something is in the way."""
    if old is None:
        return False
    if not old.is_file:
        raise FileRefused("A folder, a symbolic link or a device is at this path.", reason="not_a_file")
    if overwrite is Overwrite.REFUSE:
        raise FileRefused("There is a file at this path already.", reason="exists")
    if overwrite is Overwrite.REPLACE or old.size != wanted[0]:
        return False
    return (await _sum_there(connection, path) or await _sum_read_back(files, path)) == wanted[1]


def _beside(path: bytes) -> bytes:
    folder, slash, _ = path.rpartition(b"/")
    return folder + slash + b".muster-" + secrets.token_hex(12).encode()


async def _write(files: Files, file: OpenFile, source: Path, temporary: bytes, size: int, progress: Progress) -> None:
    sent = 0
    try:
        with await asyncio.to_thread(source.open, "rb") as local:
            while data := await asyncio.to_thread(local.read, PIECE_BYTES):
                await file.write(data, sent)
                sent += len(data)
                progress(sent)
        await file.sync()
    except FileRefused as refused:
        if refused.reason == "failure" and await files.is_full(temporary):
            raise FileRefused("The disk of the instance is full.", reason="no_space") from None
        raise
    if sent != size:
        raise FileRefused("The file to send was changed meanwhile.", reason="changed")


async def _dress(connection: Connection, file: OpenFile, wanted: Wanted, old: Seen | None) -> None:
    """Give the new file its owner and mode, in this order: a change of owner takes set-id bits away."""
    if wanted.owner:
        uid, gid = await _numbers_of(connection, wanted.owner, await file.owner())
        await file.set_owner(uid, gid)
    elif old is not None:
        # An ordinary user cannot give a file away; then it is the user's, as with any editor.
        with suppress(FileRefused):
            await file.set_owner(old.uid, old.gid)
    await file.set_mode(wanted.mode if wanted.mode is not None else old.mode if old else 0o644)


async def _put(files: Files, temporary: bytes, path: bytes, *, replace: bool) -> None:
    try:
        await files.rename(temporary, path, replace=replace)
    except FileRefused as refused:
        if not replace and await files.look(path, follow=False) is not None:
            raise FileRefused("There is a file at this path already.", reason="exists") from None
        if refused.reason == "unsupported":
            raise FileRefused("The server cannot replace a file in one step.", reason="unsupported") from None
        raise


async def _tidy(files: Files, temporary: bytes, reconnect: Reconnect | None) -> None:
    """Remove what was written, over a new connection if the one it came over is gone."""
    try:
        await files.remove(temporary)
    except FileRefused:
        return
    except EngineError:
        if reconnect is None:
            return
        with suppress(EngineError):
            async with reconnect() as connection:
                again = await connection.files()
                await again.remove(temporary)
                again.close()


# ------------------------------------------------------------------ fetching, checksums, owners


async def _read(files: Files, remote: bytes, part: Path, limit_bytes: int, progress: Progress) -> tuple[int, str]:
    file = await files.open(remote)
    digest, size = hashlib.sha256(), 0
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as local:
        while data := await file.read(PIECE_BYTES, size):
            size += len(data)
            if size > limit_bytes:
                raise _too_big(limit_bytes)
            digest.update(data)
            await asyncio.to_thread(local.write, data)
            progress(size)
        local.flush()
        await asyncio.to_thread(os.fsync, local.fileno())
    await file.close()
    return size, digest.hexdigest()


def _too_big(limit_bytes: int) -> FileRefused:
    return FileRefused(f"The file is longer than {limit_bytes:,} bytes.", reason="too_big")


def _sum_of(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest


_SUM = (
    'IFS= read -r n && p=$(cat; echo .) || exit 1; p=${p%.}; exec <"$p" || exit 1; '
    's=$(sha256sum 2>/dev/null || shasum -a 256 2>/dev/null) || exit 1; echo "$n $s"'
)
_OWNER = (
    "IFS= read -r n && IFS= read -r u && IFS= read -r g || exit 1; "
    'if [ -n "$u" ]; then u=$(id -u -- "$u") || exit 1; fi; '
    'if [ -n "$g" ]; then g=$(getent group -- "$g") || exit 1; g=${g#*:}; g=${g#*:}; g=${g%%:*}; fi; '
    'echo "$n $u:$g"'
)


async def _sum_there(connection: Connection, path: bytes) -> str:
    """Ask the machine for a checksum; empty where it cannot tell, as behind a chroot or without a shell."""
    nonce = secrets.token_hex(16)
    with suppress(FileRefused):
        try:
            request = f"exec /bin/sh -c '{_SUM}'"
            fed = nonce.encode() + b"\n" + path
            answer = await ask(connection, request, stdin=fed, timeout_s=CHECKSUM_S)
        except EngineError as error:
            if error.reason in {"bootstrap", "channel_refused"}:
                return ""
            raise
        found = re.search(rf"^{nonce} ([0-9a-f]{{64}})\b".encode(), answer, re.MULTILINE)
        return found[1].decode() if found else ""
    return ""


async def _sum_read_back(files: Files, path: bytes) -> str:
    file = await files.open(path)
    digest, offset = hashlib.sha256(), 0
    while data := await file.read(PIECE_BYTES, offset):
        digest.update(data)
        offset += len(data)
    await file.close()
    return digest.hexdigest()


async def _numbers_of(connection: Connection, owner: str, here: tuple[int, int]) -> tuple[int, int]:
    """Return the numbers of "user:group"; what is not named stays as it is."""
    if not re.fullmatch(r"[\w.@\\-]*(:[\w.@\\-]*)?", owner, re.ASCII) or owner.startswith("-") or ":-" in owner:
        raise FileRefused("An owner looks like: user, user:group or :group.", reason="bad_owner")
    user, _, group = owner.partition(":")
    if not (user.isdigit() or not user) or not (group.isdigit() or not group):
        nonce = secrets.token_hex(16)
        names = ["" if word.isdigit() else word for word in (user, group)]
        fed = "\n".join([nonce, *names, ""]).encode()
        answer = await ask(connection, f"exec /bin/sh -c '{_OWNER}'", stdin=fed, timeout_s=STALL_S)
        found = re.search(rf"^{nonce} (\d*):(\d*)$".encode(), answer, re.MULTILINE)
        if found is None:
            raise FileRefused("The instance knows no such user or group.", reason="no_such_owner")
        user, group = (
            own if own.isdigit() else said.decode() for own, said in zip((user, group), found.groups(), strict=True)
        )
    return int(user or here[0]), int(group or here[1])
