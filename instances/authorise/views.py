"""Translates requests about keys on instances into service calls and pages."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.authorise.forms import AuthoriseForm, KeyPairForm, TakeAwayForm
from instances.authorise.models import OPEN_STATES, Authorisation, Placement
from instances.credentials.key_pairs import public_key
from instances.credentials.models import Credential
from instances.credentials.vault import VaultError
from instances.inventory.models import Instance
from instances.inventory.query import selected

ROWS_SHOWN = 200
PAGE_ROWS = 100


@require_http_methods(["GET", "POST"])
def authorise(request: SignedInRequest) -> HttpResponse:
    """Show which line of a key would be written where, then have it written."""
    return _page(request, AuthoriseForm)


@require_http_methods(["GET", "POST"])
def take_away(request: SignedInRequest) -> HttpResponse:
    """Show where a key would be taken away, then have it done."""
    return _page(request, TakeAwayForm)


@require_GET
def authorisation(request: SignedInRequest, authorisation_id: int) -> HttpResponse:
    """Show how an authorisation went on each instance; the page asks again until it is over."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    found = get_object_or_404(Authorisation.objects.select_related("next_credential"), pk=authorisation_id)
    rows = Placement.objects.filter(authorisation=found)
    counts = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    context = {
        "authorisation": found,
        "placements": Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page")),
        "counts": counts,
        "is_open": any(counts.get(state) for state in OPEN_STATES),
    }
    return render(request, "authorise/result.html", context)


@require_http_methods(["GET", "POST"])
def make_key_pair(request: SignedInRequest) -> HttpResponse:
    """Make a key pair here."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    form = KeyPairForm(request.POST or None, user=request.user)
    made = form.make()
    if made is None:
        return render(request, "authorise/key_pair.html", {"form": form}, status=422 if form.is_bound else 200)
    messages.success(request, f"{made.name} was made. Its private half is sealed; its public half is below.")
    return redirect("public-key", made.pk)


@require_GET
def key(request: SignedInRequest, credential_id: int) -> HttpResponse:
    """Show the public half of a key and what was done with it; with ``?download`` as a file."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    credential = get_object_or_404(Credential, pk=credential_id)
    try:
        found = public_key(credential)
    except VaultError:
        found = ""
    if found and "download" in request.GET:
        file = HttpResponse(f"{found} muster\n", content_type="text/plain; charset=us-ascii")
        file["Content-Disposition"] = f'attachment; filename="muster-{credential.pk}.pub"'
        return file
    context = {"credential": credential, "public_key": found, "past": credential.authorisations.all()[:20]}
    return render(request, "authorise/key.html", context)


def _page(request: SignedInRequest, kind: type[AuthoriseForm] | type[TakeAwayForm]) -> HttpResponse:
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    instances = _instances(request)
    filled = _filled(request, kind)
    is_pressed = request.POST.get("do") == "press"
    is_asked = "do" in request.POST or "credential" in filled
    form = kind(filled if is_asked else None, user=request.user, instances=instances)
    pressed = form.press() if is_pressed else None
    if pressed is not None:
        return redirect("authorisation", pressed.pk)
    selection = form.selection
    context = {
        "form": form,
        "selection": selection,
        "candidates": selection.candidates[:ROWS_SHOWN],
        "excluded": selection.excluded[:ROWS_SHOWN],
        "count": len(instances),
        "ids": ",".join(str(instance.pk) for instance in instances),
        "saying": form.saying(selection) if selection.candidates else "",
    }
    template = "authorise/take_away.html" if kind is TakeAwayForm else "authorise/authorise.html"
    return render(request, template, context, status=422 if is_pressed else 200)


def _instances(request: SignedInRequest) -> list[Instance]:
    given = request.POST if request.method == "POST" else request.GET
    found = selected(
        request.user,
        ids=given.getlist("ids"),
        query=given.get("query", ""),
        except_ids=given.get("except_ids", ""),
    )
    return list(found.select_related("group").order_by("name"))


def _filled(request: SignedInRequest, kind: type[AuthoriseForm] | type[TakeAwayForm]) -> dict[str, Any]:
    """Return what the form is filled with: at first its own defaults and, if there is only one key, that."""
    given = (request.POST if request.method == "POST" else request.GET).dict()
    if "limits" in given or "next_credential" in given:
        return dict(given)
    fresh = {name: field.initial for name, field in kind.base_fields.items() if field.initial is not None}
    keys = list(Credential.objects.filter(kind="key").values_list("pk", flat=True)[:2])
    if len(keys) == 1:
        fresh["credential"] = keys[0]
    return fresh | given
