"""Owns the commands people keep to send again."""

from django.conf import settings
from django.db import models


class SavedCommand(models.Model):
    """A command kept under a name."""

    name = models.CharField(max_length=80, unique=True)
    command_type = models.CharField(max_length=12)
    text = models.TextField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
