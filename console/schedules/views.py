"""Translates requests about schedules into service calls and pages."""

import json
import secrets
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.runs.forms import SendForm, as_entered
from console.runs.models import CommandType
from console.runs.views import send_context
from console.schedules import firing, presentation, sending, services
from console.schedules.forms import ScheduleForm, TimingForm, initial_of
from console.schedules.models import Outcome, Schedule, Source
from console.schedules.sending import SendingRefused
from console.schedules.timing import Kind, TimingError, explain, zone_names
from instances.access import rules
from instances.access.requests import SignedInRequest
from instances.access.rules import Action

# What the schedule's pages said, while somebody changes what they send; each tab has its own, under a key in its URL.
_DRAFTS = "schedule_drafts"
DRAFTS_KEPT = 10
_DRAFT_FIELDS = [name for name in ScheduleForm.base_fields if name not in {"values", "version", "source"}]

# ------------------------------------------------------------------ look


@require_GET
def schedules(request: SignedInRequest) -> HttpResponse:
    """Show the schedules a user may see."""
    rules.require_anywhere(request.user, Action.VIEW)
    rows, page = presentation.rows(request.user, services.visible(request.user), request.GET.get("page"))
    context = {"rows": rows, "page": page, "sees_all": services.manages_all(request.user)}
    return render(request, "schedules/list.html", context)


@require_GET
def schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Show a schedule, when it is due next, and its history."""
    found = _found(request, schedule_id)
    shown = presentation.schedule_view(request.user, found, request.GET.get("page"))
    return render(request, "schedules/details.html", {"view": shown, "key": secrets.token_urlsafe(12)})


@require_GET
def preview_schedule(request: SignedInRequest) -> HttpResponse:
    """Show the next five times of what a form says so far, or what is wrong with it."""
    rules.require_anywhere(request.user, Action.SEND_COMMAND)
    return render(request, "schedules/_preview.html", _preview(TimingForm(request.GET)))


# ------------------------------------------------------------------ make and change


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def add_schedule(request: SignedInRequest) -> HttpResponse:
    """Take a Send Command form to the schedule's page, and make the schedule there; GET leads to that form."""
    rules.require_anywhere(request.user, Action.SEND_COMMAND)
    if request.method == "GET":
        return redirect(f"{reverse('send')}?{request.GET.urlencode()}")
    return _answer(request, None)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def edit_schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Change a schedule of one's own."""
    found = _found(request, schedule_id)
    services.require_owner(request.user, found)
    if request.method == "GET":
        return _form_page(request, ScheduleForm(user=request.user, initial=initial_of(found)), found)
    return _answer(request, found)


def _answer(request: SignedInRequest, found: Schedule | None) -> HttpResponse:
    if "values" not in request.POST:
        return _from_send_form(request, found)
    form, do = ScheduleForm(request.POST, user=request.user), request.POST.get("do")
    if do == "back":
        return _back_to_send_form(request, form, found)
    if do == "look":
        return _form_page(request, form, found, status=200 if form.is_valid() else 422)
    saved = form.save(found)
    return redirect("schedule", saved.pk) if saved else _form_page(request, form, found, status=422)


def _from_send_form(request: SignedInRequest, found: Schedule | None) -> HttpResponse:
    """Show the schedule's form with what was sent, once that could be sent; else the Send Command form with why not."""
    form = SendForm(request.POST, request.FILES, user=request.user)
    try:
        if not form.is_valid():
            return _send_page(request, form, form.data, found, status=422)
        values = sending.values_of(form, request.POST)
        sending.try_out(request.user, values)
    except SendingRefused as error:
        for field, texts in error.errors.items():
            form.add_error(field if field in form.fields else None, texts)
        return _send_page(request, form, form.data, found, status=422)
    version = form.cleaned_data.get("saved_version")
    given = {"values": json.dumps(values), "version": version and version.pk, "source": Source.TEXT.value}
    if version and version.first_text.strip() == (form.cleaned_data["command"] or "").strip():
        given["source"] = Source.LATEST.value
    name = version.saved.name if version else _first_line(form.cleaned_data["command"])
    before = initial_of(found) if found else {"name": name}
    draft = request.session.get(_DRAFTS, {}).get(request.GET.get("draft"), {})
    return _form_page(request, ScheduleForm(user=request.user, initial=before | draft | given), found)


def _first_line(command: str) -> str:
    line = command.strip().partition("\n")[0]
    return "".join(letter for letter in line if letter.isprintable())[:60]


def _back_to_send_form(request: SignedInRequest, form: ScheduleForm, found: Schedule | None) -> HttpResponse:
    values = _values_in(form)
    key, draft = secrets.token_urlsafe(12), {name: request.POST[name] for name in _DRAFT_FIELDS if name in request.POST}
    others = list(request.session.get(_DRAFTS, {}).items())[1 - DRAFTS_KEPT :]
    request.session[_DRAFTS] = {**dict(others), key: draft}
    initial = as_entered(values)
    return _send_page(request, SendForm(user=request.user, initial=initial), initial, found, draft=key)


def _send_page(
    request: SignedInRequest,
    form: SendForm,
    selection: Any,
    found: Schedule | None,
    *,
    status: int = 200,
    draft: str = "",
) -> HttpResponse:
    url = reverse("edit-schedule", args=[found.pk]) if found else reverse("add-schedule")
    if draft := draft or request.GET.get("draft", ""):
        url += f"?{urlencode({'draft': draft})}"
    context = {**send_context(form, selection), "schedule_url": url, "schedule": found}
    return render(request, "schedules/command.html", context, status=status)


def _form_page(request: SignedInRequest, form: ScheduleForm, found: Schedule | None, status: int = 200) -> HttpResponse:
    values = _values_in(form)
    context = {
        "form": form,
        "schedule": found,
        "action": reverse("edit-schedule", args=[found.pk]) if found else reverse("add-schedule"),
        "base": services.edit_token(form.overtaken_by) if form.overtaken_by else form["base"].value() or "",
        "zones": zone_names(),
        "command": (values.get("command") or [""])[-1],
        "command_type": CommandType((values.get("command_type") or ["shell"])[-1]).label,
        "windows_command": (values.get("windows_command") or [""])[-1] if (values.get("split") or [""])[-1] else "",
        "options": presentation.options_of(request.user, values),
        "targets": presentation.choice_of(request.user, values),
        "is_by_ids": presentation.is_by_ids(values),
        "version": form.fields["version"].queryset.filter(pk=form["version"].value() or None).first(),  # type: ignore[attr-defined]
        **_preview(form if form.is_bound else TimingForm(form.initial), is_new=not form.is_bound),
    }
    return render(request, "schedules/form.html", context, status=status)


def _values_in(form: ScheduleForm) -> sending.Values:
    if form.is_bound:
        form.is_valid()
        return form.cleaned_data.get("values") or {}
    read: sending.Values = json.loads(form.initial["values"])
    return read


def _preview(form: TimingForm, *, is_new: bool = False) -> dict[str, Any]:
    """Return the next times, the expression in words, and what is wrong; of a page that is new nothing is wrong."""
    upcoming = form.upcoming()
    explanation = ""
    if upcoming and form.cleaned_data["kind"] == Kind.CRON:
        try:
            explanation = explain(form.cleaned_data["expression"])
        except TimingError as error:
            explanation = str(error)
    errors = (
        []
        if is_new
        else [text for name, texts in form.errors.items() if name in TimingForm.base_fields for text in texts]
    )
    return {
        "upcoming": upcoming,
        "explanation": explanation,
        "wrong": errors,
        "is_ambiguous": form.is_ambiguous,
        "zone": form.cleaned_data.get("zone", "") if upcoming else "",
    }


# ------------------------------------------------------------------ pause, resume, run now, delete


@require_POST
def pause_schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Pause a schedule, with why."""
    services.pause(request.user, schedule=_found(request, schedule_id), why=request.POST.get("why", ""))
    return redirect("schedule", schedule_id)


@require_POST
def resume_schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Resume a schedule."""
    try:
        services.resume(request.user, schedule=_found(request, schedule_id))
    except services.ScheduleError as error:
        messages.error(request, str(error))
    return redirect("schedule", schedule_id)


@require_POST
def run_schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Start a schedule of one's own at once, and show the run."""
    key = request.POST.get("key") or secrets.token_urlsafe(12)
    done = firing.run_now(request.user, schedule=_found(request, schedule_id), key=key)
    if done.outcome != Outcome.FIRED or done.run is None:
        return redirect("schedule", schedule_id)
    return redirect("run", done.run.pk)


@require_POST
def delete_schedule(request: SignedInRequest, schedule_id: int) -> HttpResponse:
    """Delete a schedule and its history; its runs stay."""
    services.delete(request.user, schedule=_found(request, schedule_id))
    return redirect("schedules")


def _found(request: SignedInRequest, schedule_id: int) -> Schedule:
    return get_object_or_404(services.visible(request.user), pk=schedule_id)
