from hypothesis import given
from hypothesis import strategies as st

from instances.engine.text import Decoder, decode, letters_of, tail


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


def test_lines_that_are_no_utf_8_are_of_the_code_page() -> None:
    data = "grün\r\n".encode() + "Größe ─┐\r\n".encode("cp850") + b"plain\n"
    assert decode(data, "850") == "grün\r\nGröße ─┐\r\nplain\n"
    assert decode("日本\n".encode("cp932"), "932") == "日本\n"


@given(st.binary(), st.sampled_from(["", "65001", "850", "437", "932", "x", "0"]))
def test_any_bytes_become_text(data: bytes, code_page: str) -> None:
    assert isinstance(decode(data, code_page), str)


@given(st.text(), st.sampled_from(["", "850", "932"]))
def test_utf_8_is_utf_8_whatever_the_code_page(text: str, code_page: str) -> None:
    assert decode(text.encode(), code_page) == text


def test_browsers_get_128_letters_or_none() -> None:
    assert letters_of("850").startswith("Çüéâäàåçêëèïîì")
    assert len(letters_of("850")) == 128
    assert letters_of("932") == letters_of("65001") == letters_of("") == letters_of("99999") == ""
