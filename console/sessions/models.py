"""Owns sessions: what is kept open on one instance, a shell for commands or a terminal, and how that ended."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from instances.inventory.models import Instance


class Kind(models.TextChoices):
    """What is kept open."""

    SHELL = "shell", "Session"
    TERMINAL = "terminal", "Terminal"


class State(models.TextChoices):
    """How a session is; a terminal is ready while somebody looks at it, and detached while nobody does."""

    OPENING = "opening", "Opening"
    READY = "ready", "Ready"
    BUSY = "busy", "Busy"
    DETACHED = "detached", "Detached"
    BROKEN = "broken", "Broken"
    CLOSED = "closed", "Closed"


LIVE = (State.OPENING, State.READY, State.BUSY, State.DETACHED)
# What a command can be sent to.
OPEN = (State.READY, State.BUSY)


class Session(models.Model):
    """One session on one instance, held by one worker for its whole life; it ends with that worker.

    ``marker`` is what its processes on the instance carry. ``last_used_at``: the last command's end, of a terminal the
    last byte in either direction, to within half a minute. Names and address are copied, so that the list outlives the
    instance and the person. Units: limits are seconds; ``columns`` and ``rows`` are the size it is opened with.
    """

    kind = models.CharField(max_length=8, choices=Kind.choices)
    name = models.CharField(max_length=80)
    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="sessions")
    instance_name = models.CharField(max_length=80)
    address = models.CharField(max_length=320)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="sessions")
    owner_name = models.CharField(max_length=150)

    state = models.CharField(max_length=8, choices=State.choices, default=State.OPENING)
    reason = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    exit_status = models.IntegerField(null=True, blank=True)

    # Of a kept shell: its language, and what it was started as.
    command_type = models.CharField(max_length=12, default="shell")
    interpreter = models.CharField(max_length=255, blank=True)
    working_directory = models.CharField(max_length=1024, blank=True)
    # Of a terminal.
    columns = models.PositiveIntegerField(default=80)
    rows = models.PositiveIntegerField(default=24)
    is_recorded = models.BooleanField(default=False)

    idle_limit_s = models.PositiveIntegerField()
    age_limit_s = models.PositiveIntegerField()
    grace_s = models.PositiveIntegerField()

    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    detached_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    close_requested_at = models.DateTimeField(null=True, blank=True)
    close_requested_by = models.CharField(max_length=150, blank=True)

    worker = models.UUIDField(null=True, blank=True)
    marker = models.UUIDField(default=uuid.uuid4)
    remote_pid = models.PositiveBigIntegerField(null=True, blank=True)
    # Given by the form when it is drawn: a double click opens what it names once on each instance.
    request_key = models.CharField(max_length=64)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("owner", "request_key", "instance"), name="a_request_opens_one_session_per_instance"
            ),
        )
        indexes = (
            models.Index(fields=("worker",), name="live_sessions", condition=Q(state__in=sorted(LIVE))),
            models.Index(fields=("owner", "-id"), name="sessions_of_an_owner"),
            models.Index(fields=("instance", "-id"), name="sessions_of_an_instance"),
        )

    @property
    def is_live(self) -> bool:
        """Whether it is open or being opened."""
        return self.state in LIVE

    @property
    def is_terminal(self) -> bool:
        """Whether it is a terminal."""
        return self.kind == Kind.TERMINAL
