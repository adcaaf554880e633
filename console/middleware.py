"""What holds for every answer: browsers keep none; HEAD is GET; refusals are 403, a database that is away is 503."""

import logging
from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from instances.access import rules
from instances.access.rules import NotAllowed

logger = logging.getLogger(__name__)


def database_is_busy(error: OperationalError, *, is_undone: bool) -> HttpResponse:
    """Answer for a database that is locked or full. ``is_undone``: whether what was asked for was surely not done."""
    logger.warning("The database did not answer (%s)", error, extra={"action": "request"})
    # Without the request: what a page has around it is asked of the database.
    page = render_to_string("503.html", {"is_undone": is_undone})
    return HttpResponse(page, status=503, headers={"Retry-After": "5"})


class NotKeptMiddleware:
    """Answers are not kept by browsers or proxies, so that Back shows nothing after signing out.

    All of them, whoever asks: which are private is easily got wrong. Files of ``/static/`` do not come by here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class HeadMiddleware:
    """HEAD is answered as GET is; the server leaves the body out (RFC 9110, section 9.3.2)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked, request.method = request.method, "GET" if request.method == "HEAD" else request.method
        response = self.get_response(request)
        request.method = asked
        return response


class RefusalsMiddleware:
    """NotAllowed becomes 403 with its reason, a database that is locked or full becomes 503."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer for a service that refused or a database that did not answer; anything else is left to Django."""
        if isinstance(exception, NotAllowed):
            return render(request, "403.html", {"reason": str(exception)}, status=403)
        if isinstance(exception, OperationalError):
            return database_is_busy(exception, is_undone=True)
        return None


class GrantsMiddleware:
    """Reads once what the visitor may do, for a page that only shows; a body that is streamed asks anew."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        if request.method not in {"GET", "HEAD"}:
            return self._get_response(request)
        with rules.remembered():
            return self._get_response(request)
