"""Tags as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.inventory.errors import TagsInvalid
from instances.inventory.tags import parse, text_of


def test_tags_are_read_and_written() -> None:
    assert parse(" Env=Prod  role=db url=http://x?a=b ") == {"env": "Prod", "role": "db", "url": "http://x?a=b"}
    assert text_of({"role": "db", "env": "prod"}) == "env=prod role=db"
    assert parse("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "env",
        "env=",
        "=prod",
        "1a=x",
        "-a=x",
        "a b=c",
        "os=linux",
        "State=x",
        'a="x"',
        "a=1 A=2",
        "a=" + "x" * 81,
        "k" * 41 + "=x",
    ],
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(TagsInvalid):
        parse(text)


@given(st.text())
def test_what_is_read_writes_back(text: str) -> None:
    try:
        tags = parse(text)
    except TagsInvalid:
        return
    assert parse(text_of(tags)) == tags
