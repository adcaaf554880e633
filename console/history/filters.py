"""Owns finding runs: the question that a filter asks of the database, quick among a million invocations.

What is asked of invocations is asked in one of two ways. Few of them: they are looked up, and lead to their runs. Many:
runs are gone through, newest first, and each is looked into until enough are found.
"""

from datetime import datetime, time, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from console.history.forms import HistoryForm
from console.history.pages import number
from console.literals import is_not
from console.members.models import User
from console.runs.history import IN_PROGRESS
from console.runs.models import Invocation, Run
from console.saved_commands.models import SavedCommandVersion
from console.sessions.services import visible_sessions
from instances.access import rules
from instances.inventory.models import Instance, Tag

# Instances are few when they are at most this part of all: that many invocations are read in 100 ms of a million.
FEW = 5
_WITHIN = {"h": "hours", "d": "days"}


def filtered(user: User, form: HistoryForm) -> QuerySet[Run]:
    """Return the runs a user may see that fit the form's filters, newest first.

    A filter that cannot be read is left out (the form shows why). Instances are looked for only among those the user
    may see. Side effects: at most four queries.
    """
    form.is_valid()
    data = form.cleaned_data
    runs = Run.objects.filter(_about_the_run(data)).order_by("-pk")
    outcome = _about_the_outcome(data) & _about_the_session(user, data)
    scope = rules.scope(user, rules.Action.VIEW)
    wanted = _about_the_instance(data)
    if not scope and not wanted and not outcome:
        return runs
    invocations = Invocation.objects.filter(outcome).order_by()
    instances = Instance.objects.filter(scope, wanted).order_by() if scope or wanted else None
    gone = None
    if not scope and (name := data.get("instance")) and not data.get("tag") and not data.get("group"):
        # The history outlives instances; whose they were is not known any more.
        gone = Q(instance=None, instance_name__icontains=name)
    if _are_few(data, instances):
        return runs.filter(pk__in=_looked_up(invocations, instances, gone))
    found = _looked_into(invocations, instances, gone).filter(run=OuterRef("pk"))
    # Not EXISTS: PostgreSQL makes a join of that, of all of a million invocations, before it takes the newest few.
    return runs.alias(fitting=Subquery(found.values("pk")[:1])).filter(fitting__isnull=False)


def _looked_up(
    invocations: QuerySet[Invocation], instances: QuerySet[Instance] | None, gone: Q | None
) -> QuerySet[Invocation, Any]:
    if instances is None:
        return invocations.values("run_id")
    found = invocations.filter(instance__in=instances.values("pk")).values("run_id")
    # Not OR: PostgreSQL then reads every invocation, where it has an index for each half.
    return found if gone is None else found.union(invocations.filter(gone).values("run_id"))


def _looked_into(
    invocations: QuerySet[Invocation], instances: QuerySet[Instance] | None, gone: Q | None
) -> QuerySet[Invocation]:
    if instances is None:
        return invocations
    # One inside the other: as a list SQLite would go through all of them for each run.
    there: Q | Exists = Exists(instances.filter(pk=OuterRef("instance_id")))
    return invocations.filter(there if gone is None else there | gone)


def _are_few(data: dict[str, Any], instances: QuerySet[Instance] | None) -> bool:
    if data.get("reason") or data.get("exit_status") or data.get("session"):
        return True
    return instances is not None and instances.count() * FEW <= Instance.objects.count()


def _about_the_run(data: dict[str, Any]) -> Q:
    conditions = Q()
    if text := data.get("text"):
        conditions &= Q(command__icontains=text)
    if state := data.get("state"):
        conditions &= Q(status__in=IN_PROGRESS) if state == "in_progress" else Q(status=state)
    if sender := data.get("user"):
        # By the names as they are stored: those have an index, words in any case have none.
        names = User.objects.filter(username__iexact=sender).values_list("username", flat=True)
        conditions &= Q(actor_name__in={sender, *names})
    if saved := data.get("saved"):
        versions = SavedCommandVersion.objects.filter(saved__name__iexact=saved).order_by()
        conditions &= Q(saved_version__in=versions.values("pk"))
    if dry_runs := data.get("dry_runs"):
        conditions &= Q(is_dry_run=dry_runs == "only")
    return conditions & _about_the_time(data)


def _about_the_time(data: dict[str, Any]) -> Q:
    conditions = Q()
    if within := data.get("within"):
        conditions &= Q(created_at__gte=timezone.now() - timedelta(**{_WITHIN[within[-1]]: int(within[:-1])}))
    if since := data.get("since"):
        conditions &= Q(created_at__gte=_midnight(since))
    if until := data.get("until"):
        # Not the day after: there may be none.
        conditions &= Q(created_at__lte=timezone.make_aware(datetime.combine(until, time.max)))
    return conditions


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _about_the_outcome(data: dict[str, Any]) -> Q:
    conditions = Q()
    if reason := data.get("reason"):
        conditions &= Q(reason=reason) & is_not("reason", "")
    if (exit_status := data.get("exit_status")) is not None:
        conditions &= Q(exit_status=exit_status)
        if exit_status:
            conditions &= is_not("exit_status", 0)
    return conditions


def _about_the_session(user: User, data: dict[str, Any]) -> Q:
    name = data.get("session")
    if not name:
        return Q()
    called = Q(name__iexact=name)
    if (number_given := number(name)) is not None:
        called |= Q(pk=number_given)
    return Q(session__in=visible_sessions(user).filter(called).order_by().values("pk"))


def _about_the_instance(data: dict[str, Any]) -> Q:
    conditions = Q()
    if name := data.get("instance"):
        conditions &= Q(name__icontains=name)
    if group := data.get("group"):
        conditions &= Q(group__name__iexact=group)
    if tag := data.get("tag"):
        key, _, value = tag.partition("=")
        tags = Tag.objects.filter(key=key.strip()).order_by()
        tags = tags.filter(value=value.strip()) if "=" in tag else tags
        conditions &= Q(pk__in=tags.values("instance_id"))
    return conditions
