"""Owns which instances pasted names and addresses mean, and what is said of those that mean none or several."""

from collections import defaultdict
from collections.abc import Iterable

from console.members.models import User
from console.runs.names import NamesUnreadable, fold_names, read_names
from console.runs.services import RunError
from instances.inventory import query as inventory_query

NAMES_TOLD = 20
NAME_TOLD = 100


class NamesRefused(RunError):
    """Some names mean no instance of the list, or more than one.

    ``unknown`` and ``several`` hold them as they were read, "!" in front where they leave out; of ``several`` each with
    the names it may mean. ``left_out`` is the text that agrees to leave all of them out.
    """

    def __init__(self, unknown: list[str], several: dict[str, list[str]]) -> None:
        self.unknown, self.several = tuple(unknown), several
        super().__init__("names", " ".join(filter(None, (_say_unknown(unknown), *map(_say_several, several.items())))))

    @property
    def left_out(self) -> str:
        """The names, one on a line."""
        return "\n".join((*self.unknown, *self.several))

    @property
    def count(self) -> int:
        """How many names there are to leave out."""
        return len(self.unknown) + len(self.several)


class _Places:
    """What a user's list has under each name and address. A name wins over an address; a name's case does not count."""

    def __init__(self, user: User) -> None:
        self.name_of: dict[int, str] = {}
        self._exact: dict[str, int] = {}
        self._names: defaultdict[str, set[int]] = defaultdict(set)
        self._addresses: defaultdict[str, set[int]] = defaultdict(set)
        rows = inventory_query.listed(user).values_list("pk", "name", "address", "port")
        for pk, name, address, port in rows.iterator(chunk_size=5000):
            self.name_of[pk] = self._exact_name(pk, name)
            self._names[name.lower()].add(pk)
            for form in (address, f"{address}:{port}", f"[{address}]", f"[{address}]:{port}"):
                self._addresses[form.lower()].add(pk)

    def _exact_name(self, pk: int, name: str) -> str:
        self._exact[name] = pk
        return name

    def find(self, name: str) -> set[int]:
        if name in self._exact:
            return {self._exact[name]}
        return self._names.get(name.lower()) or self._addresses.get(name.lower()) or set()


def find_named(user: User, text: str, left_out: str = "") -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the ids of the instances that names and addresses mean, in the order written, and the names passed over.

    ``left_out``: names, one on a line, that may be passed over where they mean none or several.
    Raises: NamesRefused for others that do; RunError for text that cannot be read. Side effects: one query.
    """
    try:
        read = read_names(text)
    except NamesUnreadable as error:
        raise RunError("names", str(error)) from None
    if not read.wanted:
        raise RunError("names", "Enter the names of the instances.")
    places, agreed = _Places(user), set(left_out.splitlines())
    passed_over: list[str] = []
    unknown: list[str] = []
    several: dict[str, list[str]] = {}

    def look_up(names: Iterable[str], mark: str) -> dict[int, None]:
        ids: dict[int, None] = {}
        for name in names:
            found = places.find(name)
            if len(found) == 1:
                ids[next(iter(found))] = None
            elif mark + name in agreed:
                passed_over.append(mark + name)
            elif not found:
                unknown.append(mark + name)
            else:
                several[mark + name] = sorted(places.name_of[pk] for pk in found)
        return ids

    wanted, excluded = look_up(read.wanted, ""), look_up(read.excluded, "!")
    if unknown or several:
        raise NamesRefused(unknown, several)
    return tuple(pk for pk in wanted if pk not in excluded), tuple(passed_over)


def _say_unknown(names: list[str]) -> str:
    if not names:
        return ""
    # Of what was pasted by mistake the beginning is enough to know it by.
    told = fold_names(name if len(name) <= NAME_TOLD else f"{name[:NAME_TOLD]}…" for name in names[:NAMES_TOLD]) + (
        f" and {len(names) - NAMES_TOLD:,} more" if len(names) > NAMES_TOLD else ""
    )
    return f"Not in the list: {told}."


def _say_several(found: tuple[str, list[str]]) -> str:
    name, meant = found
    more = ", …" if len(meant) > 5 else ""
    return f"{name} means {len(meant)} instances ({', '.join(meant[:5])}{more}): write a name, or address:port."
