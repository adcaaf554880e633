"""Owns groups of instances and who may do what in them."""

from django.conf import settings
from django.db import models


class Group(models.Model):
    """A set of instances, such as a region or an environment; an instance is in one group or in none."""

    name = models.CharField(max_length=80, unique=True)
    # Whoever sends a command to one of its instances types first to how many it goes.
    asks_first = models.BooleanField(default=False)
    # What its instances print into terminals is kept, to be played again.
    records_terminals = models.BooleanField(default=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a grant allows; ``access.rules`` lists the actions of each."""

    ADMINISTRATOR = "administrator", "Administrator"
    OPERATOR = "operator", "Operator"
    VIEWER = "viewer", "Viewer"


class Grant(models.Model):
    """A user's role in one group, or everywhere when ``group`` is null."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=20, choices=Role.choices)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "group"), name="one_grant_per_user_and_group"),
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(group=None), name="one_grant_everywhere_per_user"
            ),
        )
