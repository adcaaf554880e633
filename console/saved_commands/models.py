"""Owns the commands people keep to send again, every version of them."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class SavedCommand(models.Model):
    """A command kept under a name. What it says is in its versions; ``latest`` is the one that is sent.

    ``tags`` are words. One that is not shared is its owner's alone. An archived one is kept for the runs made from it
    and offered nowhere.
    """

    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=2000, blank=True)
    tags = models.JSONField(default=list, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    is_shared = models.BooleanField(default=True)
    latest = models.ForeignKey("SavedCommandVersion", null=True, on_delete=models.SET_NULL, related_name="+")
    archived_at = models.DateTimeField(null=True, blank=True)
    # How long its runs are kept, other than MUSTER_RETENTION_DAYS says: 0 is for ever, null as the setting says.
    keep_days = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        indexes = (
            models.Index(fields=("keep_days",), name="kept_by_own_rule", condition=models.Q(keep_days__isnull=False)),
        )

    def __str__(self) -> str:
        return self.name


class SavedCommandVersion(models.Model):
    """What a saved command said from one change to the next; never changed, so that runs can point at it.

    ``text`` is for Linux and macOS (Shell), ``windows_text`` for Windows, in ``windows_type``; at least one is there.
    ``options`` are start values of the Send Command form, by the names of its fields. ``parameters`` declares them, in
    order: mappings of ``name`` and what is said about it.
    """

    saved = models.ForeignKey(SavedCommand, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    windows_type = models.CharField(max_length=12, blank=True)
    windows_text = models.TextField(blank=True)
    options = models.JSONField(default=dict, blank=True)
    parameters = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=200, blank=True)
    author_name = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("saved", "number"), name="a_number_once_per_saved_command"),)

    def __str__(self) -> str:
        return f"{self.saved} (version {self.number})"

    @property
    def command_type(self) -> str:
        """The type of its first text: Shell unless it is for Windows alone."""
        return "shell" if self.text else self.windows_type

    @property
    def first_text(self) -> str:
        """The text of that type."""
        return self.text or self.windows_text
