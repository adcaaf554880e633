"""Reads the Range header of a download; Django has no support of its own."""

import re

_BYTES = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*")


class Unsatisfiable(Exception):
    """The range starts behind the end; the answer is 416 with the size."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return (start, stop) with stop excluded, or None when the whole is to be sent.

    One range only: several, another unit or nonsense mean the whole, as RFC 9110 section 14.2 allows.
    Raises: Unsatisfiable.
    """
    match = _BYTES.fullmatch(header)
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise Unsatisfiable
    return start, stop
