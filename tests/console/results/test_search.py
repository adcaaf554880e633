import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.results import search as searching
from console.results.lines import LINE_BYTES, blocks
from console.results.search import BadPattern, compiled, excerpt, search, search_one
from console.runs.models import Invocation, OutputKind
from tests.support import runs

OUT, ERR, GAP = OutputKind.STDOUT, OutputKind.STDERR, OutputKind.GAP
NOBODY = Invocation(code_page="")
TEXT = st.lists(st.sampled_from(["é", "ab", "a", "b", "ß", "\n", " "]), max_size=40).map("".join)


def cut(data, places):
    """Rows as they may be stored: cut anywhere, in the middle of a letter too."""
    places = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [(OUT, data[a:b]) for a, b in itertools.pairwise(places)]


def naive(text, needle):
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [number for number, line in enumerate(lines, 1) if needle in line]


@given(TEXT, st.lists(st.integers(0, 200), max_size=8), st.sampled_from(["é", "ab", "a b", "ß", "éa", "b"]))
def test_wherever_rows_are_cut_the_same_lines_are_found(text, places, needle):
    found = search_one(NOBODY, cut(text.encode(), places), compiled(needle, is_case=True))
    wanted = naive(text, needle)
    assert found.count == len(wanted)
    assert [hit.number for hit in found.hits] == wanted[: searching.LINES_OF_ONE]


@given(TEXT, TEXT, st.lists(st.booleans(), max_size=12))
def test_streams_do_not_tear_each_others_lines(out, err, order):
    """However they alternate, each stream's lines are whole."""
    rest = {OUT: out.encode(), ERR: err.encode()}
    rows = []
    for is_out in order:
        kind = OUT if is_out else ERR
        rows.append((kind, rest[kind][:3]))
        rest[kind] = rest[kind][3:]
    rows += list(rest.items())
    made = {OUT: [], ERR: []}
    for block in blocks(rows):
        made[block.kind] += block.data.split(b"\n")
    for kind, text in ((OUT, out), (ERR, err)):
        lines = text.encode().split(b"\n")
        assert made[kind] == (lines[:-1] if lines[-1] == b"" else lines)


def test_every_line_has_the_number_of_the_log_view():
    rows = [(OUT, b"one\ntw"), (ERR, b"oh\n"), (OUT, b"o\n"), (GAP, b"500"), (OUT, b"five\nsix")]
    numbers = {
        line: block.first + place for block in blocks(rows) for place, line in enumerate(block.data.split(b"\n"))
    }
    assert numbers == {b"one": 0, b"oh": 1, b"two": 2, b"five": 4, b"six": 5}


def test_a_line_without_end_is_cut_and_what_is_on_the_cut_is_found_once():
    data = b"x" * (LINE_BYTES - 2) + b"needle" + b"y" * 100 + b"\nnext needle\n"
    found = search_one(
        NOBODY,
        [(OUT, data[:LINE_BYTES]), (OUT, data[LINE_BYTES : LINE_BYTES + 1]), (OUT, data[LINE_BYTES + 1 :])],
        compiled("needle"),
    )
    assert [hit.number for hit in found.hits] == [2, 3]


def test_case_matters_when_asked():
    rows = [(OUT, "Error ÉTÉ\n".encode())]
    assert search_one(NOBODY, rows, compiled("error été")).count == 1
    assert search_one(NOBODY, rows, compiled("error été", is_case=True)).count == 0


def test_a_text_is_no_pattern_and_a_pattern_is():
    rows = [(OUT, b"a.c\nabc\n")]
    assert search_one(NOBODY, rows, compiled("a.c")).count == 1
    assert search_one(NOBODY, rows, compiled("^a.c$", is_regex=True)).count == 2
    assert search_one(NOBODY, rows, compiled("c\\s*a", is_regex=True)).count == 0


def test_colours_inside_a_word_do_not_hide_it():
    found = search_one(NOBODY, [(OUT, b"\x1b[31mer\x1b[0mror: no\n")], compiled("error: no"))
    assert (found.hits[0].before, found.hits[0].match) == ("", "error: no")


def test_output_in_a_code_page_is_found():
    found = search_one(Invocation(code_page="850"), [(OUT, "Größe\n".encode("cp850"))], compiled("größe"))
    assert found.hits[0].match == "Größe"


@pytest.mark.parametrize("pattern", ["(", "a{2000}", r"(?=x)", r"(a)\1"])
def test_what_re2_does_not_know_is_refused_with_a_reason(pattern):
    with pytest.raises(BadPattern, match=r"no regular expression that RE2 knows: .+"):
        compiled(pattern, is_regex=True)


def test_a_pattern_made_to_be_slow_is_not():
    found = search_one(NOBODY, [(OUT, b"a" * 50_000 + b"!\n")], compiled("(a+)+$", is_regex=True))
    assert found.count == 0


def test_many_lines_are_counted_and_some_are_shown():
    found = search_one(NOBODY, [(OUT, b"hit\n" * 500)], compiled("hit"))
    assert (found.count, len(found.hits), found.more) == (500, 20, 480)


@pytest.mark.django_db
def test_a_run_is_searched_in_order_and_what_was_removed_is_counted():
    run = runs.ended_with([b"no\nyes 1\n", b"no\n", [(ERR, b"yes 2\n")], b"yes 3\n"])
    run.invocations.filter(ordinal=3).update(output_removed_at=run.finished_at)
    part = search(run.invocations.all(), compiled("yes"))
    assert [(one.invocation.ordinal, hit.number, hit.after, hit.kind) for one in part.found for hit in one.hits] == [
        (0, 2, " 1", OUT),
        (2, 1, " 2", ERR),
    ]
    assert (part.following, part.searched, part.total, part.removed) == (None, 4, 4, 1)


@pytest.mark.django_db
def test_it_goes_on_where_the_time_was_over():
    run = runs.ended_with([b"yes\n"] * 3)
    seen, start = [], 0
    while start is not None:
        part = search(run.invocations.all(), compiled("yes"), start=start, budget_s=0)
        seen.append([one.invocation.ordinal for one in part.found])
        start = part.following
    assert seen == [[0], [1], [2]]


@pytest.mark.django_db
def test_lines_around_one_are_those_of_the_output():
    run = runs.ended_with([b"".join(b"line %d\n" % number for number in range(1, 20_001))])
    shown = excerpt(run.invocations.get(), 15_000, around=2)
    assert [(number, text) for number, _, text in shown.lines] == [(n, f"line {n}") for n in range(14_998, 15_003)]
    assert re.fullmatch(r"line \d+", shown.lines[0][2])


@pytest.mark.django_db
def test_a_search_takes_a_few_queries_whatever_the_number_of_instances(django_assert_max_num_queries):
    run = runs.ended_with([b"needle\n"] * 3)
    with django_assert_max_num_queries(2):
        assert search(run.invocations.all(), compiled("needle")).lines == 3
