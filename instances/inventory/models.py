"""Owns the instances: the machines commands are sent to."""

from collections.abc import Collection, Iterator

from django.db import models

from instances.access.models import Group
from instances.credentials.models import Credential

_PART = 5000


class OS(models.TextChoices):
    """The operating system family, which decides the command types an instance takes."""

    LINUX = "linux", "Linux"
    WINDOWS = "windows", "Windows"
    MACOS = "macos", "macOS"


class Reach(models.TextChoices):
    """What the last check or run saw."""

    UNKNOWN = "unknown", "Not checked yet"
    REACHABLE = "reachable", "Reachable"
    UNREACHABLE = "unreachable", "Unreachable"


class Instance(models.Model):
    """A machine: where it is, how it is reached, and what was last seen of it.

    ``is_local`` marks the console's own machine, which is reached without SSH. ``is_demo`` marks the demo fleet.
    ``target_version`` rises with every change of address, port, user, jump host or trusted key, so that kept
    connections to the former place are closed. ``jump`` is the instance it is reached through; it cannot be deleted
    meanwhile, for without it another machine of the same address might be dialled.
    """

    name = models.CharField(max_length=80, unique=True)
    address = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=22)
    user_name = models.CharField(max_length=64, blank=True)
    os = models.CharField(max_length=10, choices=OS.choices, default=OS.LINUX)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.SET_NULL, related_name="instances")
    credential = models.ForeignKey(
        Credential, null=True, blank=True, on_delete=models.SET_NULL, related_name="instances"
    )
    jump = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="behind")
    is_disabled = models.BooleanField(default=False)
    is_local = models.BooleanField(default=False)
    is_demo = models.BooleanField(default=False)
    is_adhoc = models.BooleanField(default=False)
    target_version = models.PositiveIntegerField(default=1)

    reach = models.CharField(max_length=12, choices=Reach.choices, default=Reach.UNKNOWN)
    reach_reason = models.CharField(max_length=40, blank=True)
    reach_message = models.CharField(max_length=500, blank=True)
    reach_since = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    # Set by Check now; a worker clears it when the check ends, and takes the oldest first.
    check_requested_at = models.DateTimeField(null=True, blank=True, db_index=True)
    # What the requested check tries beside the usual: working_directory, run_as.
    check_options = models.JSONField(default=dict, blank=True)
    # What came of each step of the last check: objects with stage, state, reason and message.
    check_steps = models.JSONField(default=list, blank=True)
    banner = models.CharField(max_length=255, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        indexes = (
            models.Index(fields=("group", "name")),
            models.Index(fields=("os", "name")),
            models.Index(fields=("reach", "name")),
            models.Index(fields=("address",)),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """What the list shows and ``state:`` asks for: ``disabled``, otherwise the reach."""
        return "disabled" if self.is_disabled else self.reach


class Tag(models.Model):
    """One ``key=value`` of an instance."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=40)
    value = models.CharField(max_length=80)

    class Meta:
        ordering = ("key",)
        constraints = (models.UniqueConstraint(fields=("instance", "key"), name="a_tag_key_once_per_instance"),)
        indexes = (models.Index(fields=("key", "value", "instance")),)


def in_parts(ids: Collection[int]) -> Iterator[models.QuerySet[Instance]]:
    """Return these instances in parts: SQLite takes 32,766 parameters in a statement."""
    listed = list(ids)
    return (Instance.objects.filter(pk__in=listed[at : at + _PART]) for at in range(0, len(listed), _PART))
