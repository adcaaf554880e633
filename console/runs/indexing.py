"""Owns reading ended runs into the index of words, a few outputs at a time."""

from collections.abc import Iterator

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console.runs import word_index
from console.runs.models import Invocation, Output, OutputKind, Run
from console.runs.word_index import Words
from instances.engine.text import decode

# Of an output this much from its beginning can be found.
INDEXED_BYTES = 64 * 1024
# What one transaction reads at most: a few milliseconds for short outputs, 30 ms for long ones.
BATCH_INVOCATIONS = 100
BATCH_BYTES = 256 * 1024


def waiting() -> QuerySet[Run]:
    """Return the ended runs that are not in the index yet."""
    return Run.objects.filter(finished_at__isnull=False, indexed_at=None)


def index_next() -> Iterator[int]:
    """Read the newest run that waits; every ``next`` is one short transaction and gives how many outputs it read.

    A run that is broken off is read again from its beginning; one that retention takes away meanwhile is left.
    """
    run = waiting().order_by("-pk").first()
    if run is None:
        return
    after = -1
    while True:
        with transaction.atomic():
            # Locked, and still there: nothing would take the words of what is removed away again.
            if Run.objects.select_for_update().filter(pk=run.pk).first() is None:
                return
            rows = _next_outputs(run, after)
            heads = heads_of(rows)
            word_index.put(Words.OF_OUTPUTS, {pk: word_index.words_of(head) for pk, head in heads.items()})
            if not rows:
                word_index.put(Words.OF_COMMANDS, {run.pk: word_index.words_of(run.command)})
                Run.objects.filter(pk=run.pk).update(indexed_at=timezone.now())
        yield len(rows)
        if not rows:
            return
        after = rows[-1].ordinal


def _next_outputs(run: Run, after: int) -> list[Invocation]:
    found = run.invocations.filter(ordinal__gt=after, size__gt=0, output_removed_at=None).order_by("ordinal")
    rows: list[Invocation] = []
    size = 0
    for row in found.only("pk", "run_id", "ordinal", "size", "code_page")[:BATCH_INVOCATIONS]:
        size += min(row.size, INDEXED_BYTES)
        if rows and size > BATCH_BYTES:
            break
        rows.append(row)
    return rows


def heads_of(invocations: list[Invocation]) -> dict[int, str]:
    """Return the beginnings of outputs, as far as they can be found, by invocation. Side effects: one query."""
    pieces: dict[int, list[bytes]] = {row.pk: [] for row in invocations}
    rows = Output.objects.filter(invocation_id__in=pieces, offset__lt=INDEXED_BYTES).exclude(kind=OutputKind.GAP)
    for pk, offset, data in rows.order_by("invocation_id", "offset").values_list("invocation_id", "offset", "data"):
        pieces[pk].append(bytes(data)[: INDEXED_BYTES - offset])
    return {row.pk: decode(b"".join(pieces[row.pk]), row.code_page) for row in invocations}
