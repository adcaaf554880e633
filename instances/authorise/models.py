"""Owns what was asked to be done with a key, and how it went on each instance."""

from django.conf import settings
from django.db import models

from instances.credentials.models import Credential
from instances.inventory.models import Instance


class KeyAction(models.TextChoices):
    """What is done with a key on instances."""

    PLACE = "place", "Authorise"
    REMOVE = "remove", "Take away"


class State(models.TextChoices):
    """How far a placement is; the words are those of invocations."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


OPEN_STATES = (State.QUEUED, State.RUNNING)


class Authorisation(models.Model):
    """One press of Authorise or Take away.

    ``line`` is what is written to ``authorized_keys``, as it was shown. ``is_switching``: an instance that lets the key
    in gets it as its credential. ``next_credential`` is what instances sign in with once the key is taken away.
    """

    action = models.CharField(max_length=10, choices=KeyAction.choices)
    credential = models.ForeignKey(
        Credential, null=True, blank=True, on_delete=models.SET_NULL, related_name="authorisations"
    )
    credential_name = models.CharField(max_length=80)
    public_key = models.TextField()
    line = models.TextField(blank=True)
    is_switching = models.BooleanField(default=False)
    next_credential = models.ForeignKey(Credential, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="authorisations"
    )
    requested_by_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at", "-pk")


class Placement(models.Model):
    """An authorisation on one instance.

    A worker takes it for a while by moving ``due_at`` ahead; if the worker dies it is taken again, which does no harm.
    ``has_placed``: the line was written by this placement, so that it is this placement's to take back.
    """

    authorisation = models.ForeignKey(Authorisation, on_delete=models.CASCADE, related_name="placements")
    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="placements")
    instance_name = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=700, blank=True)
    has_placed = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("instance_name", "pk")
        indexes = (models.Index(fields=("state", "due_at")),)
