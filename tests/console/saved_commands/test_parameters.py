"""What can be declared about a parameter, and which values it takes."""

import pytest

from console.saved_commands.parameters import (
    DeclarationError,
    Kind,
    Parameter,
    ValueRefused,
    ValuesRefused,
    attributes_of,
    declared,
    values_of,
)
from console.saved_commands.patterns import Pattern, PatternError


def test_a_declaration_comes_back_as_it_was_kept():
    row = {
        "name": "level",
        "type": "choice",
        "default": "info",
        "required": True,
        "choices": ["info", "debug"],
        "description": "How much is said",
    }
    assert Parameter.of(row).as_json() == row
    assert Parameter.of({**row, "choices": "info\r\n\r\ndebug\r\n"}).as_json() == row
    assert Parameter.of({"name": "a"}).as_json() == {"name": "a", "type": "text"}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": "1a"}, "name"),
        ({"name": "a-b"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a", "type": "date"}, "type"),
        ({"name": "a", "type": "choice"}, "choices"),
        ({"name": "a", "choices": "x"}, "choices"),
        ({"name": "a", "type": "choice", "choices": "x", "default": "y"}, "default"),
        ({"name": "a", "type": "number", "default": "many"}, "default"),
        ({"name": "a", "type": "secret", "default": "x"}, "default"),
        ({"name": "a", "type": "attribute", "default": "instance.password"}, "default"),
        ({"name": "a", "type": "attribute"}, "default"),
        ({"name": "a", "pattern": "(a"}, "pattern"),
        ({"name": "a", "type": "boolean", "pattern": "a"}, "pattern"),
        ({"name": "a", "pattern": "[a-z]+", "default": "A"}, "default"),
    ],
)
def test_what_cannot_be_declared_is_refused_beside_its_field(row, field):
    with pytest.raises(DeclarationError) as raised:
        Parameter.of(row)
    assert raised.value.field == field


def test_names_are_there_once_whatever_their_letters():
    with pytest.raises(DeclarationError, match="A is there twice"):
        declared([{"name": "a"}, {"name": "A"}])


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Kind.NUMBER, " 42 ", "42"),
        (Kind.NUMBER, "+007", "7"),
        (Kind.NUMBER, "-0.50", "-0.50"),
        (Kind.NUMBER, "-0", "0"),
        (Kind.BOOLEAN, "on", "true"),
        (Kind.BOOLEAN, "No", "false"),
        (Kind.BOOLEAN, "", "false"),
        (Kind.TEXT, " a\n", " a\n"),
        (Kind.TEXT, "", ""),
    ],
)
def test_values_have_one_form(kind, given, value):
    assert Parameter("a", kind).value(given) == value


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"kind": Kind.NUMBER}, "1e5"),
        ({"kind": Kind.NUMBER}, "a[$(touch x)]"),
        ({"kind": Kind.NUMBER}, "٣"),
        ({"kind": Kind.BOOLEAN}, "maybe"),
        ({"kind": Kind.CHOICE, "choices": ("a", "b")}, "c"),
        ({"is_required": True}, ""),
        ({}, "a\0b"),
        ({}, "\ud800"),
        ({}, "a" * 40_000),
        ({"pattern": "[a-z]+"}, "ab\n"),
        ({"pattern": ".*"}, "a" * 1001),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_being_named(fields, given):
    with pytest.raises(ValueRefused) as raised:
        Parameter("a", **fields).value(given)
    assert len(given) < 2 or given not in str(raised.value)


def test_all_values_are_checked_and_each_message_has_its_name():
    parameters = (
        Parameter("a", is_required=True),
        Parameter("b", default="x"),
        Parameter("c", Kind.ATTRIBUTE, "instance.os"),
    )
    assert values_of(parameters, {"a": "1"}) == {"a": "1", "b": "x"}
    with pytest.raises(ValuesRefused) as raised:
        values_of(parameters, {"c": "linux", "d": ""})
    assert set(raised.value.messages) == {"a", "c", "d"}


def test_attributes_are_those_declared_and_those_in_the_text():
    parameters = (Parameter("site", Kind.ATTRIBUTE, "instance.tags.site"), Parameter("a"))
    assert attributes_of(parameters, "df {{a}} {{instance.name}} \\{{instance.os}}") == [
        ("PARAM_site", "instance.tags.site", False),
        ("MUSTER_INSTANCE_NAME", "instance.name", True),
    ]


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        ("[a-z]{2,3}", ["ab", "abc"], ["a", "abcd", "AB", "ab\n"]),
        ("(web|db)-[0-9]+", ["web-1", "db-22"], ["web-", "x-1"]),
        (r"\d{1,3}(\.\d{1,3}){3}", ["10.0.0.1"], ["10.0.0", "1234.0.0.1", "1٣.0.0.1"]),
        ("^a?b*$", ["", "a", "bb"], ["aa"]),
        (r"a\.b|", ["a.b", ""], ["axb"]),
        ("[^a]", ["b", "\n"], ["a", ""]),
    ],
)
def test_a_pattern_is_for_the_whole_value(pattern, taken, refused):
    ready = Pattern(pattern)
    assert all(ready.matches(value) for value in taken)
    assert not any(ready.matches(value) for value in refused)


def test_no_pattern_takes_long_with_any_value():
    assert not Pattern("(a+)+(a*)*b").matches("a" * 1000)


@pytest.mark.parametrize(
    "pattern",
    ["a**", "(a", "a)", "[b-a]", "\\1", "(?=a)", "(?P<n>a)", "a{2,1}", "a{9999}", "(a{100}){100}", "[a", "[[a]", "^*",
     "(" * 30, "a" * 201],
)  # fmt: skip
def test_a_pattern_that_cannot_be_read_is_refused(pattern):
    with pytest.raises(PatternError):
        Pattern(pattern)
