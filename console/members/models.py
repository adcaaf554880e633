"""Owns the people who sign in, and the links that let them in for the first time."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person, or the account ``cli`` that commands from the shell act as.

    What a user may do is in ``instances.access``, not in Django's permission tables.
    """

    selected_group = models.ForeignKey(
        "instances.Group", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Part of the session's authentication hash: raising it signs the user out everywhere.
    session_epoch = models.PositiveIntegerField(default=0)

    def get_session_auth_hash(self) -> str:
        """Return the hash that binds sessions to this password and epoch."""
        return f"{super().get_session_auth_hash()}.{self.session_epoch}"


class SignInLink(models.Model):
    """A single-use link that signs one user in and leads to choosing a password; only its hash is stored."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_links")
    token_sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
