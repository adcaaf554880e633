"""What a view is given: a request of somebody who has signed in."""

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails

    from console.members.models import User


class SignedInRequest(HttpRequest):
    """A request that passed the sign-in middleware; for annotations, never made."""

    user: "User"
    htmx: "HtmxDetails"
