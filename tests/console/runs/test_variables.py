import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.runs.variables import (
    MOST,
    VariablesRefused,
    check,
    parse_arguments,
    parse_variables,
    write_arguments,
    write_variables,
)
from instances.engine.environment import TOTAL_LIMIT_BYTES, VALUE_LIMIT_BYTES

# What a browser sends has no lone carriage returns.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40) | st.sampled_from(
    ["END", "a\nEND\nb", "A<<END", "<<END", " x ", "=", "\n", ""]
)


@given(st.lists(st.tuples(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,5}\Z"), VALUES), max_size=5))
def test_variables_are_read_as_they_were_written(pairs):
    text = write_variables(pairs)
    assert parse_variables(text) == tuple(pairs)
    assert parse_variables(text.replace("\n", "\r\n")) == tuple(pairs)


@given(st.lists(VALUES, max_size=5))
def test_arguments_are_read_as_they_were_written(words):
    assert parse_arguments(write_arguments(words).replace("\n", "\r\n")) == tuple(words)


def test_a_block_holds_several_lines_and_blank_lines_between_are_passed_over():
    assert parse_variables("A=1\n\nKEY<<EOF\n-- x\n\n-- y\nEOF\n  \nB=\n") == (
        ("A", "1"),
        ("KEY", "-- x\n\n-- y"),
        ("B", ""),
    )


@pytest.mark.parametrize("text", ["A=1\ns3cret", "A=1\ns3cret<<X\ns3cret"])
def test_what_cannot_be_read_is_named_by_its_line_only(text):
    with pytest.raises(ValueError, match="Line 2") as raised:
        parse_variables(text)
    assert "=1" not in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "secrets", "arguments", "field", "says"),
    [
        ((("IFS", "x"),), (), (), "environment", "name"),
        ((("A", "x"), ("A", "y")), (), (), "environment", "twice"),
        ((("A", "x"),), (("A", "y"),), (), "secret_environment", "twice"),
        ((), (("A", ""),), (), "secret_environment", "Enter a value for A"),
        ((("A", "\0"),), (), (), "environment", "NUL"),
        ((("A", "\udc80"),), (), (), "environment", "Unicode"),
        ((), (), ("x" * (VALUE_LIMIT_BYTES + 1),), "arguments", "longer"),
        ((), (), ("x",) * (MOST + 1), "arguments", "At most"),
        ((), (), ("x" * VALUE_LIMIT_BYTES,) * (TOTAL_LIMIT_BYTES // VALUE_LIMIT_BYTES + 1), "arguments", "together"),
    ],
)
def test_what_cannot_be_sent_is_said_beside_its_field(variables, secrets, arguments, field, says):
    with pytest.raises(VariablesRefused, match=says) as raised:
        check(variables, secrets, arguments)
    assert raised.value.field == field


def test_what_can_be_sent_is():
    check((("A", ""),), (("B", "x"),), ("", "\n"))
