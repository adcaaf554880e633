"""Owns which host keys are trusted, and those that were seen and wait for a person's answer."""

from django.conf import settings
from django.db import models


class HostKeyState(models.TextChoices):
    """Whether a key may be used to recognise its instance."""

    TRUSTED = "trusted", "Trusted"
    UNKNOWN = "unknown", "Waiting for review"
    CHANGED = "changed", "Changed: waiting for review"


class HostKey(models.Model):
    """A public key that an instance presented, or that a person entered.

    ``data`` is the key in the wire form of RFC 4253 section 6.6; the fingerprint is ``SHA256:`` + base64.
    """

    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="host_keys")
    state = models.CharField(max_length=10, choices=HostKeyState.choices)
    algorithm = models.CharField(max_length=60)
    data = models.BinaryField()
    fingerprint = models.CharField(max_length=80)
    seen_at = models.DateTimeField(auto_now_add=True)
    trusted_at = models.DateTimeField(null=True, blank=True)
    trusted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ("-seen_at",)
        constraints = (
            models.UniqueConstraint(fields=("instance", "fingerprint"), name="a_host_key_once_per_instance"),
        )
        indexes = (models.Index(fields=("state", "instance")),)
