"""Owns schedules, and what became of each of their due times."""

from datetime import UTC
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from console.schedules.timing import Kind, Rule, Unit


class Source(models.TextChoices):
    """Which text a schedule sends."""

    TEXT = "text", "The command as it is written here"
    LATEST = "latest", "The saved command, in its latest version when it is due"
    VERSION = "version", "This version of the saved command"


class Overlap(models.TextChoices):
    """What happens at a due time while the run before has not ended."""

    SKIP = "skip", "Leave this time out"
    QUEUE = "queue", "Start when the run before has ended; at most one waits"
    START = "start", "Start anyway"


class Outcome(models.TextChoices):
    """What became of a due time."""

    FIRED = "fired", "Started"
    WAITING = "waiting", "Waits for the run before"
    SKIPPED_OVERLAP = "skipped_overlap", "Left out: the run before had not ended"
    MISSED = "missed", "Missed"
    REFUSED = "refused", "Refused"


class Schedule(models.Model):
    """What is sent, to which instances, and when, by itself; it acts as its owner, with his rights of that moment.

    ``values`` are the values of the Send Command form by field: lists of texts, none of them secret. With ``LATEST`` or
    ``VERSION`` the command in them gives way to that of the saved command. ``next_at`` is empty when nothing is due any
    more, or while it is paused. ``last_due_at`` is the last due time that was looked at: none up to it comes again,
    whatever the clock does.
    """

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    owner_name = models.CharField(max_length=150)
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.TEXT)
    saved = models.ForeignKey("SavedCommand", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    version = models.ForeignKey(
        "SavedCommandVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # What it was called, for the reason once it is gone.
    saved_name = models.CharField(max_length=80, blank=True)
    values = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    # The instances were looked up when it was made; else they are each time.
    is_frozen = models.BooleanField(default=False)

    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in Kind])
    zone = models.CharField(max_length=64, default="UTC")
    anchor_at = models.DateTimeField(null=True, blank=True)
    expression = models.CharField(max_length=200, blank=True)
    every = models.PositiveIntegerField(default=1)
    unit = models.CharField(max_length=8, default=Unit.HOURS.value)
    ends_at = models.DateTimeField(null=True, blank=True)
    overlap = models.CharField(max_length=8, choices=Overlap.choices, default=Overlap.SKIP)
    # 0: one that was missed is not made up for.
    late_within_minutes = models.PositiveIntegerField(default=0)

    next_at = models.DateTimeField(null=True, blank=True)
    last_due_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "pk")
        constraints = (models.UniqueConstraint(fields=("owner", "name"), name="a_name_once_per_owner"),)
        indexes = (models.Index(fields=("next_at",), condition=Q(next_at__isnull=False), name="schedules_that_come"),)

    def __str__(self) -> str:
        return self.name

    @property
    def rule(self) -> Rule:
        """When it is due."""
        return Rule(
            kind=Kind(self.kind),
            zone=self.zone,
            anchor=self.anchor_at and self.anchor_at.astimezone(UTC),
            expression=self.expression,
            every=self.every,
            unit=Unit(self.unit),
            ends_at=self.ends_at,
        )

    @property
    def time_zone(self) -> ZoneInfo:
        """Its time zone; UTC where this machine does not know it any more."""
        try:
            return ZoneInfo(self.zone)
        except (LookupError, OSError, ValueError):
            return ZoneInfo("UTC")


class Firing(models.Model):
    """What became of a due time, or of several in a row that were missed: ``count`` of them, up to ``until_at``.

    ``run`` is the run it started, the first of two where it was sent to two OS families. ``pressed_by`` names who
    pressed Run now; then it was due when that was pressed.
    """

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="firings")
    due_at = models.DateTimeField()
    until_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    message = models.CharField(max_length=1000, blank=True)
    pressed_by = models.CharField(max_length=150, blank=True)
    run = models.ForeignKey("Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="firings")

    class Meta:
        ordering = ("-due_at", "-pk")
        constraints = (models.UniqueConstraint(fields=("schedule", "due_at"), name="a_due_time_once"),)
        indexes = (models.Index(fields=("schedule",), condition=Q(outcome="waiting"), name="firings_that_wait"),)
