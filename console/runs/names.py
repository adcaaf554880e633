"""Owns names of instances as people paste them: lists, ranges such as ``web[01-12]``, and their short form.

Names stand one on a line, or with commas, semicolons or blanks between them. ``!`` in front leaves out. In brackets are
numbers, zero-padded as written, with ranges and steps (``0-8/2``). A name with blanks or brackets of its own stands in
double quotes. ClusterShell expands and folds; it asks nobody: no groups.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

# As many instances as a run is meant for.
EXPANSION_LIMIT = 10_000
TEXT_LIMIT = 600_000
# Folding more takes longer than somebody wants to wait for a shorter text.
FOLD_LIMIT = 5_000
# Ranges over several numbers ("rack[1-9]-[1-4]") take time that grows with the square of the names: half a minute for
# 5,000.
MAX_OF_SEVERAL_NUMBERS = 50
_WORD = re.compile(r"""!?"[^"\n]+"|(?:\[[^\]\n]*\]?|[^\s,;\[])+""")
_PATTERN = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9,/ -]+\])+")
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_PART = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?:/(\d{1,18}))?)?")
# What ClusterShell would read as more than a name is left as it is.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NUMBER = re.compile(r"\d+")


class NamesUnreadable(ValueError):
    """A part of the text is no name and no range; the message says which, and what to write."""


@dataclass(frozen=True, slots=True)
class Names:
    """What was read: distinct names in order, and those left out; nobody has looked yet whether there are such."""

    wanted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def read_names(text: str) -> Names:
    """Return the names in a text, ranges expanded.

    Raises: NamesUnreadable for a range that cannot be read, and for more than ``EXPANSION_LIMIT`` names, which is
    counted before anything is expanded.
    """
    if len(text) > TEXT_LIMIT:
        raise NamesUnreadable(f"At most {TEXT_LIMIT:,} characters of names are taken.")
    words = _WORD.findall(text)
    if sum(map(_count, words)) > EXPANSION_LIMIT:
        raise NamesUnreadable(
            f"These come to more than {EXPANSION_LIMIT:,} names. Use a filter or a group for so many."
        )
    wanted: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for word in words:
        is_excluded = word.startswith("!")
        for name in _expand(word.removeprefix("!")):
            (excluded if is_excluded else wanted)[name] = None
    return Names(tuple(wanted), tuple(excluded))


def fold_names(names: Iterable[str]) -> str:
    """Return names as short as ``read_names`` takes them, such as ``web[01-12]``; empty when that is too much work."""
    all_names = list(names)
    if len(all_names) > FOLD_LIMIT:
        return ""
    ranges, rest = _folded(all_names)
    quoted = [f'"{name}"' if _WORD.findall(name) != [name] or "[" in name else name for name in rest]
    return ",".join([*ranges, *sorted(quoted)])


def shown_names(names: Iterable[str]) -> str:
    """Return names as text for people, those with numbers as ranges: "db-1,web[01-12]". Names of any form are taken."""
    ranges, rest = _folded(names)
    return ",".join([*ranges, *sorted(rest)])


def _folded(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what of distinct names became ranges, as one text or none, and the names that did not."""
    kinds: dict[str, list[str]] = {"plain": [], "several": [], "other": []}
    for name in dict.fromkeys(names):
        kinds[_kind(name)].append(name)
    plain, several, others = kinds.values()
    (plain if len(several) <= MAX_OF_SEVERAL_NUMBERS else others).extend(several)
    return [str(NodeSet.fromlist(plain, resolver=RESOLVER_NOGROUP))] if plain else [], others


def _kind(name: str) -> str:
    numbers = _NUMBER.findall(name)
    # A number of many digits says nothing by its order, and costs much to compare.
    if not _PLAIN_NAME.fullmatch(name) or any(len(number) > 18 for number in numbers):
        return "other"
    return "several" if len(numbers) > 1 else "plain"


def _is_literal(word: str) -> bool:
    # "in quotes", or an address: [::1], [fe80::1]:22
    return "[" not in word or word.lstrip("!").startswith('"') or (word.lstrip("!").startswith("[") and ":" in word)


def _count(word: str) -> int:
    if _is_literal(word):
        return 1
    number = 1
    for inside in _BRACKETS.findall(word):
        number *= sum(_count_part(part.strip(), word) for part in inside.split(","))
    return number


def _count_part(part: str, word: str) -> int:
    match = _PART.fullmatch(part)
    if match is None:
        raise _unreadable(word)
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or step < 1:
        raise _unreadable(word)
    if match[2] and len(match[1]) != len(match[2]) and any(map(_is_padded, match.group(1, 2))):
        raise NamesUnreadable(
            f"{word[:60]} cannot be read. With zeros in front both ends have as many digits: web[001-100]."
        )
    return (last - first) // step + 1


def _is_padded(number: str) -> bool:
    return len(number) > 1 and number.startswith("0")


def _expand(word: str) -> Iterable[str]:
    if not word:
        raise NamesUnreadable("! stands right before the name that is left out: !web03.")
    if _is_literal(word):
        return (word.strip('"'),)
    if not _PATTERN.fullmatch(word):
        raise _unreadable(word)
    try:
        return tuple(NodeSet(word.replace(" ", ""), resolver=RESOLVER_NOGROUP))
    except (ValueError, NodeSetException) as error:
        raise _unreadable(word) from error


def _unreadable(word: str) -> NamesUnreadable:
    return NamesUnreadable(f"{word[:60]} cannot be read. A range looks like web[01-12,20].")
