"""Owns the filters that people keep."""

from django.conf import settings
from django.db import models


class SavedFilter(models.Model):
    """A filter of the history that somebody kept under a name; ``query`` is the query string of its address.

    The default one is what its owner sees first.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="history_filters")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000)
    is_default = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="a_filter_name_once_per_owner"),
            models.UniqueConstraint(
                fields=("owner",), condition=models.Q(is_default=True), name="one_default_filter_per_owner"
            ),
        )

    def __str__(self) -> str:
        return self.name
