"""Translates requests about host authorities and revoked keys into service calls and pages."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.host_keys import authorities
from instances.host_keys.forms import AuthorityForm, RevokeForm
from instances.host_keys.models import HostKey


@require_http_methods(["GET", "POST"])
def host_authorities(request: SignedInRequest) -> HttpResponse:
    """Show the host authorities, or trust one."""
    rules.require_anywhere(request.user, Action.TRUST_HOST_KEYS)
    form = AuthorityForm(request.POST or None, user=request.user)
    added = form.add() if form.is_bound else None
    if added is None:
        rows = _with_right(request, authorities.visible_authorities(request.user))
        context = {"rows": rows, "form": form}
        return render(request, "host_keys/authorities.html", context, status=422 if form.is_bound else 200)
    messages.success(request, f"{added.name} vouches for {added.patterns} now.")
    return redirect("host-authorities")


@require_POST
def remove_host_authority(request: SignedInRequest, authority_id: int) -> HttpResponse:
    """Let an authority vouch for nobody any more."""
    row = get_object_or_404(authorities.visible_authorities(request.user), pk=authority_id)
    authorities.remove_authority(request.user, authority=row)
    messages.success(request, f"{row.name} vouches for nobody any more.")
    return redirect("host-authorities")


@require_http_methods(["GET", "POST"])
def revoked_keys(request: SignedInRequest) -> HttpResponse:
    """Show the revoked keys, or revoke one; ``?key=`` is the id of a host key to begin with."""
    rules.require_anywhere(request.user, Action.TRUST_HOST_KEYS)
    form = RevokeForm(request.POST or None, user=request.user, initial=_key_to_revoke(request))
    added = form.add() if form.is_bound else None
    if added is None:
        rows = _with_right(request, authorities.visible_revoked(request.user))
        context = {"rows": rows, "form": form}
        return render(request, "host_keys/revoked.html", context, status=422 if form.is_bound else 200)
    messages.success(request, f"{added.fingerprint} is revoked: nothing is sent to a machine that shows it.")
    return redirect("revoked-keys")


@require_POST
def restore_key(request: SignedInRequest, revoked_id: int) -> HttpResponse:
    """Take a revocation back."""
    row = get_object_or_404(authorities.visible_revoked(request.user), pk=revoked_id)
    authorities.restore(request.user, revoked=row)
    messages.success(request, f"{row.fingerprint} is not revoked any more; it is reviewed like a new one.")
    return redirect("revoked-keys")


def _with_right(request: SignedInRequest, rows: Any) -> list[tuple[Any, bool]]:
    return [(row, rules.allowed(request.user, Action.TRUST_HOST_KEYS, row.group)) for row in rows]


def _key_to_revoke(request: SignedInRequest) -> dict[str, str]:
    wanted = request.GET.get("key", "")
    if not wanted.isdecimal() or len(wanted) > 18:
        return {}
    theirs = HostKey.objects.filter(rules.scope(request.user, Action.TRUST_HOST_KEYS, field="instance__group"))
    key = theirs.filter(pk=int(wanted)).select_related("instance").first()
    return {"line": key.line, "comment": f"Of {key.instance.name}"} if key is not None else {}
