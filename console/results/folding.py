"""Owns the short form of many names: web[01-12] for twelve."""

import re
from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

# What has no meaning of its own in the language of ClusterShell.
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_NUMBERS = re.compile(r"\d+")
# Ranges over several numbers ("rack[1-9]-[1-4]") take time that grows with the square of the names: half a minute for
# 5,000.
MAX_OF_SEVERAL_NUMBERS = 50


def fold(names: Iterable[str]) -> str:
    """Return names as text, those with numbers as ranges: "db-1,web[01-12]". Names of any form are taken.

    Zeros in front are kept; a name that occurs more than once is said once.
    """
    kinds: dict[str, list[str]] = {"plain": [], "several": [], "other": []}
    for name in dict.fromkeys(names):
        kinds[_kind(name)].append(name)
    plain, several, others = kinds.values()
    if len(several) <= MAX_OF_SEVERAL_NUMBERS:
        plain += several
    else:
        others += several
    try:
        folded = [str(NodeSet.fromlist(plain, resolver=RESOLVER_NOGROUP))] if plain else []
    except NodeSetException:
        folded = sorted(plain)
    return ",".join(folded + sorted(others))


def _kind(name: str) -> str:
    if not _PLAIN.fullmatch(name):
        return "other"
    return "several" if len(_NUMBERS.findall(name)) > 1 else "plain"
