"""Owns recordings of terminals: what each showed, as an asciicast file in parts."""

from django.conf import settings
from django.db import models

from instances.inventory.models import Instance


class Recording(models.Model):
    """What one terminal showed, never what was typed. Names are copied: it outlives session, instance and owner.

    Without ``ended_at`` it is still being recorded. ``columns`` and ``rows`` are the size it begins with. Units:
    ``size`` and ``lost`` are bytes, of the asciicast file and of output that could not be kept; ``events`` are its
    lines after the first.
    """

    session = models.OneToOneField("console.Session", null=True, on_delete=models.SET_NULL, related_name="recording")
    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="recordings")
    instance_name = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="recordings")
    owner_name = models.CharField(max_length=150)
    started_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveBigIntegerField(default=0)
    columns = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField(default=0)
    events = models.PositiveBigIntegerField(default=0)
    lost = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("ended_at",)),)

    @property
    def duration_s(self) -> float:
        """How long it takes to play it."""
        return self.duration_ms / 1000

    @property
    def is_live(self) -> bool:
        """Whether more may come."""
        return self.ended_at is None

    @property
    def subject(self) -> str:
        """How the audit names it; no two have the same."""
        return f"{self.instance_name} ({self.pk})"


class RecordingPart(models.Model):
    """Some bytes of the file, from ``offset`` on, compressed with zlib.

    Full ones begin at a multiple of their size; after the last full one come short ones, which the next full one
    replaces.
    """

    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="parts")
    offset = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("recording", "offset"), name="a_byte_is_recorded_once"),)
