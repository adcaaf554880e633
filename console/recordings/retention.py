"""Owns how long recordings are kept."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from console.recordings import services
from console.recordings.models import Recording, RecordingPart
from instances.audit.services import record

# At most 16 MiB of a file; compressed a tenth of it.
_BATCH_PARTS = 256


def prune(days: int) -> Iterator[int]:
    """Remove recordings that ended more than some days ago, a short transaction at each step.

    Shape: how many recordings each step finished. 0 days: they are kept for ever.
    """
    services.end_left_alone()
    if not days:
        return
    before = timezone.now() - timedelta(days=days)
    while (old := Recording.objects.filter(ended_at__lt=before).order_by("ended_at", "pk").first()) is not None:
        yield _remove_some(old, days)


def _remove_some(old: Recording, days: int) -> int:
    """Remove from the end, so that what is left is a whole beginning of the file meanwhile."""
    offsets = list(old.parts.order_by("-offset").values_list("offset", flat=True)[: _BATCH_PARTS + 1])
    with transaction.atomic():
        if len(offsets) > _BATCH_PARTS:
            cut = offsets[_BATCH_PARTS - 1]
            RecordingPart.objects.filter(recording=old, offset__gte=cut).delete()
            Recording.objects.filter(pk=old.pk).update(size=cut)
            return 0
        record(None, "prune_recording", old.subject, id=old.pk, owner=old.owner_name, days=days)
        old.delete()
    return 1
