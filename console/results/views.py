"""Translates requests for the views of one run beside its table."""

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from console.results.combined import whole
from console.results.combined_view import combined_view, line_of_text, of_status
from console.results.matrix import LETTERS
from console.results.matrix import matrix as statuses_of
from console.results.normalise import Rules
from console.results.presentation import GROUPS, Ignored, diff_view, groups_view
from console.results.search import excerpt as lines_around
from console.results.search_view import search_view
from console.runs import services
from console.runs.models import Invocation, Run
from console.runs.presentation import run_view
from console.runs.views import dashboard
from console.streaming import streamed
from instances.access.requests import SignedInRequest

MAX_GROUPS = 1000


@require_GET
def groups(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show the groups of identical output; htmx asking for the list alone gets that."""
    run = _run(request, run_id)
    ignored = _ignored(request.GET)
    shown = min(_number(request.GET, "shown", GROUPS), MAX_GROUPS)
    results = {
        "tab": "groups",
        "template": "results/_groups.html",
        "toggles": ignored.toggles,
        "groups": groups_view(request.user, run, ignored, shown=shown),
    }
    return _answer(request, run, results, part="groups", template="results/_group_list.html")


@require_GET
def diff(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show how the outputs of two invocations (``a`` and ``b``) differ."""
    run = _run(request, run_id)
    ignored = _ignored(request.GET)
    first = services.visible_invocations(request.user, run).values_list("ordinal", flat=True).first() or 0
    left, right = (_number(request.GET, name, first) for name in ("a", "b"))
    try:
        shown = diff_view(request.user, run, ignored, left=left, right=right)
    except Invocation.DoesNotExist as error:
        raise Http404 from error
    results = {
        "tab": "groups",
        "template": "results/_diff.html",
        "rules": ignored.names,
        "back_url": f"{reverse('run-groups', args=[run.pk])}?{urlencode(ignored.query)}",
        "diff": shown,
    }
    return _answer(request, run, results)


@require_GET
def search(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Search all outputs of a run for ``q``, from the ordinal ``from`` on; htmx going on gets the next part alone."""
    run = _run(request, run_id)
    shown, status = search_view(request.user, run, request.GET)
    results = {"tab": "search", "template": "results/_search.html", "search": shown}
    return _answer(request, run, results, part="search-on", template="results/_search_part.html", status=status)


@require_GET
def matrix(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show all instances of a run as a field of cells."""
    run = _run(request, run_id)
    results = {"tab": "matrix", "template": "results/_matrix.html", "legend": [(s, LETTERS[s]) for s in LETTERS]}
    return _answer(request, run, results)


@require_GET
def matrix_data(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Send what the matrix draws; 204 when nothing changed since ``revision``. ``whole``: with names."""
    run = _run(request, run_id)
    if request.GET.get("revision") == str(run.revision):
        return HttpResponse(status=204)
    return JsonResponse(statuses_of(request.user, run).as_json(is_whole=bool(request.GET.get("whole"))))


@require_GET
def combined(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show the lines of all instances as they arrived; htmx asking for what is earlier or later gets that alone."""
    run = _run(request, run_id)
    shown = combined_view(request.user, run, request.GET)
    results = {"tab": "combined", "template": "results/_combined.html", "combined": shown}
    part = "combined-earlier" if request.GET.get("before") else "combined-later"
    return _answer(request, run, results, part=part, template="results/_combined_lines.html")


@require_GET
def combined_text(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """Send all lines of a run as text, in the order in which they arrived, with names unless ``bare``."""
    run = _run(request, run_id)
    lines = whole(of_status(request.user, run, request.GET.get("status", "")))
    body = (line_of_text(line, is_named=not request.GET.get("bare")) for line in lines)
    return StreamingHttpResponse(
        streamed(request, body),
        content_type="text/plain; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="run-{run.pk}.txt"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


@require_GET
def excerpt(request: SignedInRequest, run_id: int, ordinal: int, line: int) -> HttpResponse:
    """Show the lines around one of an output, however large it is."""
    run = _run(request, run_id)
    invocation = get_object_or_404(services.visible_invocations(request.user, run), ordinal=ordinal)
    around = None if invocation.output_removed_at else lines_around(invocation, line)
    results = {
        "tab": "search",
        "template": "results/_excerpt.html",
        "invocation": invocation,
        "excerpt": around,
        "back_url": f"{reverse('run-search', args=[run.pk])}?{request.GET.urlencode()}",
    }
    return _answer(request, run, results)


def _answer(
    request: SignedInRequest,
    run: Run,
    results: dict[str, Any],
    *,
    part: str = "",
    template: str = "",
    status: int = 200,
) -> HttpResponse:
    """Return a view as a page, as the run's panel, or as the one part that htmx asks for."""
    target = request.htmx.target or ""
    if part and part in target:
        return render(request, template, {"run_view": {"run": run}, "results": results})
    shown = run_view(request.user, run, opened=_number(request.GET, "i", None), with_output=True)
    if "panel" in target:
        return render(request, "runs/_panel.html", {"run_view": shown, "results": results}, status=status)
    return dashboard(request, shown, status, results=results)


def _run(request: SignedInRequest, run_id: int) -> Run:
    return get_object_or_404(services.visible_runs(request.user), pk=run_id)


def _ignored(params: QueryDict) -> Ignored:
    rules = Rules(**{name: bool(params.get(name)) for name in ("times", "own_name", "looks", "numbers")})
    return Ignored(rules, bool(params.get("exits")))


def _number(params: QueryDict, name: str, default: int | None) -> Any:
    """Return a small number from an address, or the default; a wrong one is no reason for an error."""
    text = params.get(name, "")
    return int(text) if text.isdecimal() and len(text) <= 9 else default
