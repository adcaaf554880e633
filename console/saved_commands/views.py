"""Translates requests about saved commands."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.saved_commands import services
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, require_anywhere


@require_GET
def saved_commands(request: SignedInRequest) -> HttpResponse:
    """Show the saved commands, each with a link to send it."""
    require_anywhere(request.user, Action.VIEW)
    return render(request, "saved/list.html", {"saved": services.visible(request.user)})


@require_POST
def delete_saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Remove a saved command."""
    services.delete(request.user, saved=get_object_or_404(services.visible(request.user), pk=saved_id))
    return redirect("saved-commands")
