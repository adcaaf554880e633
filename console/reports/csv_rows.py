"""Owns tables as CSV that a spreadsheet may open: nothing in a cell is ever taken for a formula. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

# What a spreadsheet takes for the beginning of a formula, or skips in front of one (OWASP, CSV injection; ASVS 1.2.10).
# The last four are the wide forms of the first four, which some of them read alike.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# So that a spreadsheet reads the letters as UTF-8.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BATCH_ROWS = 200

Cell = str | int | float | None


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """Return a table in the form of RFC 4180, in pieces: UTF-8 with its mark, lines that end in CR LF.

    A text that a spreadsheet would take for a formula gets a ``'`` in front. Numbers stay as they are, also negative
    ones; None is an empty cell.
    """
    yield BYTE_ORDER_MARK
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([safe(cell) if isinstance(cell, str) else cell for cell in row])
        if number % BATCH_ROWS == 0:
            yield _taken(text)
    yield _taken(text)


def safe(text: str) -> str:
    """Return a text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _taken(text: io.StringIO) -> bytes:
    written = text.getvalue().encode("utf-8", "replace")
    text.seek(0)
    text.truncate()
    return written
