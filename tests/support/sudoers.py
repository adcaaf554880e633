"""Rights to use sudo on this machine, for as long as a test needs them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

FOLDER = Path("/etc/sudoers.d")


class Sudoers:
    """One file of rules of its own; ``write`` replaces them while something runs."""

    def __init__(self) -> None:
        # sudo passes over names with a dot.
        self._path = FOLDER / f"muster-tests-{os.getpid()}-{uuid4().hex}"

    def write(self, *rules: str) -> None:
        """Put the rules in place as a whole; sudo must be able to read them."""
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(rule + "\n" for rule in rules))
        draft.chmod(0o440)
        subprocess.run(["visudo", "-cqf", str(draft)], check=True)
        draft.replace(self._path)

    def remove(self) -> None:
        """Take all rights back."""
        self._path.unlink(missing_ok=True)


@contextmanager
def sudoers(*rules: str) -> Iterator[Sudoers]:
    """Give rights for the block, such as ``alice ALL=(bob) NOPASSWD: ALL``; needs root and sudo."""
    given = Sudoers()
    try:
        given.write(*rules)
        yield given
    finally:
        given.remove()
