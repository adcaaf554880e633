"""Owns where people are told about runs, and what was told."""

import uuid

from django.db import models
from django.db.models import Q


class Kind(models.TextChoices):
    """How a destination is told."""

    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class Destination(models.Model):
    """Where notices go: e-mail addresses, or the URL of a webhook.

    ``secret_number`` rises when a new signing secret is asked for; the secret itself is derived, not stored.
    """

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    addresses = models.JSONField(default=list, blank=True)
    url = models.CharField(max_length=2000, blank=True)
    secret_number = models.PositiveIntegerField(default=1)
    is_disabled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class NoticeState(models.TextChoices):
    """How far a notice is."""

    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"


class Notice(models.Model):
    """One message to one destination. ``key`` is the same at every attempt, so that a receiver knows a repetition.

    A worker takes it by moving ``due_at`` ahead. ``run`` is empty for a test. ``answer`` says how the last attempt
    went. ``to`` is whom it reached or should reach, without what may be secret in an address.
    """

    key = models.UUIDField(default=uuid.uuid4, editable=False)
    run = models.ForeignKey("console.Run", null=True, on_delete=models.CASCADE, related_name="notices")
    destination = models.ForeignKey(Destination, null=True, on_delete=models.SET_NULL, related_name="notices")
    destination_name = models.CharField(max_length=80)
    to = models.CharField(max_length=500)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=NoticeState.choices, default=NoticeState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    answer = models.CharField(max_length=500, blank=True)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("due_at",), name="waiting_notices", condition=Q(state=NoticeState.WAITING)),)
