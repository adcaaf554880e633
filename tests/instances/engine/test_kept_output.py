"""The split of a kept shell's output, with marks that come in any pieces."""

from hypothesis import given
from hypothesis import strategies as st

from instances.engine.kept_output import KeptOutput, Marks, new_nonce
from instances.engine.types import Flow, Stream
from tests.instances.engine.conftest import Recorder

MARKS = Marks("b" * 32, "e" * 32)
SIGN = b"\x1e"
BEGIN, END = SIGN + b"b" * 32, SIGN + b"e" * 32
# Of the bytes that matter: signs, the nonces' own letters, line ends.
OUTPUT = st.lists(st.sampled_from([SIGN, b"b", b"e", b"bbbbbbbb", b"eeeeeee", b"\n", b"x", b" ", b"\0\xff"])).map(
    b"".join
)


class Brake:
    """Counts how often it was used."""

    def __init__(self) -> None:
        self.pauses = self.resumes = 0

    def pause(self) -> None:
        self.pauses += 1

    def resume(self) -> None:
        self.resumes += 1


def fed(stream: Stream, data: bytes, cuts: list[int] | None = None) -> tuple[KeptOutput, Recorder]:
    output, sink = KeptOutput(), Recorder()
    output.expect(MARKS, sink)
    at = 0
    for cut in [*sorted(cuts or []), len(data)]:
        output.write(stream, data[at:cut])
        at = cut
    return output, sink


def test_a_mark_may_be_cut_at_every_byte() -> None:
    text = b"noise" + BEGIN + b" 12 (sh) S 1\n" + b"out\x1eput" + END + b" 7\n" + b"later"
    for cut in range(len(text) + 1):
        output, sink = fed(Stream.STDOUT, text, [cut])
        assert (bytes(sink.stdout), output.begun, output.ended) == (b"out\x1eput", "12 (sh) S 1", "7")
    output, sink = fed(Stream.STDOUT, text, list(range(len(text))))
    assert (bytes(sink.stdout), output.begun, output.ended) == (b"out\x1eput", "12 (sh) S 1", "7")


@given(before=OUTPUT, inside=OUTPUT, after=OUTPUT, cuts=st.lists(st.integers(0, 200)), stream=st.sampled_from(Stream))
def test_what_is_between_the_marks_arrives_to_the_byte(
    before: bytes, inside: bytes, after: bytes, cuts: list[int], stream: Stream
) -> None:
    if any(mark in text for mark in (BEGIN, END) for text in (before, inside, after)):
        return
    output, sink = fed(stream, before + BEGIN + b" 1\n" + inside + END + b" 0\n" + after, cuts)
    taken = sink.stdout if stream is Stream.STDOUT else sink.stderr
    assert bytes(taken) == inside
    assert (output.ended == "0") == (stream is Stream.STDOUT)


def test_what_looks_like_the_beginning_of_a_mark_comes_at_the_latest_when_nothing_more_can() -> None:
    output, sink = fed(Stream.STDOUT, BEGIN + b"\n" + b"text" + END[:20])
    assert bytes(sink.stdout) == b"text"
    output.forget()
    assert bytes(sink.stdout) == b"text" + END[:20]


def test_a_command_is_complete_when_both_streams_have_ended() -> None:
    output, sink = fed(Stream.STDOUT, BEGIN + b"\n" + END + b" 3\n")
    assert (output.ended, output.is_complete) == ("3", False)
    output.write(Stream.STDERR, BEGIN + b"\nlate" + END + b"\n")
    assert (bytes(sink.stderr), output.is_complete) == (b"late", True)


def test_the_end_of_a_former_command_is_nobodys() -> None:
    output, sink = fed(Stream.STDOUT, BEGIN + b"\nfirst" + END + b" 0\n")
    output.forget()
    second = Marks()
    output.expect(second, sink)
    output.write(Stream.STDOUT, END + b" 0\nold news" + SIGN + second.begin.encode() + b"\nsecond" + END + b" 0\n")
    assert output.ended is None
    assert bytes(sink.stdout) == b"firstsecond" + END + b" 0\n"


def test_an_end_mark_that_comes_twice_counts_once() -> None:
    output, sink = fed(Stream.STDOUT, BEGIN + b"\n" + END + b" 130\n" + END + b" 0\nprompt")
    assert (output.ended, bytes(sink.stdout)) == ("130", b"")


def test_an_end_without_a_beginning_leaves_what_the_shell_said() -> None:
    output, sink = fed(Stream.STDOUT, b"sh: no: \n such thing\n" + END + b" 2\n")
    assert (output.begun, output.ended, output.noise) == (None, "2", "sh: no: such thing")
    assert sink.stdout == b""


def test_an_answer_is_taken_out_wherever_it_comes() -> None:
    output, sink = KeptOutput(), Recorder()
    nonce = new_nonce()
    output.ask(nonce)
    output.write(Stream.STDOUT, b"motd" + SIGN + nonce.encode() + b" 5.2\n")
    assert output.answer == "5.2"
    output.expect(MARKS, sink)
    assert output.answer is None


def test_the_brake_of_one_command_is_not_that_of_the_next() -> None:
    brake, sink = Brake(), Recorder()
    output = KeptOutput()
    output.attach(brake)
    output.expect(MARKS, sink)
    assert isinstance(sink.flow, KeptOutput)
    flow: Flow = sink.flow
    flow.pause()
    assert (output.is_paused, brake.pauses) == (True, 1)
    output.forget()
    assert (output.is_paused, brake.resumes) == (False, 1)
    flow.resume()
    assert brake.resumes == 1
