"""Owns the arithmetic of rate control: limits as entered, what they come to, batches, gates. No database, no clock."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, Self

from console.runs.status import ERRORS, Status

MAX_CONCURRENCY = 1000
MAX_PAUSE_S = 24 * 3600
MAX_ATTEMPTS = 5
MAX_ATTEMPT_DELAY_S = 3600
PAUSE_RULE = f"The pause is between 0 and {MAX_PAUSE_S:,} seconds."
ATTEMPTS_RULE = f"Between 1 and {MAX_ATTEMPTS} attempts can be made."
DELAY_RULE = f"The delay is between 1 and {MAX_ATTEMPT_DELAY_S:,} seconds."
# What ``open_before`` of a run is when nothing of it is held back; the largest that every database takes.
EVERYTHING = 2**31 - 1
# Reasons not to be reached that may pass by themselves; a refused sign-in or a wrong host key does not.
MAY_PASS = frozenset({"dns", "refused", "no_route", "connect_timeout"})

_NUMBER = re.compile(r"[0-9]{1,6}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%")


class Gate(StrEnum):
    """What a run waits for before its next batch."""

    OPEN = ""
    ASK = "ask"
    PAUSE = "pause"


class RateRefused(ValueError):
    """A limit cannot be what was entered. ``field`` names the form field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of instances, or a percentage of those that a command can be sent to."""

    value: Fraction
    is_percent: bool

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what "10" or "10%" means; None for anything else."""
        text = text.strip()
        if _NUMBER.fullmatch(text):
            return cls(Fraction(text), False)
        if (found := _PERCENT.fullmatch(text)) and Fraction(found[1]) <= 100:
            return cls(Fraction(found[1]), True)
        return None

    def of(self, total: int) -> int:
        """Return how many that is of ``total``, rounded down."""
        return int(self.value * total / 100) if self.is_percent else int(self.value)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a run goes through its instances, as it was entered.

    ``first``, ``batch_size``: a number or a percentage, empty for none. ``ask_unless_ok``: nobody is asked where all of
    the former batch succeeded. ``max_concurrency`` and ``max_errors`` are kept here only if they are percentages.
    Units: ``batch_pause_s`` and ``connect_delay_s`` seconds; ``connect_attempts`` counts the first one too.
    """

    first: str = ""
    ask_unless_ok: bool = False
    batch_size: str = ""
    batch_pause_s: int = 0
    ask_between: bool = False
    ignore_unreachable: bool = False
    connect_attempts: int = 1
    connect_delay_s: int = 10
    max_concurrency: str = ""
    max_errors: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return what ``as_json`` wrote; unknown names in it are passed over."""
        return cls(**{field.name: stored[field.name] for field in fields(cls) if field.name in stored})

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        usual = Rollout()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout comes to on so many instances. ``sizes`` of the batches, at least one; all of them are started."""

    max_concurrency: int
    max_errors: int | None
    sizes: tuple[int, ...]
    rollout: Rollout

    def batch_numbers(self) -> Iterator[int]:
        """Yield the batch of each instance, from 0, in order."""
        for number, size in enumerate(self.sizes):
            yield from (number for _ in range(size))


def plan(rollout: Rollout, *, max_concurrency: int | str, max_errors: int | str | None, total: int) -> Plan:
    """Return what limits and batches come to on ``total`` instances.

    Percentages are rounded down; of concurrency, the first ones and batches to at least 1. No percentage makes more
    than ``MAX_CONCURRENCY`` at a time.
    Raises: RateRefused for what cannot be read or is out of range.
    """
    concurrency = _amount("max_concurrency", str(max_concurrency), least=1, most=MAX_CONCURRENCY)
    errors = None if max_errors is None or max_errors == "" else _amount("max_errors", str(max_errors), least=0)
    _check_seconds(rollout)
    return Plan(
        max_concurrency=min(MAX_CONCURRENCY, max(1, concurrency.of(total))),
        max_errors=None if errors is None else errors.of(total),
        sizes=_sizes(rollout, total),
        rollout=replace(
            rollout,
            max_concurrency=str(max_concurrency).strip() if concurrency.is_percent else "",
            max_errors=str(max_errors).strip() if errors is not None and errors.is_percent else "",
        ),
    )


def _sizes(rollout: Rollout, total: int) -> tuple[int, ...]:
    first = min(total, _size("first", rollout.first, total))
    size = _size("batch_size", rollout.batch_size, total) or total
    sizes = [first] if first else []
    rest = total - first
    while rest > 0:
        sizes.append(min(size, rest))
        rest -= size
    return tuple(sizes) or (0,)


def _size(field: str, text: str, total: int) -> int:
    return max(1, _amount(field, text, least=1).of(total)) if text.strip() else 0


def _amount(field: str, text: str, *, least: int, most: int | None = None) -> Amount:
    amount = Amount.parse(text)
    is_small = amount is not None and amount.value < (Fraction(1, 100) if amount.is_percent and least else least)
    is_large = amount is not None and most is not None and not amount.is_percent and amount.value > most
    if amount is None or is_small or is_large:
        numbers = f"from {least} on" if most is None else f"from {least} to {most}"
        raise RateRefused(field, f"Enter a number {numbers}, or a percentage up to 100%, such as 10%.")
    return amount


def _check_seconds(rollout: Rollout) -> None:
    if not 0 <= rollout.batch_pause_s <= MAX_PAUSE_S:
        raise RateRefused("batch_pause_s", PAUSE_RULE)
    if not 1 <= rollout.connect_attempts <= MAX_ATTEMPTS:
        raise RateRefused("connect_attempts", ATTEMPTS_RULE)
    if not 1 <= rollout.connect_delay_s <= MAX_ATTEMPT_DELAY_S:
        raise RateRefused("connect_delay_s", DELAY_RULE)
    if (rollout.ask_between or rollout.batch_pause_s) and not (rollout.batch_size.strip() or rollout.first.strip()):
        name = "ask_between" if rollout.ask_between else "batch_pause_s"
        raise RateRefused(name, "There is nothing between batches without a batch size.")


def errors_of(counts: Mapping[str, int], *, ignore_unreachable: bool) -> int:
    """Return how many errors the numbers per status make."""
    counted = ERRORS - {Status.UNREACHABLE} if ignore_unreachable else ERRORS
    return sum(counts.get(status, 0) for status in counted)


def is_over(error_count: int, max_errors: int | None) -> bool:
    """Say whether nothing more may be started after so many errors."""
    return max_errors is not None and error_count > max_errors


def may_take(*, slots: int, active: int, max_concurrency: int) -> int:
    """Return how many more may be started now."""
    return max(0, min(slots, max_concurrency - active))


def gate_after(rollout: Rollout, *, batch: int, all_succeeded: bool, is_over: bool) -> Gate:
    """Return what stands between a batch (from 0) that has ended and the next one.

    After too many errors nothing: the claim that follows skips the rest. An answer replaces the pause.
    """
    if is_over:
        return Gate.OPEN
    asks = rollout.ask_between or (bool(rollout.first.strip()) and batch == 0)
    if asks and not (rollout.ask_unless_ok and all_succeeded):
        return Gate.ASK
    return Gate.PAUSE if rollout.batch_pause_s else Gate.OPEN
