"""Owns the files of transfers in the data folder; their names are made here and say nothing."""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

NAME = "files"
PIECE_BYTES = 256 * 1024


def folder() -> Path:
    """Return the folder, made with mode 0700 on first use."""
    path = Path(settings.DATA_DIR) / NAME
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def new_name() -> str:
    """Return a name that nobody can guess or choose."""
    return uuid.uuid4().hex


def path_of(name: str) -> Path:
    """Return where a stored file is. Raises: ValueError for what is no name of ours."""
    return folder() / uuid.UUID(hex=name).hex


def keep(pieces: Iterable[bytes], *, limit_bytes: int) -> tuple[str, int]:
    """Store a file piece by piece; return its name and size.

    Raises: OverflowError above the limit, with nothing kept.
    """
    name, size = new_name(), 0
    path = path_of(name)
    try:
        path.touch(mode=0o600)
        with path.open("wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > limit_bytes:
                    raise OverflowError
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return name, size


def pieces(name: str) -> Iterator[bytes]:
    """Yield a stored file; it is opened with the first piece and closed with the last. Raises: FileNotFoundError."""
    with path_of(name).open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def remove(names: Iterable[str]) -> None:
    """Remove stored files; what is gone already is no error."""
    for name in names:
        if name:
            path_of(name).unlink(missing_ok=True)
