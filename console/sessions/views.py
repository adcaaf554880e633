"""Translates requests about sessions into service calls and pages."""

import secrets

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.sessions import services
from console.sessions.models import Kind
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, scope
from instances.inventory.models import Instance


@require_POST
def open_terminal(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Open a terminal on an instance and lead to its page."""
    visible = Instance.objects.select_related("group").filter(scope(request.user, Action.VIEW))
    instance = get_object_or_404(visible, pk=instance_id)
    key = request.POST.get("request_key", "")[:64] or secrets.token_hex(16)
    try:
        opened = services.open_terminal(request.user, instance, columns=80, rows=24, request_key=key)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("instance", instance.pk)
    return redirect("terminal", opened.pk)


@require_GET
def terminal(request: SignedInRequest, session_id: int) -> HttpResponse:
    """Show one terminal; what it shows comes over the socket."""
    rows = services.visible_sessions(request.user).select_related("instance__group").filter(kind=Kind.TERMINAL)
    found = get_object_or_404(rows, pk=session_id)
    if not services.may_watch(request.user, found) and found.is_live:
        return render(request, "403.html", {"reason": "You may not see this terminal."}, status=403)
    context = {
        "session": found,
        "may_write": services.may_use(request.user, found),
        "is_mine": found.owner_id == request.user.pk,
    }
    return render(request, "sessions/terminal.html", context)


@require_POST
def close_session(request: SignedInRequest, session_id: int) -> HttpResponse:
    """Have a session closed, and lead to its instance."""
    found = get_object_or_404(services.visible_sessions(request.user).select_related("instance__group"), pk=session_id)
    services.close_sessions(request.user, [found])
    messages.success(request, f"{found.get_kind_display()} on {found.instance_name} is being closed.")
    return redirect("instance", found.instance_id) if found.instance_id else redirect("instances")
