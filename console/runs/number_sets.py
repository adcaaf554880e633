"""Owns ids as text: one number, and sets of them such as ``1-50,60``, which a form carries and a run keeps."""

from collections.abc import Iterable

# More digits than any row id has.
_DIGITS = 18


def is_id(text: str) -> bool:
    """Say whether a text is a number that a row may have; a database breaks on longer ones."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def fold(numbers: Iterable[int]) -> str:
    """Return the set as text, smallest first; empty for none."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def unfold(text: str, *, most: int) -> set[int]:
    """Return the numbers of such a text.

    Raises: ValueError for anything else, and for more than ``most`` numbers, before any is made.
    """
    spans = [_span(part.strip()) for part in text.split(",") if part.strip()]
    if sum(last - first + 1 for first, last in spans) > most:
        raise ValueError(f"More than {most:,} numbers.")
    return {number for first, last in spans for number in range(first, last + 1)}


def _span(part: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    if not all(map(is_id, [first, last] if dash else [first])):
        raise ValueError(f"{part[:40]} is not a number or a range of numbers.")
    span = int(first), int(last if dash else first)
    if span[0] > span[1]:
        raise ValueError(f"{part[:40]} goes backwards.")
    return span
