"""Owns looking back at runs: their states, what one may see of their counts, and sending one again."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Exists, OuterRef

from console.members.models import User
from console.runs import parameters
from console.runs.models import Invocation, Run
from console.runs.status import RunStatus
from console.runs.variables import write_arguments, write_variables
from console.saved_commands.models import SavedCommandVersion
from console.saved_commands.services import seen
from instances.access import rules
from instances.inventory.models import Instance

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


def narrow(user: User, runs: Iterable[Run]) -> None:
    """Make the counts of these runs those of the invocations a user may see; nothing is saved."""
    scope = rules.scope(user, rules.Action.VIEW)
    if not scope:
        return
    # Run by run: the other way SQLite would look for each of the runs on each instance one may see.
    visible = Exists(Instance.objects.filter(scope, pk=OuterRef("instance_id")))
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    rows = Invocation.objects.filter(visible, run__in=[run.pk for run in runs]).order_by()
    for run_id, status, number in rows.values_list("run_id", "status").annotate(number=Count("pk")):
        counts[run_id][status] = number
    for run in runs:
        run.counts, run.target_count = counts[run.pk], sum(counts[run.pk].values())


def name_saved(user: User, runs: Iterable[Run]) -> None:
    """Tell of each of these runs the saved command it was made from; nothing is saved. One query, if there are any."""
    made = {run.saved_version_id for run in runs if run.saved_version_id}
    if not made:
        return
    versions = SavedCommandVersion.objects.filter(pk__in=made, saved__in=seen(user).order_by())
    names = dict(versions.values_list("pk", "saved__name"))
    for run in runs:
        run.saved_name = names.get(run.saved_version_id or 0, "")


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
        # What was sent to sessions is sent to the same ones again; which these are depends on who asks.
        **({} if run.is_in_sessions else {"choose": "run", "former_run": str(run.pk)}),
    }


def _rate(run: Run) -> dict[str, Any]:
    """Return the limits and the rollout as they were entered: a percentage is of the instances of the new run."""
    limits = {"max_concurrency": run.max_concurrency, "max_errors": run.max_errors}
    return {**limits, **{name: "1" if value is True else value for name, value in run.rollout.items()}}
