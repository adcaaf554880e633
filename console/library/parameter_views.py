"""Translates requests about the parameters of a saved command into service calls and pages."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from console.saved_commands import parameter_forms, services
from console.saved_commands.content import SavedCommandError
from console.saved_commands.models import SavedCommand
from console.saved_commands.parameters import PlaceholderError, declared, unused
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, require_anywhere


@require_http_methods(["GET", "POST"])
def saved_parameters(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Show and declare the parameters of a saved command: each change is a version."""
    require_anywhere(request.user, Action.MANAGE_SAVED_COMMANDS)
    saved = get_object_or_404(services.seen(request.user).exclude(latest=None), pk=saved_id)
    if request.method == "GET" or saved.latest is None:
        return _parameters_page(
            request, saved, parameter_forms.rows_of(saved.latest.parameters if saved.latest else [])
        )
    if request.POST.get("more"):
        return _parameters_page(request, saved, parameter_forms.with_more_rows(request.POST))
    rows = parameter_forms.ParameterRows(request.POST, prefix=parameter_forms.PREFIX)
    if rows.is_valid():
        try:
            services.declare(request.user, saved=saved, parameters=rows.parameters)
        except (PlaceholderError, SavedCommandError) as error:
            parameter_forms.refuse(rows, str(error))
        else:
            return redirect("saved-parameters", saved.pk)
    return _parameters_page(request, saved, rows, status=422)


def _parameters_page(
    request: SignedInRequest, saved: SavedCommand, rows: parameter_forms.Rows, status: int = 200
) -> HttpResponse:
    version = saved.latest
    assert version is not None
    left = unused(declared(version.parameters), version.text, version.windows_text)
    context = {"saved": saved, "version": version, "rows": rows, "unused": left, "next_number": version.number + 1}
    return render(request, "saved/parameters.html", context, status=status)
