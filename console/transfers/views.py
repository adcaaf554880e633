"""Translates requests about files into service calls and pages."""

import re

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods

from console.streaming import streamed
from console.transfers import services, store
from console.transfers.forms import FetchFileForm, SendFileForm
from console.transfers.models import OPEN_STATES, Transfer
from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.inventory.query import selected

NAMES_SHOWN = 50
PAGE_ROWS = 100


@require_http_methods(["GET", "POST"])
def send_file(request: SignedInRequest) -> HttpResponse:
    """Send a file to the selected instances."""
    return _page(request, SendFileForm, "transfers/send.html")


@require_http_methods(["GET", "POST"])
def fetch_file(request: SignedInRequest) -> HttpResponse:
    """Fetch a file from each of the selected instances."""
    return _page(request, FetchFileForm, "transfers/fetch.html")


@require_GET
def transfer(request: SignedInRequest, transfer_id: int) -> HttpResponse:
    """Show how a transfer goes on each instance; the page asks again until it is over."""
    rules.require_anywhere(request.user, Action.SEND_COMMAND)
    rows = services.visible_deliveries(request.user).filter(transfer=transfer_id)
    found = get_object_or_404(Transfer.objects.filter(deliveries__in=rows).distinct(), pk=transfer_id)
    counts = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    context = {
        "transfer": found,
        "deliveries": Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page")),
        "counts": counts,
        "is_open": any(counts.get(state) for state in OPEN_STATES),
    }
    return render(request, "transfers/result.html", context)


@require_GET
def fetched(request: SignedInRequest, delivery_id: int) -> HttpResponseBase:
    """Download what was fetched from one instance."""
    rules.require_anywhere(request.user, Action.SEND_COMMAND)
    rows = services.visible_deliveries(request.user).select_related("transfer").exclude(stored="")
    row = get_object_or_404(rows, pk=delivery_id)
    name = re.sub(r"[^\w.@-]+", "_", f"{row.instance_name}-{row.transfer.path.rpartition('/')[2]}")
    try:
        size = store.path_of(row.stored).stat().st_size
    except FileNotFoundError:
        raise Http404("The file is gone from the data folder.") from None
    # Never drawn as a page of this site, whatever it is.
    return StreamingHttpResponse(
        streamed(request, store.pieces(row.stored)),
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": str(content_disposition_header(as_attachment=True, filename=name)),
            "Content-Length": str(size),
        },
    )


def _page(request: SignedInRequest, kind: type[SendFileForm] | type[FetchFileForm], template: str) -> HttpResponse:
    rules.require_anywhere(request.user, Action.SEND_COMMAND)
    given = request.POST if request.method == "POST" else request.GET
    found = selected(
        request.user, ids=given.getlist("ids"), query=given.get("query", ""), except_ids=given.get("except_ids", "")
    )
    instances = list(found.select_related("group").order_by("name"))
    is_pressed = request.POST.get("do") == "press"
    bound = (request.POST, request.FILES) if is_pressed else ()
    form = kind(*bound, user=request.user, instances=instances)
    done = form.press() if is_pressed else None
    if done is not None:
        return redirect("transfer", done.pk)
    context = {
        "form": form,
        "count": len(instances),
        "names": [instance.name for instance in instances[:NAMES_SHOWN]],
        "ids": ",".join(str(instance.pk) for instance in instances),
    }
    return render(request, template, context, status=422 if is_pressed else 200)
