import itertools

import pytest

from console.sessions.questions import Questions

QUESTIONS = [
    b"\x05",
    b"\x1bZ",
    b"\x1b[c",
    b"\x1b[>0c",
    b"\x1b[6n",
    b"\x1b[?6n",
    b"\x1b[?2026$p",
    b"\x1b[>q",
    b"\x1b[21t",
    b"\x1b[?u",
    b"\x1b]11;?\x07",
    b"\x1b]52;c;?\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\x1bP+q544e\x1b\\",
    b"\x1b_Gi=1,a=q;\x1b\\",
    *(text.encode() for text in ("\x9bc", "\x9b6n", "\x9d11;?\x9c", "\x9d52;£;?\x07", "\x90$q£m\x9c", "\x9a")),
]
SHOWN = [
    "grün £".encode(),
    b"\x1b[1;31mred\x1b[0m",
    b"\x1b[?1049h\x1b[2J\x1b[5;7H",
    b"\x1b]0;a title\x07",
    b"\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b[4;1r\x1b(B\x1b=\x1b[?25l\x1b[2 q\x1b[>4;2m",
]


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_questions_are_taken_out_however_they_are_cut(question):
    whole = b"before" + question + b"after"
    for first, second in itertools.combinations_with_replacement(range(len(whole) + 1), 2):
        questions = Questions()
        pieces = (whole[:first], whole[first:second], whole[second:])
        assert b"".join(questions.without(piece) for piece in pieces) + questions.rest() == b"beforeafter"


def test_everything_else_is_shown_however_it_is_cut():
    whole = b"".join(SHOWN)
    for cut in range(len(whole) + 1):
        questions = Questions()
        assert questions.without(whole[:cut]) + questions.without(whole[cut:]) + questions.rest() == whole


def test_one_without_an_end_is_not_kept_for_ever():
    questions = Questions()
    flood = b"\x1bP" + b"x" * 100_000
    assert questions.without(flood) == flood
