"""Reads and writes tags as people type them: ``env=prod role=db``."""

import re
from collections.abc import Mapping

from instances.inventory.errors import TagsInvalid
from instances.inventory.models import Tag
from instances.inventory.query import RESERVED_KEYS

TAGS_LIMIT = 30
_KEY = re.compile(r"[a-z_][a-z0-9_./-]{0,39}")


def parse(text: str) -> dict[str, str]:
    """Read tags separated by blanks; keys become lower case, so that ``Env`` and ``env`` are one.

    Raises: TagsInvalid, naming the tag that is wrong.
    """
    tags: dict[str, str] = {}
    for part in text.split():
        key, value = parse_one(part)
        if key in tags:
            raise TagsInvalid(f"The tag {key} is there twice; an instance has one value for each key.")
        tags[key] = value
    if len(tags) > TAGS_LIMIT:
        raise TagsInvalid(f"An instance has at most {TAGS_LIMIT} tags.")
    return tags


def parse_one(text: str) -> tuple[str, str]:
    """Read one ``key=value``.

    Raises: TagsInvalid, saying what is wrong with it.
    """
    key, equals, value = text.partition("=")
    key = key.lower()
    if not equals or not value:
        raise TagsInvalid(f"“{text[:80]}” is not a tag. Write tags as key=value, separated by spaces.")
    if not _KEY.fullmatch(key):
        raise TagsInvalid(
            f"“{key[:80]}” cannot be a tag's key: up to 40 letters, digits and _ . / - only, beginning with a letter."
        )
    if key in RESERVED_KEYS:
        raise TagsInvalid(f"“{key}” cannot be a tag's key: in the filter, {key}: means something else.")
    if len(value) > 80 or not value.isprintable() or '"' in value or any(char.isspace() for char in value):
        raise TagsInvalid(f"The value of {key} has up to 80 visible characters, without blanks and quotes.")
    return key, value


def text_of(tags: Mapping[str, str]) -> str:
    """Return tags as ``parse`` reads them."""
    return " ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def rows(instance_id: int, tags: Mapping[str, str]) -> list[Tag]:
    """Return unsaved rows for an instance's tags."""
    return [Tag(instance_id=instance_id, key=key, value=value) for key, value in tags.items()]
