"""Sends everybody who has not signed in to the sign-in page; the default for every view is "no"."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required  # noqa: F401  (the marker views use)
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Django's LoginRequiredMiddleware, telling htmx to load the sign-in page instead of swapping it in."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponse:
        """Return a redirect, or 401 with HX-Redirect for a request made by htmx.

        What was sent with POST is not repeated after the sign-in, so that leads to the start page.
        """
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401, headers={"HX-Redirect": reverse("sign-in")})
        if request.method == "POST":
            return redirect("sign-in")
        return super().handle_no_permission(request, view_func)
