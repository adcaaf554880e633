"""Translates requests about many sessions: their list, opening them on instances, closing, sending to them."""

import secrets

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.sessions import listing, services
from console.sessions.forms import FilterForm, OpenForm
from console.sessions.models import Kind, Session
from console.sessions.services import Opened
from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.inventory.details import details_of
from instances.inventory.models import Instance
from instances.inventory.query import numbers, selected
from instances.next_page import next_page

NAMES_SHOWN = 50
LEFT_OUT_TOLD = 5
# More than can be open at a time, and no longer an address than servers take.
CHOSEN_LIMIT = 500


@require_GET
def sessions(request: SignedInRequest) -> HttpResponse:
    """Show the sessions and terminals that are open, or have ended; the page asks again every few seconds."""
    rules.require_anywhere(request.user, Action.OPEN_SESSION)
    form = FilterForm(request.GET, user=request.user)
    filters = form.filters()
    is_live = filters.get("show") != "ended"
    page, rows = listing.page_of(request.user, filters, request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "page": page,
        "rows": rows,
        "form": form,
        "query": query.urlencode(),
        "is_live": is_live,
        "ended": listing.ended_lately(request.user, filters) if is_live else [],
    }
    return render(request, "sessions/list.html", context)


@require_GET
def instance_sessions(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Show what is open on one instance: its Sessions tab."""
    rules.require_anywhere(request.user, Action.OPEN_SESSION)
    instance = get_object_or_404(Instance.objects.filter(rules.scope(request.user, Action.VIEW)), pk=instance_id)
    context = {
        "instance": instance,
        "details": details_of(instance, request.user),
        "tab": "sessions",
        "rows": listing.live_on(request.user, instance),
        "ended": listing.ended_on(request.user, instance),
    }
    return render(request, "instances/details.html", context)


@require_http_methods(["GET", "POST"])
def open_sessions(request: SignedInRequest) -> HttpResponse:
    """Ask what is to be opened on the selected instances, and open it (``do=press``)."""
    rules.require_anywhere(request.user, Action.OPEN_SESSION)
    given = request.POST if request.method == "POST" else request.GET
    found = selected(
        request.user, ids=given.getlist("ids"), query=given.get("query", ""), except_ids=given.get("except_ids", "")
    )
    instances = list(found.select_related("group").order_by("name"))
    is_pressed = request.POST.get("do") == "press"
    form = OpenForm(
        request.POST if is_pressed else None,
        user=request.user,
        instances=instances,
        initial={"request_key": secrets.token_urlsafe(18)},
    )
    opened = form.press() if is_pressed else None
    if opened is not None:
        _tell(request, opened)
        return redirect("sessions")
    context = {
        "form": form,
        "count": len(instances),
        "names": [instance.name for instance in instances[:NAMES_SHOWN]],
        "ids": ",".join(str(instance.pk) for instance in instances),
    }
    return render(request, "sessions/open.html", context, status=422 if is_pressed else 200)


@require_POST
def close_sessions(request: SignedInRequest) -> HttpResponse:
    """Have the chosen sessions closed, and lead back to where they were chosen."""
    rules.require_anywhere(request.user, Action.OPEN_SESSION)
    chosen = list(_chosen(request).select_related("instance__group"))
    count = services.close_sessions(request.user, chosen)
    if count:
        what = _named({one.kind for one in chosen if one.is_live}, count)
        messages.success(request, f"{count} {what} {'is' if count == 1 else 'are'} being closed.")
    else:
        messages.warning(request, "Nothing was closed: choose what is open.")
    return redirect(next_page(request, "sessions"))


@require_POST
def send_to_sessions(request: SignedInRequest) -> HttpResponse:
    """Lead to Send Command with the chosen sessions."""
    rules.require_anywhere(request.user, Action.OPEN_SESSION)
    ids = _chosen(request).filter(kind=Kind.SHELL).order_by("instance_name", "pk").values_list("pk", flat=True)
    if not ids:
        if not request.htmx:
            # The dialog finds no form in the answer, and asks again as a page.
            messages.warning(request, "Choose sessions to send to. Terminals take no commands.")
        return redirect(next_page(request, "sessions"))
    return redirect(reverse("send") + "?sessions=" + ",".join(map(str, ids[:CHOSEN_LIMIT])))


def _chosen(request: SignedInRequest) -> QuerySet[Session]:
    """Return the chosen sessions that the user may see: ticked boxes of the page (``session``)."""
    return services.visible_sessions(request.user).filter(pk__in=numbers(request.POST.getlist("session")))


def _named(kinds: set[str], count: int) -> str:
    """Return what so many of these kinds are called."""
    words = [Kind(kind).label.lower() + ("" if count == 1 else "s") for kind in sorted(kinds)]
    return " and ".join(words)


def _tell(request: SignedInRequest, opened: Opened) -> None:
    count = len(opened.sessions)
    messages.success(request, f"Opening {count} session{'' if count == 1 else 's'}.")
    if opened.left_out:
        told = "; ".join(f"{name}: {why}" for name, why in opened.left_out[:LEFT_OUT_TOLD])
        more = len(opened.left_out) - LEFT_OUT_TOLD
        messages.warning(request, f"Left out: {told}{f' And {more} more.' if more > 0 else ''}")
