from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from instances.engine.header import Header
from instances.engine.shells import HEADER_BYTES
from instances.engine.types import Started, Stream
from tests.instances.engine.conftest import Recorder

NONCE = b"0123456789abcdef"


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(
    noise=st.binary(max_size=200),
    output=st.binary(max_size=400),
    errors=st.binary(max_size=400),
    cuts=st.lists(st.integers(0, 2000), max_size=30),
    between=st.sampled_from([b"", b"noise\n", b"\n\n"]),
)
def test_any_chunking_gives_the_same_split(
    noise: bytes, output: bytes, errors: bytes, cuts: list[int], between: bytes
) -> None:
    sink = Recorder()
    header = Header(NONCE, sink)
    for piece in pieces_of(noise + NONCE + b" 4242 77\n" + between + NONCE + b" ok\n" + output, cuts):
        header.write(Stream.STDOUT, piece)
    for piece in pieces_of(noise + NONCE + b"\n" + errors, cuts):
        header.write(Stream.STDERR, piece)
    assert header.started == Started(4242, "77")
    assert header.verdict == "ok"
    assert bytes(sink.stdout) == output
    assert bytes(sink.stderr) == errors


@given(st.binary(max_size=300), st.lists(st.integers(0, 2000), max_size=30))
def test_nothing_passes_before_the_verdict(noise: bytes, cuts: list[int]) -> None:
    sink = Recorder()
    header = Header(NONCE, sink)
    for piece in pieces_of(noise + NONCE + b" 1 2\n" + noise, cuts):
        header.write(Stream.STDOUT, piece)
    assert (bytes(sink.stdout), header.verdict) == (b"", "")


@given(
    output=st.binary(max_size=200) | st.lists(st.sampled_from([b"\0", NONCE, b"\0" + NONCE[:9], b"a\n"])).map(b"".join),
    late=st.binary(max_size=50),
    code=st.integers(-(2**31), 2**31 - 1),
    cuts=st.lists(st.integers(0, 2000), max_size=30),
)
def test_the_exit_line_is_taken_out_in_any_chunking(output: bytes, late: bytes, code: int, cuts: list[int]) -> None:
    sink = Recorder()
    header = Header(NONCE, sink, has_exit_line=True)
    line = b"\0%b exit %d\n" % (NONCE, code)
    # Nothing that runs there knows the nonce. What is taken out can leave another one behind.
    while b"\0" + NONCE in output:
        output = output.replace(b"\0" + NONCE, b"")
    for piece in pieces_of(NONCE + b" 5 6\n" + NONCE + b" ok\n" + output + line + late, cuts):
        header.write(Stream.STDOUT, piece)
    assert (bytes(sink.stdout), header.exit_code) == (output + late, code)


@given(
    output=st.binary(max_size=200),
    end=st.integers(0, len(NONCE) + 8),
    cuts=st.lists(st.integers(0, 2000), max_size=30),
)
def test_output_without_a_whole_exit_line_is_all_passed_on(output: bytes, end: int, cuts: list[int]) -> None:
    sink = Recorder()
    header = Header(NONCE, sink, has_exit_line=True)
    output += (b"\0%b exit 3\n" % NONCE)[:end]
    for piece in pieces_of(NONCE + b" 5 6\n" + NONCE + b" ok\n" + output, cuts):
        header.write(Stream.STDOUT, piece)
    header.release()
    assert (bytes(sink.stdout), header.exit_code) == (output, None)


def test_a_verdict_other_than_ok_opens_nothing() -> None:
    sink = Recorder()
    header = Header(NONCE, sink)
    header.write(Stream.STDOUT, NONCE + b" 5\n" + NONCE + b" cwd_missing\nmore")
    assert header.started == Started(5, "")
    assert header.verdict == "cwd_missing"
    assert bytes(sink.stdout) == b""


def test_noise_without_end_is_given_up() -> None:
    header = Header(NONCE, Recorder())
    for _ in range(HEADER_BYTES // 1024 + 1):
        header.write(Stream.STDERR, b"e" * 1024)
        header.write(Stream.STDOUT, b"n" * 1024)
    assert header.is_hopeless
    assert "nnn" in header.noise
