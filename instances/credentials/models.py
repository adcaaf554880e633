"""Owns what instances are signed in to with; the secret parts are sealed by vault.py."""

from django.db import models

from instances.access.models import Group


class CredentialKind(models.TextChoices):
    """How a credential proves who it is."""

    PASSWORD = "password", "User name and password"
    KEY = "key", "Private key"


class Credential(models.Model):
    """A user name with a password or a private key.

    ``sealed_secret`` holds the password or the key's text, ``sealed_passphrase`` the key's passphrase; both are
    bound to this row and cannot be opened in another. ``version`` rises with every change, so that kept
    connections opened with an earlier secret are closed.
    """

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=20, choices=CredentialKind.choices)
    user_name = models.CharField(max_length=64)
    sealed_secret = models.BinaryField(default=bytes)
    sealed_passphrase = models.BinaryField(default=bytes, blank=True)
    # SHA256:… of the public key, shown so that people can tell keys apart; empty for a password.
    fingerprint = models.CharField(max_length=80, blank=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class GroupCredential(models.Model):
    """The credential for instances of a group that have none of their own."""

    group = models.OneToOneField(Group, on_delete=models.CASCADE, related_name="default_credential")
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="group_defaults")


class CredentialSuspension(models.Model):
    """Counts authentication failures of one credential version on one instance.

    After two the credential is no longer offered there until a person acts: OpenSSH 9.8 and later lock out the
    console's address for everybody when a stored password is tried again and again.
    """

    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="suspensions")
    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="suspensions")
    version = models.PositiveIntegerField()
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("credential", "instance"), name="one_suspension_per_credential_and_instance"
            ),
        )
