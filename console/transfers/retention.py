"""Owns how long transfers are kept: as long as runs."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from console.transfers import store
from console.transfers.models import OPEN_STATES, Delivery, Transfer
from instances.audit.services import record

_BATCH = 200


def prune(days: int) -> Iterator[int]:
    """Remove ended transfers that are older, with their files, a batch at each step, then files that nobody names.

    Shape: how many transfers each step removed. 0 days: transfers are kept for ever.
    """
    while days and (removed := _prune_batch(days)):
        yield removed
    _remove_orphans()


def _prune_batch(days: int) -> int:
    old = Transfer.objects.filter(created_at__lt=timezone.now() - timedelta(days=days))
    ids = list(old.exclude(deliveries__state__in=OPEN_STATES).values_list("pk", flat=True)[:_BATCH])
    if not ids:
        return 0
    names = list(Delivery.objects.filter(transfer__in=ids).exclude(stored="").values_list("stored", flat=True))
    names += Transfer.objects.filter(pk__in=ids).exclude(stored="").values_list("stored", flat=True)
    with transaction.atomic():
        Transfer.objects.filter(pk__in=ids).delete()
        record(None, "prune_files", "", transfers=len(ids), files=len(names), days=days)
        transaction.on_commit(lambda: store.remove(names))
    return len(ids)


def _remove_orphans() -> None:
    """Remove what a process that died left; nothing is written for a day without a row that names it."""
    before = (timezone.now() - timedelta(days=1)).timestamp()
    for path in store.folder().iterdir():
        name = path.name.partition(".")[0]
        is_named = Delivery.objects.filter(stored=name).exists() or Transfer.objects.filter(stored=name).exists()
        if path.stat().st_mtime < before and not is_named:
            path.unlink(missing_ok=True)
