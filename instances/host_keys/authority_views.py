"""Translates requests about host authorities, revoked keys and known_hosts files into service calls and pages."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.host_keys import authorities
from instances.host_keys.forms import AuthorityForm, ImportForm, RevokeForm
from instances.host_keys.importing import Applied, Outcome, Preview
from instances.host_keys.models import HostKey

ROWS_SHOWN = 500
# In the order of the page: what there is to decide comes first.
_HEADINGS = (
    (Outcome.WRONG, "Cannot be read"),
    (Outcome.NOT_COMPARED, "Not compared"),
    (Outcome.CHANGED, "Changed: another key is trusted"),
    (Outcome.REVOKED, "Revoked: never trusted"),
    (Outcome.REVOKE, "Keys to revoke"),
    (Outcome.AUTHORITY, "Authorities to trust"),
    (Outcome.NEW, "New: trusted from then on"),
    (Outcome.KNOWN, "Nothing to do: known already"),
    (Outcome.UNMATCHED, "No instance has this address"),
)


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


@require_http_methods(["GET", "POST"])
def import_known_hosts(request: SignedInRequest) -> HttpResponse:
    """Read a known_hosts file: the first POST shows what it means, the second one, confirmed, does it."""
    rules.require_anywhere(request.user, Action.TRUST_HOST_KEYS)
    form = ImportForm(request.POST or None, request.FILES or None, user=request.user)
    if not form.is_bound:
        return render(request, "host_keys/import.html", {"form": form})
    if "confirm" in request.POST:
        done = form.apply(replace={int(at) for at in request.POST.getlist("replace") if at.isdecimal() and len(at) < 9})
        if done is not None:
            messages.success(request, _told(done))
            return redirect("host-keys")
    refusal = list(form.non_field_errors())
    again = form if not refusal else ImportForm(request.POST, request.FILES, user=request.user)
    shown = again.preview()
    context = {"form": again, "refusal": refusal, **(_parts(shown) if shown is not None else {})}
    return render(request, "host_keys/import.html", context, status=422 if shown is None or refusal else 200)


def _parts(shown: Preview) -> dict[str, Any]:
    parts = [(outcome, heading, shown.of(outcome)) for outcome, heading in _HEADINGS if shown.counts[outcome]]
    return {
        "shown": shown,
        "parts": [(outcome, heading, rows[:ROWS_SHOWN], len(rows)) for outcome, heading, rows in parts],
    }


def _with_right(request: SignedInRequest, rows: Any) -> list[tuple[Any, bool]]:
    return [(row, rules.allowed(request.user, Action.TRUST_HOST_KEYS, row.group)) for row in rows]


def _key_to_revoke(request: SignedInRequest) -> dict[str, str]:
    wanted = request.GET.get("key", "")
    if not wanted.isdecimal() or len(wanted) > 18:
        return {}
    theirs = HostKey.objects.filter(rules.scope(request.user, Action.TRUST_HOST_KEYS, field="instance__group"))
    key = theirs.filter(pk=int(wanted)).select_related("instance").first()
    return {"line": key.line, "comment": f"Of {key.instance.name}"} if key is not None else {}


def _told(done: Applied) -> str:
    said = [
        f"{done.trusted:,} host key{'' if done.trusted == 1 else 's'} trusted",
        f"{done.replaced:,} replaced" if done.replaced else "",
        f"{done.queued:,} changed put into the review" if done.queued else "",
        f"{done.authorities:,} authorities trusted" if done.authorities else "",
        f"{done.revoked:,} revoked" if done.revoked else "",
    ]
    return f"{', '.join(filter(None, said))}."
