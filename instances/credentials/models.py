"""Owns what instances are signed in to with; the secret parts are sealed by vault.py."""

from django.db import models

from instances.access.models import Group


class CredentialKind(models.TextChoices):
    """How a credential proves who it is."""

    PASSWORD = "password", "User name and password"
    KEY = "key", "Private key"
    AGENT = "agent", "Key of the console's ssh-agent"


class Credential(models.Model):
    """A user name with a password, private keys, or keys that an ssh-agent holds.

    ``sealed_secret`` holds the password or the text of the keys, ``sealed_passphrase`` the keys' passphrase; both are
    bound to this row and cannot be opened in another; they are empty for an agent. ``version`` rises with every
    change, so that kept connections opened with an earlier secret are closed. ``is_default``: for all instances that
    have neither one of their own nor one of their group.
    """

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=20, choices=CredentialKind.choices)
    user_name = models.CharField(max_length=64)
    sealed_secret = models.BinaryField(default=bytes)
    sealed_passphrase = models.BinaryField(default=bytes, blank=True)
    # The public half of each key, a line each without comment; of an agent's, the ones that may be offered.
    public_keys = models.TextField(blank=True)
    # Lines as in id_…-cert.pub, each offered before the key it is for.
    certificates = models.TextField(blank=True)
    # SHA256:… of each public key, shown so that people can tell keys apart; empty for a password.
    fingerprint = models.CharField(max_length=320, blank=True)
    is_default = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",), condition=models.Q(is_default=True), name="one_default_credential"
            ),
        )

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
