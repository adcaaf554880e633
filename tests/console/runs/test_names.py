"""Pasted names and ranges: what is read, what is refused before anything is expanded, and the short form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.runs.names import EXPANSION_LIMIT, FOLD_LIMIT, NamesUnreadable, fold_names, read_names, shown_names


@pytest.mark.parametrize(
    ("text", "wanted", "excluded"),
    [
        ("web01\nweb02\r\n\n db-1", ["web01", "web02", "db-1"], []),
        ("a, b;c  d", ["a", "b", "c", "d"], []),
        ("web[08-10,20]", ["web08", "web09", "web10", "web20"], []),
        ("rack[1-2]node[1-2]", ["rack1node1", "rack1node2", "rack2node1", "rack2node2"], []),
        ("web[001-002].example.com", ["web001.example.com", "web002.example.com"], []),
        ("n[0-8/4]", ["n0", "n4", "n8"], []),
        ("web[1, 2]", ["web1", "web2"], []),
        ("web[1-3] !web[2-3] !db", ["web1", "web2", "web3"], ["web2", "web3", "db"]),
        ("10.0.0.[1-2] [::1]:22 [fe80::1]", ["10.0.0.1", "10.0.0.2", "[::1]:22", "[fe80::1]"], []),
        ('"my web [1]" !"the other"', ["my web [1]"], ["the other"]),
        ("a a a", ["a"], []),
        ("@admins a&b", ["@admins", "a&b"], []),
        ("", [], []),
    ],
)
def test_names_are_read_as_people_write_them(text, wanted, excluded):
    read = read_names(text)
    assert (list(read.wanted), list(read.excluded)) == (wanted, excluded)


@pytest.mark.parametrize(
    "text",
    ["web[1-", "web[1-3", "web[3-1]", "web[]", "web[a-c]", "web[1-3]]", "web[1-9/0]", "@x[1-2]", "web[1&2]", "!"],
)
def test_what_cannot_be_read_is_refused_with_how_to_write_it(text):
    with pytest.raises(NamesUnreadable, match="web"):
        read_names(f"fine {text}")


@pytest.mark.parametrize("text", ["web[01-1]", "web[01-100]", "!web[1-010]", "web[0-01]", "web[3,00-9]"])
def test_zeros_in_front_on_one_side_alone_are_refused_with_how_to_write_it(text):
    with pytest.raises(NamesUnreadable, match=r"both ends have as many digits: web\[001-100\]"):
        read_names(text)


@pytest.mark.parametrize(
    "text",
    [
        "web[1-999999999999999999]",
        "a[1-1000]b[1-1000]c[1-1000]",
        " ".join(["web[0-9999]", "db1"]),
        "!web[1-10001]",
    ],
    ids=["one", "product", "sum", "excluded"],
)
def test_too_many_are_refused_before_they_are_expanded(text):
    # Expanding the first two would take all memory there is.
    with pytest.raises(NamesUnreadable, match="10,000"):
        read_names(text)


def test_as_many_as_are_allowed_are_taken():
    assert len(read_names(f"web[1-{EXPANSION_LIMIT}]").wanted) == EXPANSION_LIMIT


@given(st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,12}[0-9]{0,6}", fullmatch=True), unique=True, max_size=40))
def test_the_short_form_says_the_same_names(names):
    assert sorted(read_names(fold_names(names)).wanted) == sorted(names)


def test_odd_names_come_through_the_short_form_too():
    names = ["web1", "web2", "my web [1]", "a b", "x@y", "i-12345678901234567890"]
    assert fold_names(names).startswith("web[1-2]")
    assert sorted(read_names(fold_names(names)).wanted) == sorted(names)


def test_what_would_take_too_long_has_no_short_form():
    assert fold_names(f"web{number}" for number in range(FOLD_LIMIT + 1)) == ""


def test_names_with_several_numbers_are_folded_while_they_are_few():
    assert fold_names([f"r{rack}-n{place}" for rack in (1, 2) for place in (1, 2)]) == "r[1-2]-n[1-2]"
    many = [f"r{number}-n{number * 7919 % 5000}" for number in range(FOLD_LIMIT)]
    # Folding these would take minutes.
    assert fold_names(many) == ",".join(sorted(many))


def test_for_people_names_with_numbers_become_ranges_and_no_name_is_quoted_or_said_twice():
    names = [*(f"web{number:02}" for number in range(1, 13)), "db-1", "db-3", "my box [old]", "@all", "a,b", "db-1"]
    assert shown_names(names) == "db-[1,3],web[01-12],@all,a,b,my box [old]"
