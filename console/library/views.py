"""Translates requests about saved commands into service calls and pages."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.library import comparison
from console.library.forms import SavedCommandForm, copied, details_of, initial_of, of_run
from console.library.listing import RUNS_SHOWN, LibraryForm, library, query_of, runs_of
from console.runs.history import narrow
from console.runs.services import visible_runs
from console.saved_commands import services
from console.saved_commands.content import OPTIONS, Content, Details, SavedCommandError
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.saved_commands.parameters import unused
from instances.access.requests import SignedInRequest
from instances.access.rules import Action, NotAllowed, require_anywhere

VERSION_ROWS = 50


# ------------------------------------------------------------------ looking


@require_GET
def saved_commands(request: SignedInRequest) -> HttpResponse:
    """Show the saved commands, filtered, each with a link to send it."""
    require_anywhere(request.user, Action.VIEW)
    form = LibraryForm(request.GET)
    shown = library(request.user, form, request.GET.get("page"))
    context = {"library": shown, "form": form, "query": query_of(request.GET), "tag": request.GET.get("tag", "")}
    return render(request, "saved/list.html", context)


@require_GET
def saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Show one saved command, or with ``version`` an older version of it."""
    require_anywhere(request.user, Action.VIEW)
    saved = _found(request, saved_id)
    number = _number(request.GET.get("version"))
    version = get_object_or_404(saved.versions, number=number) if number else services.version_of(saved)
    runs = runs_of(request.user, saved)
    latest_runs = list(runs[:RUNS_SHOWN])
    narrow(request.user, latest_runs)
    versions = saved.versions.defer("text", "windows_text", "options", "parameters")
    context = {
        "saved": saved,
        "version": version,
        "is_latest": version.pk == saved.latest_id,
        "options": [(OPTIONS[name], version.options[name]) for name in OPTIONS if name in version.options],
        "parameters": version.parameters,
        "unused": unused(version.parameters, version.text, version.windows_text),
        "runs": latest_runs,
        "run_count": runs.count(),
        "versions": Paginator(versions, VERSION_ROWS).get_page(request.GET.get("page")),
        "may_change": services.may_change(request.user, saved),
    }
    return render(request, "saved/details.html", context)


@require_GET
def saved_command_diff(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Show what differs between two versions (``from`` and ``to``), by default the last two."""
    require_anywhere(request.user, Action.VIEW)
    saved = _found(request, saved_id)
    latest = services.version_of(saved).number
    to = _number(request.GET.get("to")) or latest
    old = get_object_or_404(saved.versions, number=_number(request.GET.get("from")) or max(1, to - 1))
    new = get_object_or_404(saved.versions, number=to)
    context = {
        "saved": saved,
        "old": old,
        "new": new,
        "parts": comparison.parts(Content.of(old), Content.of(new)),
        "settings": comparison.settings(Content.of(old), Content.of(new)),
        "numbers": saved.versions.values_list("number", flat=True)[:1000],
        "may_change": services.may_change(request.user, saved),
    }
    return render(request, "saved/diff.html", context)


# ------------------------------------------------------------------ adding and changing


@require_http_methods(["GET", "POST"])
def new_saved_command(request: SignedInRequest) -> HttpResponse:
    """Add a saved command; ``copy`` (a version) or ``run`` in the address fill the form."""
    require_anywhere(request.user, Action.MANAGE_SAVED_COMMANDS)
    details, content = _beginning(request)
    if request.method == "GET":
        form = SavedCommandForm(user=request.user, source=content, initial=initial_of(details, content))
        return _form_page(request, form)
    if request.POST.get("more"):
        return _form_page(request, SavedCommandForm.with_more_rows(request.POST, user=request.user, source=content))
    form = SavedCommandForm(request.POST, user=request.user, source=content)
    if form.is_valid():
        try:
            kept = services.keep(
                request.user, details=form.details(), content=form.content(), note=form.cleaned_data["note"]
            )
        except SavedCommandError as error:
            form.refuse(error)
        else:
            return redirect("saved-command", kept.pk)
    return _form_page(request, form)


@require_http_methods(["GET", "POST"])
def edit_saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Change a saved command; who was overtaken by somebody else is told, and keeps what was typed."""
    saved = _found(request, saved_id)
    if not services.may_change(request.user, saved):
        raise NotAllowed(Action.MANAGE_SAVED_COMMANDS)
    if request.method == "GET":
        return _form_page(request, _form_of(request, saved), saved)
    base = request.POST.get("base", "")
    seen = saved.versions.filter(number=_number(base.partition("@")[0]) or 0).first() or services.version_of(saved)
    if request.POST.get("more"):
        form = SavedCommandForm.with_more_rows(request.POST, user=request.user, source=Content.of(seen))
        return _form_page(request, form, saved)
    form = SavedCommandForm(request.POST, user=request.user, source=Content.of(seen))
    overtaken: SavedCommandVersion | None = None
    if form.is_valid():
        try:
            change = services.change(
                request.user,
                saved=saved,
                details=form.details(),
                content=form.content(),
                base=base,
                note=form.cleaned_data["note"],
            )
        except services.ChangedMeanwhile as error:
            form.refuse(SavedCommandError(str(error), "base"))
            overtaken, saved = seen, error.saved
        except SavedCommandError as error:
            form.refuse(error)
        else:
            if change.is_new_version:
                messages.success(request, f"Saved as version {change.version.number}.")
            return redirect("saved-command", saved.pk)
    return _form_page(request, form, saved, overtaken)


def _form_of(request: SignedInRequest, saved: SavedCommand) -> SavedCommandForm:
    content = Content.of(services.version_of(saved))
    initial = {**initial_of(details_of(saved), content), "base": services.edit_token(saved)}
    return SavedCommandForm(user=request.user, source=content, initial=initial)


def _form_page(
    request: SignedInRequest,
    form: SavedCommandForm,
    saved: SavedCommand | None = None,
    overtaken: SavedCommandVersion | None = None,
) -> HttpResponse:
    """Draw the form. ``overtaken`` is the version it was made from when that is not the latest any more."""
    context = {
        "form": form,
        "saved": saved,
        "overtaken": overtaken,
        "base": services.edit_token(saved) if overtaken and saved else form["base"].value() or "",
    }
    return render(request, "saved/form.html", context, status=422 if form.is_bound else 200)


def _beginning(request: SignedInRequest) -> tuple[Details, Content]:
    """Return what a new one begins with: nothing, a version that the user may see, or what a run sent."""
    if copy := _number(request.GET.get("copy")):
        found = SavedCommandVersion.objects.filter(saved__in=services.seen(request.user)).select_related("saved")
        return copied(get_object_or_404(found, pk=copy))
    if run := _number(request.GET.get("run")):
        return of_run(get_object_or_404(visible_runs(request.user).select_related("saved_version"), pk=run))
    return Details(""), Content()


# ------------------------------------------------------------------ one press


@require_POST
def restore_saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Make an older version (``version``) the newest one."""
    saved = _found(request, saved_id)
    try:
        change = services.restore(request.user, saved=saved, number=_number(request.POST.get("version")) or 0)
    except SavedCommandError as error:
        messages.error(request, str(error))
    else:
        said = "It says what version {} says already." if not change.is_new_version else "Saved as version {}."
        messages.success(request, said.format(change.version.number))
    return redirect("saved-command", saved_id)


@require_POST
def archive_saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Put a saved command into the archive, or (with ``undo``) take it out."""
    archived = not request.POST.get("undo")
    services.set_archived(request.user, saved=_found(request, saved_id), archived=archived)
    return redirect("saved-command", saved_id)


@require_POST
def delete_saved_command(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Remove a saved command that nothing was sent from."""
    saved = _found(request, saved_id)
    try:
        services.delete(request.user, saved=saved)
    except SavedCommandError as error:
        messages.error(request, str(error))
        return redirect("saved-command", saved_id)
    messages.success(request, f"{saved.name} is deleted.")
    return redirect("saved-commands")


def _found(request: SignedInRequest, saved_id: int) -> SavedCommand:
    require_anywhere(request.user, Action.VIEW)
    return get_object_or_404(services.seen(request.user), pk=saved_id)


def _number(text: Any) -> int | None:
    """Return a number of an address, None for anything else."""
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else None
