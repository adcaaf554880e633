"""Owns the record of who did what: rows are added, never changed or removed."""

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One action by one actor, written in the same transaction as what it records.

    The database itself refuses to change or remove rows: append_only.py.
    """

    at = models.DateTimeField(auto_now_add=True)
    # The row stays as it was written, also when the account is gone: no constraint, and nothing set to null.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("action",)), models.Index(fields=("subject",)))
