import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.reports.csv_rows import BYTE_ORDER_MARK, FORMULA_STARTS, csv_bytes

# The control characters that csv passes on as they are; a NUL is refused by some readers and is in no text of ours.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
CELL = st.one_of(TEXT, st.builds(str.__add__, st.sampled_from(FORMULA_STARTS), TEXT))


def read(data):
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=5))
def test_every_text_comes_back_and_none_begins_a_formula(rows):
    header, *found = read(b"".join(csv_bytes(["a", "b"], rows)))
    assert header == ["a", "b"]
    for wanted, row in zip(rows, found, strict=True):
        for text, cell in zip(wanted, row, strict=True):
            assert not cell.startswith(FORMULA_STARTS)
            assert cell == (f"'{text}" if text.startswith(FORMULA_STARTS) else text)


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"], ids=ascii
)
def test_a_formula_is_disarmed(text):
    assert read(b"".join(csv_bytes(["x"], [[text]])))[1] == [f"'{text}"]


def test_numbers_stay_numbers_and_nothing_is_empty():
    assert b"".join(csv_bytes(["a", "b", "c"], [[-1073741510, None, 0.25]])) == (
        BYTE_ORDER_MARK + b"a,b,c\r\n-1073741510,,0.25\r\n"
    )


def test_a_long_table_comes_in_pieces():
    pieces = list(csv_bytes(["n"], ([number] for number in range(1000))))
    assert max(map(len, pieces)) < 2000
    assert len(read(b"".join(pieces))) == 1001
