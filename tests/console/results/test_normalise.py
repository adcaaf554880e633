import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.results.normalise import OWN_NAME, TIME, Rules, normalise, own_words

PIECES = st.sampled_from(
    b"2026-11-21|T| |17:09:04|.123|Nov 21 |Sat |1763744944|0|7|web-01|web|.example|10.0.0.1|\x1b[31m|\x1b|[0m|\n|\r|\t"
    b"|x|-|:|\xff|\xf8".split(b"|")
)
OUTPUTS = st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=60)
RULES = st.builds(Rules, st.booleans(), st.booleans(), st.booleans(), st.booleans())
NAMES = st.sampled_from(["web-01", "web-01.example", "web", "a-a", "7", "21", "-", "x.", "é-1", "x-"])


@given(OUTPUTS, RULES, NAMES)
@example(b"2026-01-011700000000", Rules(times=True), "a")
@example(b"a-a-a-a", Rules(own_name=True), "a-a")
@example(b"5web5", Rules(own_name=True, numbers=True), "web")
@example(b"x-10.0.0.1", Rules(own_name=True), "x-")
def test_a_second_time_changes_nothing_and_lines_stay(output, rules, name):
    own = own_words(name, "10.0.0.1:22")
    once = normalise(output, rules, own)
    assert normalise(once, rules, own) == once
    assert once.count(b"\n") == output.count(b"\n")


@given(OUTPUTS, NAMES)
def test_without_rules_output_stays_as_it_is(output, name):
    assert normalise(output, Rules(), own_words(name, "10.0.0.1:22")) == output


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-21",
        "2026/11/21 17:09:04",
        "2026-11-21T17:09:04.123456Z",
        "2026-11-21 17:09:04,123 +01:00",
        "Nov  1 17:09:04",
        "Sat Nov 21 17:09:04 UTC 2026",
        "Sat Nov 21 05:09:04 PM UTC 2026",
        "Sat, 21 Nov 2026 17:09:04 +0000",
        "21/Nov/2026:17:09:04 +0000",
        "17:09:04",
        "1763744944",
        "1763744944.123",
        "1763744944123",
    ],
)
def test_a_time_is_passed_over_whole(moment):
    assert normalise(f"at {moment} it was".encode(), Rules(times=True)) == b"at " + TIME + b" it was"


@pytest.mark.parametrize(
    "other", ["10.0.0.1", "1:2", "80:443", "12345", "2026", "v1.2.3", "a1763744944", "99999999999"]
)
def test_what_is_no_time_stays(other):
    assert normalise(other.encode(), Rules(times=True)) == other.encode()


def test_an_instance_is_known_by_its_name_short_or_long_and_its_address():
    own = own_words("web-01.example.org", "10.0.0.7:22")
    text = b"web-01 web-01.example.org 10.0.0.7 web-012 xweb-01 10.0.0.71"
    gone = normalise(text, Rules(own_name=True), own)
    assert gone == b" ".join([OWN_NAME] * 3) + b" web-012 xweb-01 10.0.0.71"


@pytest.mark.parametrize(
    ("name", "text", "gone"),
    [
        ("web-01", "web-01web-01", "web-01web-01"),
        ("web-01", "web-01-web-01 web-012", "*-* web-012"),
        ("a-a", "xa-a-a", "xa-*"),
        ("é-1", "é-1 and é-12", "* and é-12"),
        ("web", "xweb web_ 3web web", "xweb web_ 3web *"),
    ],
)
def test_a_name_is_not_found_in_another(name, text, gone):
    own = own_words(name, "10.0.0.7:22")
    assert normalise(text.encode(), Rules(own_name=True), own) == gone.encode().replace(b"*", OWN_NAME)


def test_an_address_has_no_short_form():
    assert own_words("10.1.2.3", "10.1.2.3:22") == (b"10.1.2.3",)
    assert own_words("v6", "[fe80::1]:22") == (b"fe80::1", b"v6")


def test_colours_and_spaces_at_line_ends_are_passed_over():
    assert normalise(b"\x1b[31mred\x1b[0m \r\nend\t", Rules(looks=True)) == b"red\nend"


@pytest.mark.parametrize(
    "part", [b"2026-11-21 ", b"1:", b" ", b"\x1b[", b"\x1b]", b"1", b"Sat Nov 21 ", b"web-", b"1234567890.123456789a "]
)
def test_text_made_to_be_slow_is_not(part):
    """With a pattern that goes back this would take hours."""
    slow = part * (300_000 // len(part))
    assert len(normalise(slow, Rules(True, True, True, True), own_words("web-01", "web:22"))) <= 2 * len(slow)
