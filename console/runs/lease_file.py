"""Owns the lock files of workers: who holds one lives, however little the database could be written lately."""

import fcntl
import uuid
from contextlib import suppress
from pathlib import Path

from django.conf import settings


class LeaseFile:
    """The lock that proves a worker alive: the kernel frees it however the process ends.

    It says for which run the worker works alone; nothing for one that takes whatever waits.
    """

    def __init__(self, worker_id: uuid.UUID, run_id: int | None = None) -> None:
        self._path = _path_of(worker_id)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._file.write("" if run_id is None else str(run_id))
        self._file.flush()

    def release(self) -> None:
        """Free the lock and remove its file."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def is_held(worker_id: uuid.UUID) -> bool:
    """Say whether a worker holds its lock."""
    with suppress(FileNotFoundError), _path_of(worker_id).open() as file:
        try:
            # Shared: somebody else who asks at the same time must not look like the worker.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def takes_everything(worker_id: uuid.UUID) -> bool:
    """Say whether a worker takes whatever waits, and does not work for one run alone."""
    with suppress(FileNotFoundError):
        return not _path_of(worker_id).read_text()
    return False


def remove(worker_id: uuid.UUID) -> None:
    """Remove the file of a worker that is dead."""
    _path_of(worker_id).unlink(missing_ok=True)


def _path_of(worker_id: uuid.UUID) -> Path:
    return Path(settings.DATA_DIR) / "workers" / f"{worker_id}.lock"
