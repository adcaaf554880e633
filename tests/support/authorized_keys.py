"""An account whose ``~/.ssh`` belongs to it alone, and how sshd is set up on ordinary machines."""

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.sshd import ordinary_user, set_password

PASSWORD = "todays password"
# Passwords, keys from the home folder, and no patience with loose modes.
STRICT = {"PasswordAuthentication": "yes", "AuthorizedKeysFile": ".ssh/authorized_keys", "StrictModes": "yes"}


@contextmanager
def account_with_password(name: str) -> Iterator[str]:
    """Make a user who signs in with ``PASSWORD``, for the block; needs root."""
    with ordinary_user(name) as made:
        set_password(made, PASSWORD)
        yield made


class Home:
    """The account's ``~/.ssh``, as root sees it."""

    def __init__(self, name: str) -> None:
        self.entry = pwd.getpwnam(name)
        self.folder = Path(self.entry.pw_dir) / ".ssh"
        self.file = self.folder / "authorized_keys"

    def own(self, path: Path, mode: int) -> None:
        os.chown(path, self.entry.pw_uid, self.entry.pw_gid, follow_symlinks=False)
        path.chmod(mode)

    def write(self, content: bytes, mode: int = 0o600) -> bytes:
        self.make_folder()
        self.file.write_bytes(content)
        self.own(self.file, mode)
        return content

    def make_folder(self, mode: int = 0o700) -> None:
        self.folder.mkdir(exist_ok=True)
        self.own(self.folder, mode)

    def clear(self) -> None:
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def nature(self) -> tuple[int, int, int]:
        seen = self.file.stat()
        return stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid
