"""Owns looking back: the filters of the history, and sending a former run again."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from console.members.models import User
from console.runs import parameters, services
from console.runs.models import Invocation, Run
from console.runs.status import RunStatus
from console.runs.variables import write_arguments, write_variables
from instances.access import rules

STATES = (
    ("", "Any state"),
    ("in_progress", "In progress"),
    (RunStatus.WAITING, "Waiting for an answer"),
    (RunStatus.PAUSED, "Paused"),
    (RunStatus.SUCCEEDED, "Succeeded"),
    (RunStatus.FAILED, "Failed"),
    (RunStatus.PARTIAL, "Partly succeeded"),
    (RunStatus.STOPPED, "Stopped"),
)
IN_PROGRESS = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.STOPPING, RunStatus.WAITING, RunStatus.PAUSED)


class HistoryForm(forms.Form):
    """The filters above the history; all of them optional."""

    text = forms.CharField(required=False, max_length=200, label="Command contains")
    state = forms.ChoiceField(required=False, choices=STATES)
    user = forms.CharField(required=False, max_length=150)
    instance = forms.CharField(required=False, max_length=80)
    since = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))


def filtered(user: User, form: HistoryForm) -> QuerySet[Run]:
    """Return the runs a user may see that fit the form's filters, newest first.

    A filter that cannot be read is left out (the form shows why). Names of instances are looked for only among those
    the user may see.
    """
    form.is_valid()
    data = form.cleaned_data
    conditions = Q()
    if text := data.get("text"):
        conditions &= Q(command__icontains=text)
    if state := data.get("state"):
        conditions &= Q(status__in=IN_PROGRESS) if state == "in_progress" else Q(status=state)
    if sender := data.get("user"):
        conditions &= Q(actor_name__iexact=sender)
    if since := data.get("since"):
        conditions &= Q(created_at__date__gte=since)
    if until := data.get("until"):
        conditions &= Q(created_at__date__lte=until)
    if instance := data.get("instance"):
        seen = Invocation.objects.filter(rules.scope(user, rules.Action.VIEW, field="instance__group"))
        conditions &= Q(pk__in=seen.filter(instance_name__icontains=instance).values("run_id"))
    return services.visible_runs(user).filter(conditions).order_by("-pk")


def narrow(user: User, runs: Iterable[Run]) -> None:
    """Make the counts of these runs those of the invocations a user may see; nothing is saved."""
    scope = rules.scope(user, rules.Action.VIEW, field="instance__group")
    if not scope:
        return
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    seen = Invocation.objects.filter(scope, run__in=[run.pk for run in runs]).order_by()
    for run_id, status, number in seen.values_list("run_id", "status").annotate(number=Count("pk")):
        counts[run_id][status] = number
    for run in runs:
        run.counts, run.target_count = counts[run.pk], sum(counts[run.pk].values())


def query_of(params: QueryDict) -> str:
    """Return the filters as a query string without the page, for the pager's links."""
    kept = params.copy()
    kept.pop("page", None)
    return kept.urlencode()


def as_initial(run: Run) -> dict[str, Any]:
    """Return the Send Command form's values that repeat a run on its instances; secret values are asked again."""
    environment, secret_names = parameters.variables_again(run)
    return {
        "command": parameters.text_again(run),
        "saved_version": run.saved_version_id,
        **parameters.initial_of(run),
        "command_type": run.command_type,
        "interpreter": run.interpreter,
        "working_directory": run.working_directory,
        "script_name": run.script_name,
        "run_as": run.run_as,
        "environment": write_variables(environment),
        "secret_environment": write_variables((name, "") for name in secret_names),
        "arguments": write_arguments(run.arguments),
        "timeout_s": run.timeout_s,
        **_rate(run),
        "stop_at_cap": "1" if run.stop_at_cap else "",
        "notify_to": run.notify_to,
        "notify_when": run.notify_when,
        "choose": "run",
        "former_run": str(run.pk),
    }


def _rate(run: Run) -> dict[str, Any]:
    """Return the limits and the rollout as they were entered: a percentage is of the instances of the new run."""
    limits = {"max_concurrency": run.max_concurrency, "max_errors": run.max_errors}
    return {**limits, **{name: "1" if value is True else value for name, value in run.rollout.items()}}
