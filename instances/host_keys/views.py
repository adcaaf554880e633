"""Translates requests about host keys into service calls and the page that reviews them."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from instances.access import rules
from instances.access.models import Group
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.host_keys import services
from instances.host_keys.models import HostKey, HostKeyState
from instances.next_page import next_page

PAGE_ROWS = 100
WORDS_LIMIT = 200


@require_GET
def host_keys(request: SignedInRequest) -> HttpResponse:
    """Show the keys that wait for a person: changed ones one by one beside the old, unknown ones as a list.

    ``?select=all`` ticks the unknown ones of the page; a changed key is never part of that, nor is a revoked one.
    ``group`` and ``q`` (part of a name, an address or a fingerprint) narrow both down.
    """
    rules.require_anywhere(request.user, Action.TRUST_HOST_KEYS)
    return _page(request)


@require_POST
def trust_host_keys(request: SignedInRequest) -> HttpResponse:
    """Trust the chosen keys (``keys``); a changed one only with the confirmation that its own form asks for."""
    rules.require_anywhere(request.user, Action.TRUST_HOST_KEYS)
    chosen = _chosen(request)
    if not chosen:
        return _page(request, "Select at least one key that still waits for review.", 422)
    try:
        trusted = services.trust(
            request.user, host_keys=chosen, confirm_changed=request.POST.get("confirm_changed") == "yes"
        )
    except (services.ChangedNotConfirmed, services.KeyRevoked) as error:
        return _page(request, error.messages[0], 422)
    count = len(trusted)
    messages.success(request, f"{count} host key{' is' if count == 1 else 's are'} trusted now.")
    return redirect(next_page(request, "host-keys"))


@require_POST
def forget_host_key(request: SignedInRequest, host_key_id: int) -> HttpResponse:
    """Remove one key, waiting or trusted."""
    key = get_object_or_404(_theirs(request), pk=host_key_id)
    services.forget(request.user, host_keys=[key])
    messages.success(request, f"The key {key.fingerprint} of {key.instance.name} was removed.")
    return redirect(next_page(request, "host-keys"))


def _page(request: SignedInRequest, error: str = "", status: int = 200) -> HttpResponse:
    shown, chosen = _narrowed(request)
    changed = Paginator(services.waiting(request.user, HostKeyState.CHANGED).filter(shown), PAGE_ROWS).get_page(
        request.GET.get("changed")
    )
    unknown = Paginator(services.waiting(request.user, HostKeyState.UNKNOWN).filter(shown), PAGE_ROWS).get_page(
        request.GET.get("page")
    )
    revoked = services.revoked_among([*changed, *unknown])
    former = services.former_fingerprints(changed)
    context = {
        "changed": changed,
        "sides": [(key, former.get(key.instance_id, []), revoked.get(key.pk)) for key in changed],
        "unknown": unknown,
        "rows": [(key, revoked.get(key.pk)) for key in unknown],
        "decided_groups": Group.objects.filter(rules.scope(request.user, Action.TRUST_HOST_KEYS, field="pk")),
        "chosen": chosen,
        "query": urlencode({key: value for key, value in chosen.items() if value}),
        "ticked": request.GET.get("select") == "all",
        "error": error,
    }
    return render(request, "host_keys/review.html", context, status=status)


def _narrowed(request: SignedInRequest) -> tuple[Q, dict[str, str]]:
    group, words = request.GET.get("group", ""), request.GET.get("q", "").replace("\0", "")[:WORDS_LIMIT].strip()
    shown = Q()
    if group.isdecimal() and len(group) < 19:
        shown &= Q(instance__group=int(group))
    if words:
        shown &= (
            Q(instance__name__icontains=words) | Q(instance__address__icontains=words) | Q(fingerprint__icontains=words)
        )
    return shown, {"group": group if group.isdecimal() else "", "q": words}


def _theirs(request: SignedInRequest) -> QuerySet[HostKey]:
    shown = HostKey.objects.filter(rules.scope(request.user, Action.TRUST_HOST_KEYS, field="instance__group"))
    return shown.exclude(state=HostKeyState.FORMER).select_related("instance", "instance__group")


def _chosen(request: SignedInRequest) -> list[HostKey]:
    ids = [int(value) for value in request.POST.getlist("keys") if value.isdecimal() and len(value) < 19]
    return list(_theirs(request).filter(pk__in=ids[: 10 * PAGE_ROWS]).exclude(state=HostKeyState.TRUSTED))
