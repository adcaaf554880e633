"""Translates requests about runs into service calls and pages."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.http import HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.members.models import User
from console.ranges import Unsatisfiable, parse_range
from console.runs import answers, history, keep_fields, output, services, stopping
from console.runs.answers import Answer
from console.runs.families import for_windows, for_windows_alone, send_to_families, to_show
from console.runs.former import ALL as WHOLE_RUN
from console.runs.former import ROWS
from console.runs.forms import SendForm, as_entered
from console.runs.models import CommandType, Invocation, Run
from console.runs.number_sets import fold
from console.runs.presentation import ALL, RunView, run_view
from console.runs.session_fields import initial_in_sessions
from console.runs.session_targets import sessions_again
from console.runs.targets import Targets, targets_of
from console.saved_commands import services as saved_commands
from console.saved_commands.content import SavedCommandError
from console.saved_commands.models import SavedCommandVersion
from console.streaming import streamed
from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.inventory.errors import InventoryError
from instances.inventory.listing import listing

# Offered beside the field; any other program or path may be typed.
INTERPRETERS = ("sh", "bash", "python3", "pwsh")
# A longer list is no quicker than the search of the library.
SAVED_LISTED = 200


# ------------------------------------------------------------------ the dashboard


@require_GET
def home(request: SignedInRequest) -> HttpResponse:
    """Show the instances; htmx asking for the list gets the list alone."""
    if request.htmx.target and "instances" in request.htmx.target:
        return render(request, "instances/_list.html", {"listing": listing(request.user, request.GET)})
    return dashboard(request, None)


def dashboard(
    request: SignedInRequest, shown: RunView | None, status: int = 200, results: Mapping[str, Any] | None = None
) -> HttpResponse:
    """Return the one page: the list, with a run open beside it if there is one; ``results``: its view."""
    # A saved command chosen first: it waits in the dialog for its instances.
    wants_saved = shown is None and request.GET.get("saved") and "send_command" in rules.actions_anywhere(request.user)
    initial = initial_from(request) if wants_saved else {}
    context = {
        "listing": listing(request.user, request.GET if shown is None else QueryDict()),
        "run_view": shown,
        "results": results,
        **send_context(SendForm(user=request.user, initial=initial)),
    }
    return render(request, "dashboard.html", context, status=status)


# ------------------------------------------------------------------ send


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def send(request: SignedInRequest) -> HttpResponse:
    """Show the Send Command form as a page, or send: then the run's panel, or its page without JavaScript."""
    rules.require_anywhere(request.user, rules.Action.SEND_COMMAND)
    if request.method == "GET":
        form = SendForm(user=request.user, initial=initial_from(request))
        return render(request, "send/page.html", send_context(form, form.initial))
    if request.POST.get("look"):
        # Without JavaScript: show what the choice comes to, with everything else as it was entered.
        form = SendForm(user=request.user, initial=as_entered(dict(request.POST.lists())))
        return render(request, "send/page.html", send_context(form, form.initial))
    form = SendForm(request.POST, request.FILES, user=request.user)
    run = _send(form)
    if run is None:
        return _refused(request, form)
    if not request.htmx:
        return redirect("run", run.pk)
    shown = run_view(request.user, run, with_output=True)
    answer = render(request, "runs/_panel.html", {"run_view": shown})
    answer["HX-Push-Url"] = reverse("run", args=[run.pk])
    return answer


def _send(form: SendForm) -> Run | None:
    if not form.is_valid():
        return None
    if sent := services.already_sent(form.user, form.cleaned_data["request_key"]):
        return sent
    try:
        # Together or not at all: a run points at the version that was kept with it.
        with transaction.atomic():
            form.kept_version = None if form.cleaned_data["dry_run"] else keep_fields.keep(form)
            if form.cleaned_data["split"] and not form.is_in_sessions:
                return _send_to_families(form)
            return services.send_command(
                form.user,
                instances=form.instances(),
                sessions=form.chosen_sessions(),
                command=form.command_text(),
                request_key=form.cleaned_data["request_key"],
                options=form.options(),
                prompt=form.prompt(),
                remember=form.cleaned_data.get("remember", False),
                origin=form.origin(),
                confirmed_count=form.cleaned_data["confirmed_count"],
            )
    except services.RunError as error:
        form.add_error(error.field, str(error))
    except InventoryError as error:
        form.add_error("address", str(error))
    except SavedCommandError as error:
        # A double click: the other request has kept and sent it by now.
        if sent := services.already_sent(form.user, form.cleaned_data["request_key"]):
            return sent
        form.add_error(error.field, str(error))
    return None


def _send_to_families(form: SendForm) -> Run:
    """Send what each OS family gets; the first run is the one shown, and leads to the other."""
    posix, windows = form.parts()
    runs = send_to_families(
        form.user,
        posix=posix,
        windows=windows,
        request_key=form.cleaned_data["request_key"],
        prompt=form.prompt(),
        remember=form.cleaned_data.get("remember", False),
        origin=form.origin(),
        confirmed_count=form.cleaned_data["confirmed_count"],
    )
    return runs[0]


def _refused(request: SignedInRequest, form: SendForm) -> HttpResponse:
    template = "send/_form.html" if request.htmx else "send/page.html"
    context = send_context(form, form.data)
    answer = render(request, template, context, status=422)
    if request.htmx:
        answer["HX-Retarget"], answer["HX-Reswap"] = "#send-form", "outerHTML"
    return answer


def initial_from(request: SignedInRequest) -> dict[str, Any]:
    """Return the form's start values: chosen instances, a saved command, or a run to send again."""
    names = ("ids", "choose", "filter_text", "in_group", "names", "former_run", "which", "sessions")
    initial: dict[str, Any] = {name: request.GET.get(name, "") for name in names}
    if request.GET.get("query") is not None and request.GET.get("by_query"):
        given = {name: request.GET.get(name, "") for name in ("query", "group", "except_ids", "everything")}
        initial |= {**given, "by_query": True}
    if saved := request.GET.get("saved"):
        initial |= saved_commands.as_initial(_saved_version(request, _number(saved, 0)))
    if again := request.GET.get("again"):
        run = get_object_or_404(services.visible_runs(request.user), pk=_number(again, 0))
        initial |= _again(request, run, request.GET.get("which", WHOLE_RUN))
    return initial


def _again(request: SignedInRequest, run: Run, which: str, ordinals: str = "") -> dict[str, Any]:
    """Return the form's start values that send a run again, on these of its instances or in these of its sessions."""
    initial = history.as_initial(run)
    if run.is_in_sessions:
        return initial | {"sessions": sessions_again(request.user, run, which, ordinals)}
    return initial | {"which": which, **({"ordinals": ordinals} if ordinals else {})}


def _saved_version(request: SignedInRequest, saved_id: int) -> SavedCommandVersion:
    """Return the version of a saved command that an address names: the latest unless it says which."""
    versions = saved_commands.versions_visible_to(request.user).filter(saved=saved_id)
    number = _number(request.GET.get("version"), None)
    return get_object_or_404(versions, Q(pk=F("saved__latest")) if number is None else Q(number=number))


def send_context(form: SendForm, selection: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the Send Command form shows beside its fields; ``selection`` says which targets, as the form does."""
    chosen = str(form.data.get("command_type", "") if form.is_bound else form.initial.get("command_type", ""))
    in_sessions = form.session_targets
    targets = targets_of(form.user, selection, chosen) if selection and not in_sessions else Targets()
    if in_sessions:
        form.initial = initial_in_sessions(form.initial, in_sessions)
    form.initial.setdefault("command_type", targets.command_type)
    if targets.is_mixed and form.initial["command_type"] != CommandType.SHELL:
        form.initial = for_windows(form.initial)
    elif targets.windows and not targets.posix and form.initial.get("windows_command"):
        form.initial = for_windows_alone(form.initial)
        targets = targets_of(form.user, selection or {}, form.initial["command_type"])
    return {
        "form": form,
        "targets": targets,
        "in_sessions": in_sessions,
        "interpreters": INTERPRETERS,
        **_saved_to_choose(form.user),
        "made_from": form.made_from,
        "limits": {"script_bytes": settings.MUSTER_SCRIPT_LIMIT_BYTES, "output_bytes": settings.ENV.output_cap},
    }


def _saved_to_choose(user: User) -> dict[str, Any]:
    """Return the saved commands that the form lists, and whether there are more, which the library finds."""
    names = saved_commands.visible(user).select_related(None).only("name").order_by(Lower("name"))
    found = list(names[: SAVED_LISTED + 1])
    return {"saved": found[:SAVED_LISTED], "has_more_saved": len(found) > SAVED_LISTED}


@require_GET
def send_parameters(request: SignedInRequest) -> HttpResponse:
    """Show the fields for the parameters of a version of a saved command: none where it has none."""
    rules.require_anywhere(request.user, rules.Action.SEND_COMMAND)
    form = SendForm(user=request.user, initial={"saved_version": request.GET.get("saved_version", "")})
    return render(request, "send/_parameters.html", {"form": form})


@require_POST
def send_again(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show the Send Command form filled from a run, for the rows of it that were ticked; it changes nothing.

    ``row`` are the ticked boxes of a page, ``ordinals`` those that a browser with scripts kept of all pages.
    """
    rules.require_anywhere(request.user, rules.Action.SEND_COMMAND)
    found = get_object_or_404(services.visible_runs(request.user), pk=run_id)
    ticked = request.POST.get("ordinals") or fold(
        int(row) for row in request.POST.getlist("row") if row.isascii() and row.isdigit() and len(row) < 9
    )
    form = SendForm(user=request.user, initial=_again(request, found, ROWS, ticked))
    return render(request, "send/page.html", send_context(form, form.initial))


@require_http_methods(["GET", "POST"])
def send_targets(request: SignedInRequest) -> HttpResponse:
    """Show which instances a selection comes to: names, number, and those that would be skipped.

    POST is for selections too long for a URL; it changes nothing.
    """
    data = request.POST if request.method == "POST" else request.GET
    targets = targets_of(request.user, data, data.get("command_type", ""))
    return render(request, "send/_targets.html", {"targets": targets})


# ------------------------------------------------------------------ a run


@require_GET
def run(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show a run beside the list; htmx asking for a part of it gets that part."""
    found = get_object_or_404(to_show(services.visible_runs(request.user)), pk=run_id)
    shown = run_view(
        request.user,
        found,
        status=request.GET.get("status", ALL),
        page=_number(request.GET.get("page"), 1),
        opened=_number(request.GET.get("i"), None),
        with_output=True,
    )
    if request.htmx.target and "panel" in request.htmx.target:
        return render(request, "runs/_panel.html", {"run_view": shown})
    return dashboard(request, shown)


@require_POST
def stop_run(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Stop a run or one invocation (``i``) of it."""
    found = get_object_or_404(services.visible_runs(request.user), pk=run_id)
    stopping.stop_run(request.user, run=found, ordinal=_number(request.POST.get("i"), None))
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("run", run_id)


@require_POST
def answer_run(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Say what becomes of the rest of a run (``do``), about the batch that was shown (``batch``)."""
    found = get_object_or_404(services.visible_runs(request.user), pk=run_id)
    what = request.POST.get("do", "")
    if what not in set(Answer):
        return HttpResponse("Continue, decline, pause or resume.", status=400, content_type="text/plain")
    batch = _number(request.POST.get("batch"), None)
    answers.answer(request.user, run=found, what=Answer(what), batch=batch)
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("run", run_id)


@require_POST
def recheck_run(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Look what is left of lost invocations (``i`` for one), or stop it (``stop``)."""
    found = get_object_or_404(services.visible_runs(request.user), pk=run_id)
    ordinal = _number(request.POST.get("i"), None)
    stopping.recheck(request.user, run=found, ordinal=ordinal, stop=bool(request.POST.get("stop")))
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("run", run_id)


@require_GET
def download(request: SignedInRequest, run_id: int, ordinal: int) -> HttpResponseBase:
    """Send an invocation's kept output, exact bytes, whole or a Range (RFC 9110 section 14); 410 once removed."""
    found = get_object_or_404(services.visible_runs(request.user), pk=run_id)
    invocation = get_object_or_404(services.visible_invocations(request.user, found), ordinal=ordinal)
    if invocation.output_removed_at:
        return _removed(request, invocation)
    size = output.stored_size(invocation)
    try:
        part = parse_range(request.headers.get("Range", ""), size)
        start, stop = part or (0, size)
        body = output.stored_bytes(invocation, start, stop)
    except Unsatisfiable:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    except output.OutputRemoved:
        return _removed(request, invocation)
    answer = StreamingHttpResponse(
        streamed(request, body),
        status=206 if part else 200,
        content_type="text/plain; charset=utf-8",
        headers=_download_headers(invocation, start, stop),
    )
    if part:
        answer["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return answer


def _removed(request: SignedInRequest, invocation: Invocation) -> HttpResponse:
    return render(request, "runs/removed.html", {"invocation": invocation}, status=410)


def _download_headers(invocation: Invocation, start: int, stop: int) -> dict[str, str]:
    safe = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in invocation.instance_name)
    return {
        "Content-Length": str(stop - start),
        "Content-Disposition": str(
            content_disposition_header(as_attachment=True, filename=f"run-{invocation.run_id}-{safe}.txt")
        ),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        # Keeps compressing middleware away: a range counts the exact bytes.
        "Content-Encoding": "identity",
        "Cache-Control": "no-store",
    }


def _number(text: str | None, default: int | None) -> Any:
    """Return a small number from a URL, or the default; a page number is no reason for an error."""
    if text is None or not text.isdecimal() or len(text) > 9:
        return default
    return int(text)
