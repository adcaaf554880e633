"""Translates requests about reports into files and pages."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from console.history.filters import filtered
from console.history.forms import HistoryForm
from console.reports import archive, compare_view, figures, history_export, record, retention
from console.runs import history, services
from console.runs.models import Run
from console.saved_commands import services as saved_commands
from console.streaming import streamed
from instances.access import rules
from instances.access.requests import SignedInRequest

if TYPE_CHECKING:
    from console.members.models import User

CSV, JSON, ZIP = "text/csv; charset=utf-8", "application/json", "application/zip"


# ------------------------------------------------------------------ export


@require_GET
def run_csv(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """Send a run's invocations as a table."""
    return _export(request, run_id, record.run_csv, "csv", CSV)


@require_GET
def run_json(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """Send the whole record of a run."""
    return _export(request, run_id, record.run_json, "json", JSON)


@require_GET
def run_zip(request: SignedInRequest, run_id: int) -> HttpResponseBase:
    """Send a run's outputs, with a manifest of their hashes."""
    return _export(request, run_id, archive.run_archive, "zip", ZIP)


@require_GET
def history_csv(request: SignedInRequest) -> HttpResponseBase:
    """Send the runs that the history's filters find as a table."""
    return _file(request, history_export.history_csv(request.user, _found(request)), f"runs-{_today()}.csv", CSV)


@require_GET
def history_json(request: SignedInRequest) -> HttpResponseBase:
    """Send the runs that the history's filters find as JSON."""
    return _file(request, history_export.history_json(request.user, _found(request)), f"runs-{_today()}.json", JSON)


def _found(request: SignedInRequest) -> QuerySet[Run]:
    """Return what the filters of the history find, as its page does."""
    return filtered(request.user, HistoryForm(request.GET))


def _export(
    request: SignedInRequest,
    run_id: int,
    pieces: "Callable[[User, Run], Iterator[bytes]]",
    ending: str,
    content_type: str,
) -> HttpResponseBase:
    runs = services.visible_runs(request.user).select_related("saved_version__saved")
    run = get_object_or_404(runs, pk=run_id)
    return _file(request, pieces(request.user, run), f"run-{run.pk}.{ending}", content_type)


def _file(request: HttpRequest, body: Iterator[bytes], name: str, content_type: str) -> HttpResponseBase:
    # Content-Encoding keeps compressing middleware away, which would collect the whole of it.
    return StreamingHttpResponse(
        streamed(request, body),
        content_type=content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Encoding": "identity",
        },
    )


def _today() -> str:
    return timezone.now().strftime("%Y-%m-%d")


# ------------------------------------------------------------------ comparing


@require_GET
def run_compare(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show what changed since an earlier run of the same command (``with``, else the one before); ``i`` opens one."""
    runs = services.visible_runs(request.user).select_related("saved_version__saved")
    run = get_object_or_404(runs, pk=run_id)
    shown = compare_view.compared(request.user, run, request.GET)
    if shown is None:
        raise Http404("No earlier run of this command has this number.")
    return render(request, "reports/compare.html", shown)


# ------------------------------------------------------------------ charts


@require_GET
def run_report(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Show how long the instances of a run took."""
    runs = services.visible_runs(request.user).select_related("saved_version__saved")
    run = get_object_or_404(runs, pk=run_id)
    history.narrow(request.user, [run])
    context = {"run": run, "durations": figures.durations(request.user, run)}
    return render(request, "reports/run.html", context)


@require_GET
def saved_history(request: SignedInRequest, saved_id: int) -> HttpResponse:
    """Show how the runs of a saved command ended over time, and how long they are kept."""
    rules.require_anywhere(request.user, rules.Action.VIEW)
    saved = get_object_or_404(saved_commands.seen(request.user), pk=saved_id)
    per = figures.PER_DAY if request.GET.get("per") == figures.PER_DAY else figures.PER_RUN
    context = {
        "saved": saved,
        "per": per,
        "outcomes": figures.outcomes(request.user, saved, per),
        # Of an archived one the rule stays as it is.
        "form": None if saved.archived_at else retention.form_for(request.user, saved),
        "retention_days": settings.ENV.retention_days,
    }
    return render(request, "reports/saved.html", context)


# ------------------------------------------------------------------ retention


@require_GET
def retention_rules(request: SignedInRequest) -> HttpResponse:
    """Show how long runs are kept and what goes when."""
    rules.require_anywhere(request.user, rules.Action.VIEW)
    return _retention(request, retention.form_for(request.user))


@require_POST
def keep_runs(request: SignedInRequest) -> HttpResponse:
    """Set how long the runs of a saved command are kept."""
    rules.require_anywhere(request.user, rules.Action.MANAGE_SAVED_COMMANDS)
    form = retention.KeepForm(request.POST, user=request.user)
    saved = form.press()
    if saved is None:
        return _retention(request, form, status=422)
    messages.success(request, f"The runs of {saved.name} are kept so from now on.")
    return redirect("retention")


def _retention(request: SignedInRequest, form: retention.KeepForm, status: int = 200) -> HttpResponse:
    context = {
        "picture": retention.picture(request.user),
        "form": form,
        "recording_days": settings.ENV.recording_days,
    }
    return render(request, "reports/retention.html", context, status=status)
