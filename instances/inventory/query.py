"""The filter language of the list: words, ``key:value``, ``-`` in front to leave out.

- A bare word is looked for in names, addresses and tag values.
- ``name:`` and ``address:`` look for a part; ``os:``, ``state:``, ``group:`` and ``via:`` compare; ``tag:env`` asks for
  the key; every other key is a tag's: ``env:prod``, or ``env:`` for any value.
- The same key twice means either of them; different keys, and words, must all match.
- ``"two words"`` keeps blanks; ``-`` or ``!`` in front leaves out what matches.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from django.db.models import Q, QuerySet

from instances.access import rules
from instances.access.models import Group
from instances.inventory.models import OS, Instance, Reach, Tag

if TYPE_CHECKING:
    from console.members.models import User

TEXT_LIMIT = 1000
TERM_LIMIT = 40
STATES = {
    "reachable": Q(reach=Reach.REACHABLE, is_disabled=False),
    "unreachable": Q(reach=Reach.UNREACHABLE, is_disabled=False),
    "unknown": Q(reach=Reach.UNKNOWN, is_disabled=False),
    "disabled": Q(is_disabled=True),
}
NO_GROUP = "none"
NOTHING = Q(pk__in=())

_TOKEN = re.compile(r"""(?P<minus>[-!]?)(?:(?P<key>[^\s:"]+):)?(?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"]*))""")
_TAG_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,39}")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}")


@dataclass(frozen=True)
class Term:
    """One part of a filter; ``key`` is empty for a bare word."""

    key: str
    value: str
    is_negated: bool = False

    def __str__(self) -> str:
        value = (
            f'"{self.value}"'
            if re.search(r"\s|^[-!]", self.value) or (not self.key and ":" in self.value)
            else self.value
        )
        return ("-" if self.is_negated else "") + (f"{self.key}:{value}" if self.key else value)


@dataclass(frozen=True)
class Query:
    """A filter that was read. ``errors`` are sentences for the person who typed it; such a part matches nothing."""

    terms: tuple[Term, ...] = ()
    errors: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return " ".join(str(term) for term in self.terms)

    def condition(self) -> Q:
        """Return the filter on Instance."""
        wanted: dict[tuple[str, bool], list[Q]] = defaultdict(list)
        for number, term in enumerate(self.terms):
            # Words are all wanted, so each is a group of its own.
            wanted[term.key or f" {number}", term.is_negated].append(_condition(term))
        result = Q()
        for (_, is_negated), choices in wanted.items():
            either = choices[0]
            for choice in choices[1:]:
                either |= choice
            result &= ~either if is_negated else either
        return result

    def has(self, key: str, value: str) -> bool:
        """Say whether this very choice is part of the filter."""
        return any(_same(term, key, value) for term in self.terms)

    def with_choice(self, key: str, value: str) -> "Query":
        """Return the filter with one choice more."""
        return Query((*self.terms, Term(key, value)))

    def without_choice(self, key: str, value: str) -> "Query":
        """Return the filter without one choice."""
        return Query(tuple(term for term in self.terms if not _same(term, key, value)))

    def without_key(self, key: str) -> "Query":
        """Return the filter without the choices of a key, to count what the other choices would match."""
        return Query(tuple(term for term in self.terms if term.key != key or term.is_negated))


def parse(text: str) -> Query:
    """Read a filter. Never raises: what cannot be meant becomes an error of the result."""
    clean = "".join(char if char.isprintable() else " " for char in text[:TEXT_LIMIT])
    errors = [f"Only the first {TEXT_LIMIT} characters of the filter are used."] if len(text) > TEXT_LIMIT else []
    terms = [term for match in _TOKEN.finditer(clean) if (term := _term(match)) is not None]
    if len(terms) > TERM_LIMIT:
        errors.append(f"A filter has at most {TERM_LIMIT} parts.")
    for term in terms[:TERM_LIMIT]:
        if term.key == "os" and term.value not in OS.values:
            errors.append(f"os: is one of {', '.join(OS.values)}.")
        if term.key == "state" and term.value not in STATES:
            errors.append(f"state: is one of {', '.join(STATES)}.")
    return Query(tuple(terms[:TERM_LIMIT]), tuple(dict.fromkeys(errors)))


def visible(user: "User") -> QuerySet[Instance]:
    """Return every instance the user may see, the typed-in ones included."""
    return Instance.objects.filter(rules.scope(user, rules.Action.VIEW))


def listed(user: "User", group: Group | None = None) -> QuerySet[Instance]:
    """Return what the list shows without a filter: all the user may see, disabled ones included.

    Instances that were only typed into the Send Command dialog are left out.
    """
    found = visible(user).filter(is_adhoc=False)
    return found if group is None else found.filter(group=group)


def matching(user: "User", text: str, group: Group | None = None) -> QuerySet[Instance]:
    """Return what a filter matches in the list."""
    return listed(user, group).filter(parse(text).condition())


def selected(user: "User", *, ids: Iterable[str] = (), query: str = "", except_ids: str = "") -> QuerySet[Instance]:
    """Return a selection as the pages send it, kept to what the user may see.

    Shape: ``ids`` and ``except_ids`` are comma-separated ids; ``query`` is the list's data-query, such as
    ``q=env%3Aprod&group=3``, and wins over ``ids``. Parts that are not ids are ignored.
    """
    if not query:
        return visible(user).filter(pk__in=numbers(ids))
    parameters = _parameters(query)
    if parameters is None:
        return Instance.objects.none()
    found = matching(user, parameters["q"][0]).exclude(pk__in=numbers([except_ids]))
    group = parameters.get("group", [""])[0]
    return found.filter(group__in=numbers([group])) if group else found


def numbers(texts: Iterable[str]) -> set[int]:
    """Return the row ids in comma-separated texts; anything else in them is ignored."""
    parts = (part.strip() for text in texts for part in text.split(","))
    return {int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19}


def _parameters(query: str) -> dict[str, list[str]] | None:
    # None, and so no instance at all, for anything that is not a list's data-query: a garbled one must not mean all.
    try:
        parameters = parse_qs(query, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return None
    return parameters if "q" in parameters else None


def _term(match: re.Match[str]) -> Term | None:
    minus, key, quoted, plain = match["minus"], match["key"] or "", match["quoted"], match["plain"] or ""
    value = quoted if quoted is not None else plain
    if key and (not _TAG_KEY.fullmatch(key) or (quoted is None and _IPV6.fullmatch(f"{key}:{plain}"))):
        key, value = "", f"{key}:{value}"
    if not key and not value:
        return None
    key = key.lower()
    if key in {"os", "state"}:
        value = value.lower()
    return Term(key, value, bool(minus))


def _same(term: Term, key: str, value: str) -> bool:
    return not term.is_negated and term.key == key and term.value.lower() == value.lower()


def _word(value: str) -> Q:
    tagged = Tag.objects.filter(value__icontains=value).values("instance_id")
    return Q(name__icontains=value) | Q(address__icontains=value) | Q(pk__in=tagged)


def _group(value: str) -> Q:
    found = Q(group__name__iexact=value)
    return found | Q(group=None) if value.lower() in {"", NO_GROUP} else found


def _via(value: str) -> Q:
    found = Q(jump__name__iexact=value)
    return found | Q(jump=None) if value.lower() in {"", NO_GROUP} else found


_CONDITIONS: dict[str, Callable[[str], Q]] = {
    "": _word,
    "name": lambda value: Q(name__icontains=value),
    "address": lambda value: Q(address__icontains=value),
    "os": lambda value: Q(os=value),
    "state": lambda value: STATES.get(value, NOTHING),
    "group": _group,
    "via": _via,
    "tag": lambda value: Q(pk__in=Tag.objects.filter(key=value.lower()).values("instance_id")),
}
RESERVED_KEYS = frozenset(_CONDITIONS) - {""}


def _condition(term: Term) -> Q:
    if term.key in _CONDITIONS:
        return _CONDITIONS[term.key](term.value)
    tagged = Tag.objects.filter(key=term.key)
    if term.value:
        tagged = tagged.filter(value__iexact=term.value)
    return Q(pk__in=tagged.values("instance_id"))
