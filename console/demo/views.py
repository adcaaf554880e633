"""Translates requests about the demo fleet."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from console.demo import services
from instances.access import rules
from instances.access.rules import Action

if TYPE_CHECKING:
    from instances.access.requests import SignedInRequest


@require_POST
def remove_demo(request: "SignedInRequest") -> HttpResponse:
    """Remove the demo fleet, and go back to the list."""
    rules.require(request.user, Action.MANAGE_INSTANCES)
    count = services.remove(request.user)
    messages.success(request, f"{count} demo instances removed. Add an instance of your own next.")
    return redirect("home")
