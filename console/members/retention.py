"""Owns what is removed of sign-ins in time: expired sessions and links, wrong passwords of old, and the record."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

from console.members.models import SignInLink

_BATCH = 500


def prune(days: int) -> Iterator[int]:
    """Remove what is of no use any more, and the record of sign-ins that are older, a batch at each step.

    Shape: how many rows each step removed. 0 days: the record of sign-ins is kept for ever.
    """
    now = timezone.now()
    yield from _removed(Session.objects.filter(expire_date__lt=now))
    yield from _removed(SignInLink.objects.filter(expires_at__lt=now))
    # axes removes these too, but only when somebody signs in or cannot: a name may be a password typed too early.
    yield from _removed(
        AccessAttempt.objects.filter(attempt_time__lt=now - timedelta(hours=settings.AXES_COOLOFF_TIME))
    )
    if days:
        yield from _removed(AccessLog.objects.filter(attempt_time__lt=now - timedelta(days=days)))


def _removed(rows: "QuerySet[Any]") -> Iterator[int]:
    while ids := list(rows.order_by().values_list("pk", flat=True)[:_BATCH]):
        rows.filter(pk__in=ids).delete()
        yield len(ids)
