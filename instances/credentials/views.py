"""Translates requests about credentials into service calls and pages."""

from typing import TYPE_CHECKING

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from instances.access import rules
from instances.access.models import Group
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.credentials import services
from instances.credentials.agent import has_agent
from instances.credentials.forms import AttachForm, CredentialForm
from instances.credentials.models import Credential
from instances.next_page import next_page

if TYPE_CHECKING:
    from instances.inventory.models import Instance


NAMES_SHOWN = 50


@require_GET
def credentials(request: SignedInRequest) -> HttpResponse:
    """Show the credentials, without their secrets, and how many instances and groups use each."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    rows = Credential.objects.annotate(
        instance_count=Count("instances", filter=Q(instances__is_adhoc=False), distinct=True),
        group_count=Count("group_defaults", distinct=True),
    )
    return render(request, "credentials/list.html", {"credentials": rows.defer("sealed_secret", "sealed_passphrase")})


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def add_credential(request: SignedInRequest) -> HttpResponse:
    """Add a credential; with ``?instance=`` for an instance that has none, which gets it at once."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    form = CredentialForm(request.POST or None, request.FILES or None, user=request.user)
    waiting = services.attachable(request.user, _ids(request.GET.getlist("instance")))
    added = form.add()
    if added is None:
        return render(
            request,
            "credentials/form.html",
            {"form": form, "waiting": waiting, "has_agent": has_agent()},
            status=_status(form),
        )
    if waiting:
        services.attach(request.user, credential=added, instances=waiting)
        messages.success(request, f"{added.name} was added and is used for {waiting[0].name} now.")
        return redirect("instance", waiting[0].pk)
    messages.success(request, f"{added.name} was added. Attach it to instances or to a group.")
    return redirect("edit-credential", added.pk)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def edit_credential(request: SignedInRequest, credential_id: int) -> HttpResponse:
    """Change a credential; below it the page says what uses it."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    credential = get_object_or_404(Credential, pk=credential_id)
    form = CredentialForm(request.POST or None, request.FILES or None, user=request.user, credential=credential)
    changed = form.change(credential)
    if changed is None:
        context = {"form": form, "credential": credential, "has_agent": has_agent(), **_uses(credential)}
        return render(request, "credentials/form.html", context, status=_status(form))
    messages.success(request, f"{changed.name} was changed.")
    return redirect("credentials")


@require_http_methods(["GET", "POST"])
def delete_credential(request: SignedInRequest, credential_id: int) -> HttpResponse:
    """Say what uses a credential, then delete it."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    credential = get_object_or_404(Credential, pk=credential_id)
    if request.method == "GET":
        return render(request, "credentials/delete.html", {"credential": credential, **_uses(credential)})
    services.delete_credential(request.user, credential=credential)
    messages.success(request, f"{credential.name} was deleted.")
    return redirect("credentials")


@require_http_methods(["GET", "POST"])
def attach_credential(request: SignedInRequest) -> HttpResponse:
    """Give the selected instances (``ids``) a credential of their own, or a ``group`` or ``everything`` its default."""
    rules.require(request.user, Action.MANAGE_CREDENTIALS)
    form = AttachForm(request.POST if request.method == "POST" else request.GET)
    is_valid = form.is_valid()
    instances = services.attachable(request.user, form.cleaned_data.get("ids") or [])
    if request.method == "GET" or not is_valid:
        return _choose(request, form, instances, 200 if request.method == "GET" else 422)
    chosen, group = form.cleaned_data["credential"], form.cleaned_data["group"]
    if group is not None:
        services.attach_to_group(request.user, credential=chosen, group=group)
    if form.cleaned_data["everything"]:
        services.make_default(request.user, credential=chosen)
    services.attach(request.user, credential=chosen, instances=instances)
    messages.success(request, _told(chosen, _places(form, len(instances))))
    return redirect(next_page(request, "credentials"))


@require_POST
def resume_credential(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Let an instance's credential be offered there again, after it was refused twice."""
    instance = get_object_or_404(services.resumable(request.user), pk=instance_id)
    services.resume(request.user, instance=instance)
    messages.success(request, f"The credential is offered to {instance.name} again.")
    return redirect(next_page(request, "credentials"))


def _ids(values: list[str]) -> list[int]:
    return [int(value) for value in values if value.isdecimal() and len(value) < 19]


def _uses(credential: Credential) -> dict[str, object]:
    instances = credential.instances.filter(is_adhoc=False).order_by("name")
    return {
        "instances": instances[:NAMES_SHOWN],
        "instance_count": instances.count(),
        "used_by_groups": Group.objects.filter(default_credential__credential=credential),
        "other_groups": Group.objects.exclude(default_credential__credential=credential),
    }


def _choose(request: HttpRequest, form: AttachForm, instances: "list[Instance]", status: int) -> HttpResponse:
    context = {
        "form": AttachForm(initial={"credential": form.cleaned_data.get("credential")}),
        "errors": form.non_field_errors() if status != 200 else [],
        "names": [instance.name for instance in instances[:NAMES_SHOWN]],
        "count": len(instances),
        "ids": ",".join(str(instance.pk) for instance in instances),
        "next": request.POST.get("next") or request.GET.get("next", ""),
    }
    return render(request, "credentials/attach.html", context, status=status)


def _places(form: AttachForm, count: int) -> str:
    group = form.cleaned_data["group"]
    places = [f"the group {group.name}"] if group is not None else []
    if form.cleaned_data["everything"]:
        places.append("all instances without another one")
    if count:
        places.append(f"{count} instance{'' if count == 1 else 's'}")
    return " and ".join(places)


def _told(credential: Credential | None, places: str) -> str:
    what = f"{credential.name} is now attached to" if credential else "No credential of its own any more:"
    return f"{what} {places}."


def _status(form: CredentialForm) -> int:
    return 422 if form.is_bound else 200
