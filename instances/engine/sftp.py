"""Owns SFTP: ``transport.Files`` over asyncssh's client, which ssh.py makes; its errors in the engine's words."""

import asyncio
import stat
from collections.abc import Awaitable
from typing import Any, TypeVar

from instances.engine.errors import ConnectionLost, FileRefused
from instances.engine.transport import Seen

# One request, or one piece of up to a megabyte, takes less than this on a line that is alive.
STALL_S = 60.0
NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, NO_CONNECTION, LOST, UNSUPPORTED = 2, 3, 4, 6, 7, 8
_WORDS = {
    NO_SUCH_FILE: ("no_such_file", "There is no such file or folder."),
    PERMISSION_DENIED: ("permission_denied", "The user who signs in may not do this there."),
    UNSUPPORTED: ("unsupported", "The server cannot do this."),
    14: ("no_space", "The disk of the instance is full."),
    15: ("no_space", "The user's share of the instance's disk is full."),
}

Result = TypeVar("Result")


class Sftp:
    """Files over SFTP version 3; ``private`` are the attributes of a new file, and ``error`` what the client raises."""

    def __init__(self, client: Any, error: type[Exception], private: Any) -> None:
        self._client = client
        self._error = error
        self._private = private

    async def look(self, path: bytes, *, follow: bool) -> Seen | None:
        """Say what is there; None for nothing."""
        ask = self._client.stat if follow else self._client.lstat
        try:
            found = await self.wait(ask(path))
        except FileRefused as refused:
            if refused.reason == "no_such_file":
                return None
            raise
        mode = found.permissions or 0
        return Seen(stat.S_ISREG(mode), found.size or 0, stat.S_IMODE(mode), found.uid or 0, found.gid or 0)

    async def create(self, path: bytes) -> "SftpFile":
        """Open a new file for writing, mode 0600."""
        # Exclusive also refuses a symbolic link of that name, so that nothing is written through one.
        return SftpFile(self, await self.wait(self._client.open(path, "xb", self._private, encoding=None)))

    async def open(self, path: bytes) -> "SftpFile":
        """Open a file for reading."""
        return SftpFile(self, await self.wait(self._client.open(path, "rb", encoding=None)))

    async def rename(self, old: bytes, new: bytes, *, replace: bool) -> None:
        """Rename in one step; OpenSSH's plain rename refuses a name that is taken, its own extension replaces it."""
        await self.wait((self._client.posix_rename if replace else self._client.rename)(old, new))

    async def remove(self, path: bytes) -> None:
        """Remove a file."""
        await self.wait(self._client.remove(path))

    async def is_full(self, path: bytes) -> bool:
        """Say whether the disk of this path has no room left; False where the server cannot tell."""
        try:
            return bool((await self.wait(self._client.statvfs(path))).bavail == 0)
        except FileRefused:
            return False

    def close(self) -> None:
        """Give up the channel."""
        self._client.exit()

    async def wait(self, request: Awaitable[Result]) -> Result:
        """Wait for an answer. Raises: FileRefused, ConnectionLost."""
        try:
            async with asyncio.timeout(STALL_S):
                return await request
        except self._error as error:
            code = int(getattr(error, "code", FAILURE))
            if code in {NO_CONNECTION, LOST}:
                raise ConnectionLost from None
            reason, sentence = _WORDS.get(code, ("failure", "The server could not do it, and does not say why."))
            raise FileRefused(sentence, reason=reason) from None
        except TimeoutError:
            raise ConnectionLost("The instance did not answer in time.") from None
        except OSError:
            raise ConnectionLost from None


class SftpFile:
    """An open file over SFTP; large pieces travel as many requests at once."""

    def __init__(self, files: Sftp, file: Any) -> None:
        self._files = files
        self._file = file

    async def read(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        return bytes(await self._files.wait(self._file.read(size, offset)))

    async def write(self, data: bytes, offset: int) -> None:
        """Write all of it."""
        await self._files.wait(self._file.write(data, offset))

    async def sync(self) -> None:
        """Have it written to the disk, where the server can do that."""
        try:
            await self._files.wait(self._file.fsync())
        except FileRefused as refused:
            if refused.reason != "unsupported":
                raise

    async def owner(self) -> tuple[int, int]:
        """Return the numbers of its user and group."""
        found = await self._files.wait(self._file.stat())
        return found.uid or 0, found.gid or 0

    async def set_owner(self, uid: int, gid: int) -> None:
        """Change its user and group; by its handle, as another file may stand at the path by now."""
        await self._files.wait(self._file.chown(uid, gid))

    async def set_mode(self, mode: int) -> None:
        """Change its mode."""
        await self._files.wait(self._file.chmod(mode))

    async def close(self) -> None:
        """Close it."""
        await self._files.wait(self._file.close())


def no_sftp() -> FileRefused:
    """Return the error of a machine that serves no files."""
    return FileRefused("The instance serves no files over SFTP.", reason="no_sftp")
