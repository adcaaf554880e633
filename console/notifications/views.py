"""Translates requests about notifications into service calls and pages."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.notifications import services
from console.notifications.forms import DestinationForm
from console.notifications.models import Destination, Kind, Notice, NoticeState
from console.notifications.sending import signing_secret
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, require

LOG_ROWS = 100


@require_GET
def notifications(request: SignedInRequest) -> HttpResponse:
    """Show the destinations."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    rows = [(row, services.told_to(row)) for row in Destination.objects.all()]
    context = {"rows": rows, "has_mail": bool(settings.ENV.email_url)}
    return render(request, "notifications/list.html", context)


@require_http_methods(["GET", "POST"])
def add_destination(request: SignedInRequest) -> HttpResponse:
    """Add a destination."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    return _form(request, None)


@require_http_methods(["GET", "POST"])
def destination(request: SignedInRequest, destination_id: int) -> HttpResponse:
    """Show a destination, with a webhook's signing secret, or change it."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    return _form(request, get_object_or_404(Destination, pk=destination_id))


@require_POST
def delete_destination(request: SignedInRequest, destination_id: int) -> HttpResponse:
    """Delete a destination."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    row = get_object_or_404(Destination, pk=destination_id)
    services.delete_destination(request.user, destination=row)
    messages.success(request, f"{row.name} is deleted.")
    return redirect("notifications")


@require_POST
def new_secret(request: SignedInRequest, destination_id: int) -> HttpResponse:
    """Give a webhook another signing secret."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    row = get_object_or_404(Destination, pk=destination_id, kind=Kind.WEBHOOK)
    services.new_secret(request.user, destination=row)
    messages.success(request, "There is a new signing secret: give it to the receiver.")
    return redirect("destination", row.pk)


@require_POST
def test_destination(request: SignedInRequest, destination_id: int) -> HttpResponse:
    """Send a test."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    row = get_object_or_404(services.usable(), pk=destination_id)
    services.send_test(request.user, destination=row)
    messages.success(request, f"A test is on its way to {row.name}. The log says whether it arrived.")
    return redirect("notices")


@require_GET
def notices(request: SignedInRequest) -> HttpResponse:
    """Show what was told, newest first; ``?state=`` filters."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    state = request.GET.get("state", "")
    found = Notice.objects.select_related("destination").defer("text", "payload")
    if state in NoticeState.values:
        found = found.filter(state=state)
    context = {
        "notices": Paginator(found, LOG_ROWS).get_page(request.GET.get("page")),
        "states": NoticeState.choices,
        "state": state,
    }
    return render(request, "notifications/log.html", context)


@require_POST
def try_again(request: SignedInRequest, notice_id: int) -> HttpResponse:
    """Send a notice once more."""
    require(request.user, Action.MANAGE_NOTIFICATIONS)
    services.try_again(request.user, notice=get_object_or_404(Notice, pk=notice_id))
    return redirect("notices")


def _form(request: SignedInRequest, row: Destination | None) -> HttpResponse:
    form = DestinationForm(request.POST or None, user=request.user, destination=row)
    saved = form.save() if form.is_bound else None
    if saved is not None:
        messages.success(request, f"{saved.name} is saved.")
        return redirect("notifications")
    context: dict[str, Any] = {"form": form, "destination": row, "has_mail": bool(settings.ENV.email_url)}
    context["base"] = services.edit_token(form.overtaken_by) if form.overtaken_by else form["base"].value() or ""
    if row is not None and row.kind == Kind.WEBHOOK:
        context["secret"] = signing_secret(row)
    return render(request, "notifications/form.html", context, status=422 if form.is_bound else 200)
