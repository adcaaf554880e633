"""Owns searching commands and outputs of all runs: hits by run, each with its line, only of what one may see."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import Q

from console.history.pages import number
from console.members.models import User
from console.runs import indexing, services, word_index
from console.runs.models import Invocation, Run
from console.runs.word_index import Words
from instances.access import rules

WORDS_CHARACTERS = 200
# Hits on a page, and of one run: the others of it are counted.
HITS, HITS_OF_A_RUN = 50, 5
RUNS_BY_COMMAND = 20
# Outputs that one search opens at most; then it says how far it came, and goes on from there when asked.
OPENED, OPENED_AT_ONCE = 1000, 50
LINE_CHARACTERS = 240
LATEST = 2**62


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of an output that has a word asked for; ``line`` counts from 1."""

    invocation: Invocation
    line: int
    text: str


@dataclass(slots=True)
class RunHits:
    """The hits in one run; ``more`` counts outputs of it that hold the words and are not shown."""

    run: Run
    hits: list[Hit] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. ``next_before`` is where it goes on, 0 at the end; ``unread`` counts runs not yet read."""

    by_command: list[Run]
    by_output: list[RunHits]
    next_before: int
    unread: int
    has_index: bool


def find(user: User, text: str, *, before: str | None = None) -> Found:
    """Return newest first where all words of a text are: in a command, or in the first 64 KiB of an output.

    Side effects: opens at most ``OPENED`` outputs.
    """
    words = word_index.words_of(text)
    start = number(before) or LATEST
    commands = _by_command(user, text, words) if words and start == LATEST else []
    outputs, next_before = _by_output(user, words, start) if words else ([], 0)
    unread = indexing.waiting().order_by()[:1000].count()
    return Found(commands, outputs, next_before, unread, word_index.is_available())


def _by_command(user: User, text: str, words: set[str]) -> list[Run]:
    runs = services.visible_runs(user).order_by("-pk")
    if not word_index.is_available():
        return list(runs.filter(command__icontains=text)[:RUNS_BY_COMMAND])
    # What has not ended is not in the index yet, and is little.
    ids = word_index.having(Words.OF_COMMANDS, words, before=LATEST, limit=OPENED)
    return list(runs.filter(pk__in=ids)[:RUNS_BY_COMMAND])


def _by_output(user: User, words: set[str], start: int) -> tuple[list[RunHits], int]:
    found: dict[int, RunHits] = {}
    opened = shown = 0
    before = start
    scope = rules.scope(user, rules.Action.VIEW, field="instance__group")
    while opened < OPENED and shown < HITS:
        ids = word_index.having(Words.OF_OUTPUTS, words, before=before, limit=OPENED_AT_ONCE)
        if not ids:
            return list(found.values()), 0
        opened, before = opened + len(ids), ids[-1]
        for hit in _hits(ids, scope, words):
            of_run = found.setdefault(hit.invocation.run_id, RunHits(hit.invocation.run))
            if len(of_run.hits) < HITS_OF_A_RUN:
                of_run.hits.append(hit)
                shown += 1
            else:
                of_run.more += 1
    return list(found.values()), before


def _hits(ids: list[int], scope: Q, words: set[str]) -> Iterator[Hit]:
    rows = Invocation.objects.filter(scope, pk__in=ids, output_removed_at=None).select_related("run").order_by("-pk")
    shown = list(rows)
    heads = indexing.heads_of(shown)
    for row in shown:
        best = _best_line(heads[row.pk], words)
        if best is not None:
            yield Hit(row, *best)


def _best_line(head: str, words: set[str]) -> tuple[int, str] | None:
    """Return the number and text of the first line with the most of the words."""
    best, most = None, 0
    for line, text in enumerate(head.split("\n"), start=1):
        there = word_index.words_of(text)
        have = sum(any(_fits(word, other) for other in there) for word in words)
        if have > most:
            best, most = (line, text), have
        if most == len(words):
            break
    return None if best is None else (best[0], _around(best[1], words))


def _fits(word: str, other: str) -> bool:
    return other == word or (len(word) >= word_index.PREFIX_CHARACTERS and other.startswith(word))


def _around(text: str, words: set[str]) -> str:
    """Cut a long line to what is around the first of the words."""
    text = text.strip("\r")
    if len(text) <= LINE_CHARACTERS:
        return text
    places = [place for place in (text.casefold().find(word) for word in words) if place >= 0]
    start = max(0, min(places, default=0) - LINE_CHARACTERS // 4)
    part = "".join(itertools.islice(text, start, start + LINE_CHARACTERS))
    return f"{'…' if start else ''}{part}{'…' if start + LINE_CHARACTERS < len(text) else ''}"
