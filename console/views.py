"""Views of the site itself."""

import sys

from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.shortcuts import render
from django.views import defaults
from django.views.decorators.http import require_GET

from console.middleware import database_is_busy


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for an error that nothing caught; called while it is handled."""
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError):
        # It was raised around the view, before or after it.
        return database_is_busy(error, is_undone=False)
    return defaults.server_error(request)


@require_GET
@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers; for supervisors and load balancers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a request without the token of its form: what to do, instead of what Django calls it.

    ``X-Refused: csrf`` tells the page's scripts that it is no missing right.
    """
    context = {
        "is_without_cookie": reason == REASON_NO_CSRF_COOKIE,
        "is_foreign": reason.startswith(("Origin checking", "Referer checking")),
    }
    answer = render(request, "403_csrf.html", context, status=403)
    answer["X-Refused"] = "csrf"
    return answer
