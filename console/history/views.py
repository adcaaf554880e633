"""Translates requests about the history into questions and pages."""

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.history import services
from console.history.filters import filtered
from console.history.forms import HistoryForm, chips
from console.history.pages import PAGE_ROWS, page_of
from console.history.search import WORDS_CHARACTERS, find
from console.runs import history
from console.runs.models import Invocation
from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.inventory.details import details_of
from instances.inventory.models import Instance

# Offered while one types; anything else may be typed.
OFFERED = 200


@require_GET
def runs(request: SignedInRequest) -> HttpResponse:
    """Show the runs a user may see, newest first, filtered; without a filter those of the user's default one."""
    kept = list(services.saved_filters(request.user))
    default = next((one for one in kept if one.is_default), None)
    if not request.GET and default is not None:
        return redirect(f"{reverse('runs')}?{default.query}")
    return _list(request, request.GET, saved_filters=kept)


def _list(request: SignedInRequest, params: QueryDict, *, status: int = 200, **more: Any) -> HttpResponse:
    form = HistoryForm(params)
    page = page_of(filtered(request.user, form), params)
    history.narrow(request.user, page)
    history.name_saved(request.user, page)
    context = {
        "runs": page,
        "form": form,
        "query": page.query,
        "chips": list(chips(form, params)),
        "group_names": rules.visible_groups(request.user).values_list("name", flat=True)[:OFFERED],
        "retention_days": settings.ENV.retention_days,
        **more,
    }
    return render(request, "runs/list.html", context, status=status)


@require_GET
def search(request: SignedInRequest) -> HttpResponse:
    """Show which commands and outputs hold the words ``q``."""
    words = request.GET.get("q", "").strip()[:WORDS_CHARACTERS]
    found = find(request.user, words, before=request.GET.get("before"))
    return render(request, "history/search.html", {"words": words, "found": found})


@require_POST
def save_filter(request: SignedInRequest) -> HttpResponse:
    """Keep the filter whose query string is given under a name."""
    query = request.POST.get("query", "")
    name, is_default = request.POST.get("name", ""), bool(request.POST.get("is_default"))
    try:
        kept = services.save_filter(request.user, name=name, query=query, is_default=is_default)
    except services.SavedFilterError as error:
        filters = list(services.saved_filters(request.user))
        more = {"saved_filters": filters, "filter_name": name, "filter_error": str(error)}
        return _list(request, QueryDict(query), status=422, **more)
    return redirect(f"{reverse('runs')}?{kept.query}")


@require_POST
def delete_filter(request: SignedInRequest, filter_id: int) -> HttpResponse:
    """Forget a filter."""
    kept = get_object_or_404(services.saved_filters(request.user), pk=filter_id)
    services.delete_filter(request.user, kept=kept)
    return redirect(f"{reverse('runs')}?all=1")


@require_GET
def instance_commands(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Show the history of one instance: its Remote Commands tab."""
    instance = get_object_or_404(Instance.objects.filter(rules.scope(request.user, rules.Action.VIEW)), pk=instance_id)
    rows = Invocation.objects.filter(instance=instance).select_related("run").order_by("-run_id", "-ordinal")
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    history.name_saved(request.user, [row.run for row in page])
    context: dict[str, Any] = {"instance": instance, "invocations": page}
    if request.htmx:
        return render(request, "instances/_commands.html", context)
    context |= {"details": details_of(instance, request.user), "tab": "commands"}
    return render(request, "instances/details.html", context)
