"""Translates requests about reports into files and pages."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET

from console.reports import archive, history_export, record
from console.runs import history, services
from console.runs.models import Run
from console.streaming import streamed
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
    found = history.filtered(request.user, history.HistoryForm(request.GET))
    return _file(request, history_export.history_csv(request.user, found), f"runs-{_today()}.csv", CSV)


@require_GET
def history_json(request: SignedInRequest) -> HttpResponseBase:
    """Send the runs that the history's filters find as JSON."""
    found = history.filtered(request.user, history.HistoryForm(request.GET))
    return _file(request, history_export.history_json(request.user, found), f"runs-{_today()}.json", JSON)


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
