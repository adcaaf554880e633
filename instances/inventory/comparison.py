"""Compares the lines of an import with the inventory and with each other: new, already there, or why neither."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from instances.inventory import jumps
from instances.inventory.models import Instance
from instances.inventory.paste import Line

if TYPE_CHECKING:
    from console.members.models import User

# What a line is reached through: an instance that is there, the name of a new one, or nothing.
Way = Instance | str | None
_BATCH = 5000


def compare(actor: "User", lines: list[Line]) -> list[Line]:
    """Return the lines with what became clear: ``there``, ``error``, and for new ones what they are reached through.

    A line names its jump host by ``via``: another line, or else an instance that the actor may use. Jump hosts are
    looked at before what is behind them, whatever the order of the lines.
    Side effects: a few queries, however many lines, and a few for each jump host that is there.
    """
    return _Comparison(actor, lines).done()


class _Comparison:
    def __init__(self, actor: "User", lines: list[Line]) -> None:
        self._actor = actor
        self._lines = lines
        new = [line.new for line in lines if line.new is not None]
        everything = Instance.objects.all()
        self._by_name = {row.name: row for row in _found("name", {one.wanted_name for one in new}, everything)}
        self._by_host: dict[str, list[Instance]] = {}
        for row in _found("address", {one.address.host for one in new}, everything):
            self._by_host.setdefault(row.address, []).append(row)
        vias = {one.via for one in new if one.via}
        self._usable = {row.name: row for row in _found("name", vias, jumps.usable(actor))}
        # Of several lines with one name, the first is meant.
        self._line_of: dict[str, int] = {}
        for index, line in enumerate(lines):
            if line.new is not None:
                self._line_of.setdefault(line.new.wanted_name, index)
        self._results: dict[int, Line] = {}
        self._ways: dict[int, Way] = {}
        self._depths: dict[int | str, int] = {}
        self._taken: dict[object, int] = {}

    def done(self) -> list[Line]:
        """Compare all lines, in their order but jump hosts first."""
        for index in range(len(self._lines)):
            self._compare_with_its_chain(index)
        return [self._results[index] for index in range(len(self._lines))]

    def _compare_with_its_chain(self, index: int) -> None:
        chain, at = list[int](), index
        while at not in self._results and at not in chain:
            chain.append(at)
            at = self._line_of.get(self._via(at), at)
        is_circle = at in chain and self._line_of.get(self._via(at)) is not None
        for one in reversed(chain):
            line = self._lines[one]
            if is_circle:
                self._results[one] = replace(line, error="It is reached through itself: that would be a circle.")
            else:
                self._results[one] = self._compared(one, line)

    def _via(self, index: int) -> str:
        new = self._lines[index].new
        return new.via if new is not None else ""

    def _compared(self, index: int, line: Line) -> Line:
        new = line.new
        if new is None:
            return line
        way, error = self._way(new.via)
        if not error and way is not None and new.address.is_local:
            error = "The console's own machine is reached without SSH, so not through a jump host."
        if error:
            return replace(line, error=error)
        row = self._existing(line, way)
        if row is not None:
            self._ways[index] = row
            return replace(line, there=f"instance {row.name}")
        name, place = new.wanted_name, (new.address.host, new.address.port, new.address.user, _key(way))
        if place in self._taken:
            first = self._taken[place]
            self._ways[index] = self._ways[first]
            return replace(line, there=f"line {self._lines[first].number}")
        if name in self._by_name:
            return replace(line, error=_taken(name, f"instance at {self._by_name[name].address}"))
        if ("name", name) in self._taken:
            return replace(line, error=_taken(name, f"line {self._lines[self._taken['name', name]].number}"))
        if self._depth(way) > jumps.HOPS_LIMIT:
            return replace(line, error=f"A chain has at most {jumps.HOPS_LIMIT} jump hosts.")
        self._taken[place] = self._taken["name", name] = index
        self._ways[index] = name
        self._depths[name] = self._depth(way)
        if isinstance(way, Instance):
            return replace(line, new=replace(new, jump=way, via=""))
        return replace(line, new=replace(new, via=way or ""))

    def _way(self, via: str) -> tuple[Way, str]:
        if not via:
            return None, ""
        index = self._line_of.get(via)
        if index is not None:
            result = self._results[index]
            if result.error:
                return None, f"Its jump host, line {result.number}, cannot be added."
            way = self._ways[index]
            if not isinstance(way, Instance):
                return way, ""
            via = way.name
            if via not in self._usable:
                self._usable |= {row.name: row for row in _found("name", {via}, jumps.usable(self._actor))}
        row = self._usable.get(via)
        if row is None:
            return None, f"There is no instance “{via[:80]}” that you may use as a jump host."
        return row, ""

    def _existing(self, line: Line, way: Way) -> Instance | None:
        new = line.new
        assert new is not None
        if isinstance(way, str):
            return None
        jump_id = way.pk if way is not None else None
        at = [
            row
            for row in self._by_host.get(new.address.host, [])
            if (row.port, row.jump_id) == (new.address.port, jump_id)
        ]
        for row in at:
            if row.user_name == new.address.user:
                return row
        if line.is_jump and not new.address.user:
            # Only named on the way to others: as which user is the instance's own matter.
            return at[0] if at else self._by_name.get(new.wanted_name)
        return None

    def _depth(self, way: Way) -> int:
        if way is None:
            return 0
        if isinstance(way, str):
            return self._depths[way] + 1
        if way.pk not in self._depths:
            self._depths[way.pk] = len(jumps.chain_of(way))
        return self._depths[way.pk] + 1


def _taken(name: str, by: str) -> str:
    return f"The name “{name}” is there already ({by}); write another one."


def _key(way: Way) -> int | str | None:
    return way.pk if isinstance(way, Instance) else way


def _found(field: str, values: Iterable[str], rows: QuerySet[Instance]) -> list[Instance]:
    ordered = sorted(values)
    found: list[Instance] = []
    for start in range(0, len(ordered), _BATCH):
        found.extend(rows.filter(**{f"{field}__in": ordered[start : start + _BATCH]}, is_adhoc=False))
    return found
