"""Reads a pasted list of instances: one per line, ``[user@]host[:port] [name] [k=v …]``, ``#`` begins a comment."""

from dataclasses import dataclass, replace

from instances.inventory import addresses, services
from instances.inventory import tags as tag_text
from instances.inventory.addresses import Address
from instances.inventory.errors import InventoryError
from instances.inventory.models import Instance
from instances.inventory.services import NewInstance

TEXT_LIMIT = 2_000_000
LINES_LIMIT = 20_000
_BATCH = 5000


@dataclass(frozen=True)
class Line:
    """One line that says something: an instance to add, or why it cannot be. ``number`` counts from 1.

    Only of imports: ``note`` is what else a person should know, ``there`` names the instance that it is already, and
    ``is_jump`` marks a jump host that is only named on the way to others.
    """

    number: int
    text: str
    new: NewInstance | None = None
    error: str = ""
    note: str = ""
    there: str = ""
    is_jump: bool = False


def preview(text: str) -> list[Line]:
    """Read a list and compare it with the inventory; nothing is saved.

    Side effects: a few queries, however many lines.
    """
    said = ((number, _said(raw)) for number, raw in enumerate(text.splitlines(), 1))
    lines = [_line(number, words) for number, words in said if words]
    new = [line.new for line in lines if line.new is not None]
    names = _taken_names({one.wanted_name for one in new})
    places = _taken_places({one.address.host for one in new})
    return [_compared(line, names, places) for line in lines]


def to_add(lines: list[Line]) -> list[NewInstance]:
    """Return what the lines without an error add."""
    return [line.new for line in lines if line.new is not None and not line.error and not line.there]


def _said(raw: str) -> str:
    words = raw.split()
    comment = next((place for place, word in enumerate(words) if word.startswith("#")), len(words))
    return " ".join(words[:comment])


def _line(number: int, text: str) -> Line:
    if number > LINES_LIMIT:
        return Line(number, text, error=f"A list has at most {LINES_LIMIT} lines.")
    place, *rest = text.split(" ")
    name = rest.pop(0) if rest and "=" not in rest[0] else ""
    try:
        new = NewInstance(addresses.parse(place), name, tags=tag_text.parse(" ".join(rest)))
        services.check_address(new.address)
        services.check_name(new.wanted_name)
    except InventoryError as error:
        return Line(number, text[:500], error=str(error))
    return Line(number, text, new)


def _compared(line: Line, names: dict[str, str], places: dict[tuple[str, int, str], str]) -> Line:
    # Names and places of lines that are kept are added, so that a later line cannot repeat them.
    if line.new is None:
        return line
    name, place = line.new.wanted_name, _place(line.new.address)
    if place in places:
        return replace(line, error=f"This address is there already ({places[place]}).")
    if name in names:
        return replace(line, error=f"The name “{name}” is there already ({names[name]}); write another one.")
    names[name] = places[place] = f"line {line.number}"
    return line


def _place(address: Address) -> tuple[str, int, str]:
    return address.host, address.port, address.user


def _taken_names(names: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _parts(names):
        taken = Instance.objects.filter(name__in=part, is_adhoc=False).values_list("name", "address")
        found |= {name: f"instance at {address}" for name, address in taken}
    return found


def _taken_places(hosts: set[str]) -> dict[tuple[str, int, str], str]:
    found: dict[tuple[str, int, str], str] = {}
    for part in _parts(hosts):
        taken = Instance.objects.filter(address__in=part, is_adhoc=False, jump=None)
        for address, port, user, name in taken.values_list("address", "port", "user_name", "name"):
            found[address, port, user] = f"instance {name}"
    return found


def _parts(values: set[str]) -> list[list[str]]:
    ordered = sorted(values)
    return [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]
