"""Owns files sent to and fetched from instances, and how it went on each."""

from django.conf import settings
from django.db import models

from instances.engine.files import Overwrite
from instances.inventory.models import Instance


class Direction(models.TextChoices):
    """Which way a file goes."""

    SEND = "send", "Send"
    FETCH = "fetch", "Fetch"


class State(models.TextChoices):
    """How far a delivery is; the words are those of invocations."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


OPEN_STATES = (State.QUEUED, State.RUNNING)


class Transfer(models.Model):
    """One press of Send or Fetch. ``stored`` names the uploaded file in the data folder while it is needed.

    ``mode`` null: that of the file that is replaced, or 0644. Units: ``size`` is bytes.
    """

    direction = models.CharField(max_length=5, choices=Direction.choices)
    path = models.CharField(max_length=4096)
    overwrite = models.CharField(
        max_length=12, choices=[(rule.value, rule.value) for rule in Overwrite], default=Overwrite.REFUSE.value
    )
    mode = models.PositiveIntegerField(null=True)
    owner = models.CharField(max_length=130, blank=True)
    file_name = models.CharField(max_length=255, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    stored = models.CharField(max_length=40, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="transfers")
    actor_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)


class Delivery(models.Model):
    """A transfer on one instance. A worker takes it by moving ``due_at`` ahead, and goes on doing so while it works.

    ``stored`` names the fetched file in the data folder. Units: ``done_bytes`` and ``size`` are bytes.
    """

    transfer = models.ForeignKey(Transfer, on_delete=models.CASCADE, related_name="deliveries")
    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    instance_name = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=500, blank=True)
    done_bytes = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    stored = models.CharField(max_length=40, blank=True)
    due_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("instance_name", "pk")
        indexes = (models.Index(fields=("state", "due_at")),)
