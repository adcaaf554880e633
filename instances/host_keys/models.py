"""Owns which host keys and host authorities are trusted, which are revoked, and what waits for a person's answer."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from instances.access.models import Group
from instances.engine.types import HostKey as PresentedKey


class HostKeyState(models.TextChoices):
    """Whether a key may be used to recognise its instance; ``former`` ones were trusted once: they are history."""

    TRUSTED = "trusted", "Trusted"
    UNKNOWN = "unknown", "Waiting for review"
    CHANGED = "changed", "Changed: waiting for review"
    FORMER = "former", "Formerly trusted"


class HostKeyEnd(models.TextChoices):
    """Why a key is trusted no more."""

    REPLACED = "replaced", "Replaced"
    FORGOTTEN = "forgotten", "Forgotten"
    REVOKED = "revoked", "Revoked"
    MOVED = "moved", "Address changed"


class PublicKey(models.Model):
    """A public key: ``data`` in the wire form of RFC 4253 section 6.6; the fingerprint is ``SHA256:`` + base64."""

    algorithm = models.CharField(max_length=60)
    data = models.BinaryField()
    fingerprint = models.CharField(max_length=80)

    class Meta:
        abstract = True

    @property
    def line(self) -> str:
        """The key as OpenSSH writes it, without a comment."""
        return PresentedKey(self.algorithm, bytes(self.data)).line


class HostKey(PublicKey):
    """A public key that an instance presented, or that a person entered.

    A row that was trusted becomes ``former`` when that ends, and stays: who trusted it when, who ended that, and why.
    """

    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="host_keys")
    state = models.CharField(max_length=10, choices=HostKeyState.choices)
    seen_at = models.DateTimeField(auto_now_add=True)
    trusted_at = models.DateTimeField(null=True, blank=True)
    trusted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_why = models.CharField(max_length=10, choices=HostKeyEnd.choices, blank=True)

    class Meta:
        ordering = ("-seen_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("instance", "fingerprint"),
                condition=~Q(state=HostKeyState.FORMER),
                name="a_host_key_once_per_instance",
            ),
        )
        indexes = (models.Index(fields=("state", "instance")), models.Index(fields=("fingerprint",)))


class HostAuthority(PublicKey):
    """A key whose host certificates are good for instances whose address matches ``patterns`` (as in known_hosts).

    With a group it counts for the instances of that group only.
    """

    name = models.CharField(max_length=80)
    patterns = models.CharField(max_length=1000)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="host_authorities")
    trusted_at = models.DateTimeField(auto_now_add=True)
    trusted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ("name", "pk")


class RevokedKey(PublicKey):
    """A host key, or the key of an authority, that is refused whoever vouches for it.

    With a group that holds for the instances of that group only.
    """

    comment = models.CharField(max_length=200, blank=True)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="revoked_keys")
    revoked_at = models.DateTimeField(auto_now_add=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ("-revoked_at", "-pk")
        constraints = (
            models.UniqueConstraint(fields=("fingerprint", "group"), name="a_key_revoked_once_per_group"),
            models.UniqueConstraint(
                fields=("fingerprint",), condition=Q(group=None), name="a_key_revoked_once_everywhere"
            ),
        )
