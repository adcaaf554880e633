"""Owns how numbers become charts: places and lengths of bars, lines and labels in an SVG. Pure: numbers in, shapes out.

Shape: coordinates in the units of the SVG's viewBox, ``WIDTH`` by ``HEIGHT``, from the upper left corner. Colours and
patterns are classes, ``chart__KIND``; templates/reports/_chart.html draws them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 220
# Room for the numbers at the left and the words below.
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 34
BINS = 24
# A bar is never so wide that a single one looks like a wall.
WIDEST_BAR = 48.0
LABELS_BELOW = 7


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle. ``title`` is what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line with a word: a tick of an axis, or a value of interest. ``anchor``: start, middle or end."""

    x: float
    y: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn: ``levels`` are lines across, ``ticks`` words below, ``values`` lines from top down."""

    shapes: Sequence[Shape]
    levels: Sequence[Mark]
    ticks: Sequence[Mark]
    values: Sequence[Mark] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class Column:
    """One bar of parts on top of each other, the first part lowest. ``parts``: numbers by kind."""

    label: str
    parts: Mapping[str, int]
    title: str


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values lie from ``start`` up to, and without, ``end``; in the last one with it."""

    start: float
    end: float
    number: int


def stacked(columns: Sequence[Column], kinds: Sequence[str]) -> Chart:
    """Return a chart of bars in a row, each of parts in the order of ``kinds``."""
    top = nice_top(max((sum(column.parts.values()) for column in columns), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(columns))
    width = min(WIDEST_BAR, step * 0.8)
    shapes: list[Shape] = []
    for place, column in enumerate(columns):
        x, under = LEFT + place * step + (step - width) / 2, 0
        for kind in kinds:
            number = column.parts.get(kind, 0)
            if number:
                y, height = _y(under + number, top), _length(number, top)
                shapes.append(Shape(_round(x), y, _round(width), height, kind, column.title))
                under += number
    shown = _spread(len(columns))
    ticks = [Mark(_round(LEFT + (place + 0.5) * step), HEIGHT - BOTTOM + 16, columns[place].label) for place in shown]
    return Chart(shapes, _levels(top), ticks)


def histogram(bins: Sequence[Bin], values: Sequence[tuple[str, float]], *, words: Sequence[str]) -> Chart:
    """Return a chart of how often values occur, with a line at each value of interest.

    ``words``: how the limits of the bins are written, one more than there are bins.
    """
    top = nice_top(max((one.number for one in bins), default=0))
    start, end = bins[0].start, bins[-1].end
    room = WIDTH - LEFT - RIGHT

    def across(value: float) -> float:
        return _round(LEFT + (value - start) / (end - start) * room)

    shapes = [
        Shape(
            across(one.start) + 1,
            _y(one.number, top),
            max(1.0, _round(across(one.end) - across(one.start) - 2)),
            _length(one.number, top),
            "plain",
            f"{words[place]} to {words[place + 1]}: {one.number:,}",
        )
        for place, one in enumerate(bins)
        if one.number
    ]
    limits = [one.start for one in bins] + [end]
    ticks = [Mark(across(limits[place]), HEIGHT - BOTTOM + 16, words[place]) for place in _spread(len(limits))]
    # Where there is no room at the right the word stands at the left of its line.
    lines = [
        Mark(across(value), TOP, label, "end" if across(value) > WIDTH * 0.8 else "start") for label, value in values
    ]
    return Chart(shapes, _levels(top), ticks, _apart(lines))


def bins_of(values: Sequence[float]) -> list[Bin]:
    """Return how often values occur: at most ``BINS`` bins of one round width, from 0 on. ``values`` is not empty."""
    width = _round_up(max(values) / BINS) if max(values) > 0 else 1.0
    count = max(1, math.ceil(max(values) / width - 1e-9))
    numbers = [0] * count
    for value in values:
        numbers[min(count - 1, int(value / width))] += 1
    return [Bin(place * width, (place + 1) * width, number) for place, number in enumerate(numbers)]


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; ``ordered`` rises and is not empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def nice_top(most: int) -> int:
    """Return the upper end of an axis of whole numbers: four equal steps, all of them whole."""
    return 4 * max(1, math.ceil(_round_up(most / 4)))


def _round_up(value: float) -> float:
    """Return the next number that is a short one times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        power * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power * factor >= value * (1 - 1e-9)
    )


def _levels(top: int) -> list[Mark]:
    return [Mark(LEFT - 8, _y(top * part // 4, top), f"{top * part // 4:,}", "end") for part in range(5)]


def _spread(count: int) -> list[int]:
    """Return the places of a row that get a word: some of them, evenly, the first among them."""
    return list(range(0, count, max(1, math.ceil(count / LABELS_BELOW))))


def _apart(marks: list[Mark]) -> list[Mark]:
    """Put the words of lines that are close to each other below one another."""
    return [Mark(mark.x, mark.y + 13 * place, mark.label, mark.anchor) for place, mark in enumerate(marks)]


def _y(number: float, top: int) -> float:
    return _round(HEIGHT - BOTTOM - _length(number, top))


def _length(number: float, top: int) -> float:
    return _round(number / top * (HEIGHT - TOP - BOTTOM))


def _round(value: float) -> float:
    return round(value, 2)
