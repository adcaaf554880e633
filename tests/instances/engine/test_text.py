from hypothesis import given
from hypothesis import strategies as st

from instances.engine.text import Decoder, tail


@given(st.text(), st.integers(1, 5))
def test_letters_survive_any_chunking(text: str, size: int) -> None:
    data = text.encode()
    decoder = Decoder()
    pieces = [decoder.decode(data[begin : begin + size]) for begin in range(0, len(data), size)]
    assert "".join(pieces) + decoder.decode(b"", is_last=True) == text


def test_what_is_no_text_is_shown_as_such() -> None:
    decoder = Decoder()
    assert decoder.decode(b"a\xffb\xc3") == "a\ufffdb"
    assert decoder.decode(b"", is_last=True) == "\ufffd"


def test_code_pages_of_windows() -> None:
    assert Decoder("cp850").decode(b"\x81") == "ü"


def test_the_tail_begins_at_a_letter() -> None:
    assert tail("aüb".encode(), 2) == "b"
    assert tail(b"abc", 10) == "abc"
    assert tail(b"\x80\x80", 1) == ""
