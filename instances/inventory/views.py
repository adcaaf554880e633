"""Translates requests about instances and groups into service calls and pages."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from instances.access import rules
from instances.access.models import Group
from instances.access.requests import SignedInRequest
from instances.access.rules import Action
from instances.inventory import groups as group_services
from instances.inventory import jumps, services
from instances.inventory.connection import shown_steps
from instances.inventory.details import details_of
from instances.inventory.errors import InUseAsJumpHost
from instances.inventory.forms import GroupForm, ImportForm, InstanceForm, PasteForm, TrialForm
from instances.inventory.models import Instance
from instances.inventory.query import numbers, selected, visible
from instances.next_page import next_page

NAMES_SHOWN = 50
# Their steps are to be read, one by one; for more there is Check now.
TESTED_AT_ONCE = 200
LINES_SHOWN = 500
TABS = ("overview", "commands")


@require_http_methods(["GET", "POST"])
def add_instance(request: SignedInRequest) -> HttpResponse:
    """Add one instance, then show it."""
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    form = InstanceForm(request.POST or None, user=request.user)
    added = form.add()
    if added is None:
        return render(request, "instances/form.html", {"form": form}, status=_status(form))
    messages.success(request, f"{added.name} was added and is being checked.")
    return redirect("instance", added.pk)


@require_http_methods(["GET", "POST"])
def paste_instances(request: SignedInRequest) -> HttpResponse:
    """Read a pasted list: the first POST shows what it means, the second one, confirmed, adds it."""
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    form = PasteForm(request.POST or None, user=request.user)
    added = form.add()
    if added is None:
        status = 200 if form.lines and not form.errors else _status(form)
        return render(request, "instances/paste.html", _preview(form), status=status)
    messages.success(request, _told(len(added), "added, and being checked"))
    return redirect("home")


@require_http_methods(["GET", "POST"])
def import_instances(request: SignedInRequest) -> HttpResponse:
    """Read a CSV table or an OpenSSH configuration: the first POST shows what it means, the second one adds it."""
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    form = ImportForm(request.POST or None, request.FILES or None, user=request.user)
    added = form.add()
    if added is None:
        status = 200 if form.lines and not form.errors else _status(form)
        return render(request, "instances/import.html", _preview(form), status=status)
    messages.success(request, _told(len(added), "added, and being checked"))
    return redirect("home")


@require_GET
def instance(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Show one instance: what is known of it, or the commands sent to it."""
    row = _instance(request, instance_id)
    tab = request.GET.get("tab", "")
    context = {"details": details_of(row, request.user), "instance": row, "tab": tab if tab in TABS else TABS[0]}
    return render(request, "instances/details.html", context)


@require_GET
def jump_hosts(request: SignedInRequest) -> HttpResponse:
    """Suggest jump hosts whose name has what was typed so far."""
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    names = jumps.suggest(request.user, request.GET.get("jump", ""))
    return render(request, "instances/_jump_hosts.html", {"jump_hosts": names})


@require_http_methods(["GET", "POST"])
def edit_instance(request: SignedInRequest, instance_id: int) -> HttpResponse:
    """Change one instance, and say so when it lost its credential and host keys by moving."""
    row = _instance(request, instance_id)
    rules.require(request.user, Action.MANAGE_INSTANCES, row.group)
    form = InstanceForm(request.POST or None, user=request.user, instance=row)
    changed = form.change(row)
    if changed is None:
        return render(request, "instances/form.html", {"form": form, "instance": row}, status=_status(form))
    if changed.has_moved:
        messages.warning(request, services.MOVED)
    messages.success(request, f"{changed.instance.name} was changed.")
    return redirect("instance", row.pk)


@require_POST
def check_instances(request: SignedInRequest, instance_id: int | None = None) -> HttpResponse:
    """Have instances checked now; the pages show what was found when it is there."""
    count = services.request_check(request.user, instances=_selected(request, instance_id))
    return _back(request, instance_id, count, "being checked")


@require_http_methods(["GET", "POST"])
def test_connections(request: SignedInRequest) -> HttpResponse:
    """Show the steps by which the selected instances (``ids``) are reached; POST with ``start`` tries them again.

    POST without it, as the list's menu sends it, only turns the selection into an address.
    """
    rules.require_anywhere(request.user, Action.CHECK_INSTANCE)
    if request.method == "GET":
        found = visible(request.user).filter(pk__in=numbers(request.GET.getlist("ids")))
        return _connections(request, found, TrialForm())
    found = _selected(request, None).order_by("name")
    if not found.exists():
        return _back(request, None, 0, "")
    form = TrialForm(request.POST)
    if "start" not in request.POST:
        return redirect(_test_url(found))
    if not form.is_valid():
        return _connections(request, found, form)
    services.request_check(request.user, instances=found, **form.cleaned_data)
    return redirect(_test_url(found))


@require_POST
def disable_instances(request: SignedInRequest, instance_id: int | None = None) -> HttpResponse:
    """Disable instances."""
    count = services.disable_instances(request.user, instances=_selected(request, instance_id))
    return _back(request, instance_id, count, "disabled")


@require_POST
def enable_instances(request: SignedInRequest, instance_id: int | None = None) -> HttpResponse:
    """Enable instances."""
    count = services.enable_instances(request.user, instances=_selected(request, instance_id))
    return _back(request, instance_id, count, "enabled")


@require_POST
def delete_instances(request: SignedInRequest, instance_id: int | None = None) -> HttpResponse:
    """Ask which instances would be deleted, then delete them if that is still the number."""
    rules.require_anywhere(request.user, Action.MANAGE_INSTANCES)
    found = _selected(request, instance_id).order_by("name")
    count = found.count()
    if count and request.POST.get("confirm") != str(count):
        names = found.values_list("name", flat=True)[:NAMES_SHOWN]
        context = {"count": count, "names": list(names), "ids": _joined(found), "next": next_page(request, "/")}
        return render(request, "instances/delete.html", context)
    try:
        count = services.delete_instances(request.user, instances=found)
    except InUseAsJumpHost as error:
        messages.error(request, str(error))
        return redirect(next_page(request, "/"))
    return _back(request, None, count, "deleted")


@require_POST
def send_to_instances(request: SignedInRequest) -> HttpResponse:
    """Lead to Send Command with the ticked instances in the URL; the way of pages without JavaScript."""
    found = _selected(request, None)
    if not found.exists():
        return _back(request, None, 0, "")
    return redirect(reverse("send") + f"?ids={_joined(found.order_by('name'))}")


@require_http_methods(["GET", "POST"])
def groups(request: SignedInRequest) -> HttpResponse:
    """Show the groups, or add one."""
    rules.require_anywhere(request.user, Action.MANAGE_GROUPS)
    form = GroupForm(request.POST or None, user=request.user)
    if form.add() is None:
        return _groups_page(request, form)
    messages.success(request, "The group was added.")
    return redirect("groups")


@require_POST
def change_group(request: SignedInRequest, group_id: int) -> HttpResponse:
    """Rename a group and choose its default credential."""
    group = get_object_or_404(rules.visible_groups(request.user), pk=group_id)
    form = GroupForm(request.POST, user=request.user, group=group)
    if form.change(group) is None:
        return _groups_page(request, GroupForm(user=request.user), wrong=form)
    messages.success(request, f"{group.name} was changed.")
    return redirect("groups")


@require_POST
def delete_group(request: SignedInRequest, group_id: int) -> HttpResponse:
    """Delete a group; its instances stay."""
    group = get_object_or_404(rules.visible_groups(request.user), pk=group_id)
    group_services.delete_group(request.user, group=group)
    messages.success(request, f"{group.name} was deleted. Its instances are in no group now.")
    return redirect("groups")


@require_POST
def select_group(request: SignedInRequest) -> HttpResponse:
    """Keep which group the user's pages show, and go back."""
    chosen = numbers([request.POST.get("group", "")])
    group = get_object_or_404(rules.visible_groups(request.user), pk__in=chosen) if chosen else None
    group_services.select_group(request.user, group=group)
    return redirect(next_page(request, "/"))


def _instance(request: SignedInRequest, instance_id: int) -> Instance:
    rows = visible(request.user).select_related("group__default_credential__credential", "credential", "jump")
    return get_object_or_404(rows.prefetch_related("tags"), pk=instance_id)


def _selected(request: SignedInRequest, instance_id: int | None) -> QuerySet[Instance]:
    if instance_id is not None:
        return visible(request.user).filter(pk=_instance(request, instance_id).pk)
    given = request.POST
    return selected(
        request.user,
        ids=given.getlist("ids"),
        query=given.get("query", ""),
        except_ids=given.get("except_ids", ""),
    )


def _back(request: SignedInRequest, instance_id: int | None, count: int, done: str) -> HttpResponse:
    if count:
        messages.success(request, _told(count, done))
    else:
        messages.warning(request, "Nothing was selected, or nothing had to be done.")
    return redirect("instance", instance_id) if instance_id is not None else redirect(next_page(request, "/"))


def _test_url(found: QuerySet[Instance]) -> str:
    return reverse("test-connections") + f"?ids={_joined(found[:TESTED_AT_ONCE])}"


def _connections(request: SignedInRequest, found: QuerySet[Instance], form: TrialForm) -> HttpResponse:
    rows = list(found.order_by("name")[:TESTED_AT_ONCE])
    context = {
        "rows": [(row, shown_steps(row)) for row in rows],
        "is_waiting": any(row.check_requested_at for row in rows),
        "ids": ",".join(str(row.pk) for row in rows),
        "form": form,
        "most": TESTED_AT_ONCE,
    }
    return render(request, "instances/connections.html", context, status=_status(form))


def _told(count: int, done: str) -> str:
    return f"1 instance {done}." if count == 1 else f"{count:,} instances {done}."


def _joined(found: QuerySet[Instance]) -> str:
    # One field however many: Django refuses forms with more than a thousand.
    return ",".join(str(pk) for pk in found.values_list("pk", flat=True))


def _status(form: Any) -> int:
    return 422 if form.is_bound else 200


def _preview(form: PasteForm) -> dict[str, Any]:
    lines = form.lines or []
    wrong = [line for line in lines if line.error]
    there = [line for line in lines if line.there]
    good = [line for line in lines if not line.error and not line.there]
    return {"form": form, "wrong": wrong, "there": there, "good": good[:LINES_SHOWN], "count": len(good)}


def _groups_page(request: SignedInRequest, form: GroupForm, wrong: GroupForm | None = None) -> HttpResponse:
    rows = [(group, _row_form(request, group, wrong)) for group in group_services.manageable(request.user)]
    may_add = rules.allowed(request.user, Action.MANAGE_GROUPS)
    context = {"rows": rows, "form": form, "may_add": may_add}
    return render(request, "instances/groups.html", context, status=_status(wrong or form))


def _row_form(request: SignedInRequest, group: Group, wrong: GroupForm | None) -> GroupForm:
    if wrong is not None and wrong.group == group:
        return wrong
    return GroupForm(user=request.user, group=group)
