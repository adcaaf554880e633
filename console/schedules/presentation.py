"""Owns how schedules are said: when, to which instances, with what, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.paginator import Page, Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms.utils import pretty_name
from django.utils import timezone

from console.members.models import User
from console.runs.choice import parse_ids
from console.runs.choice_fields import ADDRESS, FIELD_OF, SELECTION, choice_in, way_of
from console.runs.forms import SendForm
from console.runs.parameters import FIELD as PARAMETER
from console.runs.services import RunError
from console.schedules.models import Firing, Outcome, Schedule, Source
from console.schedules.sending import SendingRefused, Values, contents
from console.schedules.timing import Kind, TimingError, explain
from instances.access import rules
from instances.inventory.models import Instance

PAGE_ROWS = 50
UPCOMING = 5
_SOON = timedelta(seconds=90)
# Said by other words than the name of their field.
_SAID = {
    "command",
    "command_type",
    "split",
    "windows_command",
    "windows_type",
    "saved_version",
    "choose",
    *FIELD_OF.values(),
    "which",
    "ordinals",
    "left_out",
    "by_query",
    "query",
    "group",
    "except_ids",
    "everything",
    "address",
    "secret_environment",
}
# As the Send Command form has them in its templates.
_LABELS = {
    "environment": "Variables",
    "max_concurrency": "At a time",
    "max_errors": "Stop after errors",
    "stop_at_cap": "Stop at the output limit",
    "script_name": "Script file",
    "leave_out_posix": "Leave out Linux and macOS",
    "leave_out_windows": "Leave out Windows",
    "windows_directory": "Working directory on Windows",
    "windows_interpreter": "PowerShell to use",
}
_TROUBLE = {Outcome.REFUSED, Outcome.MISSED}


@dataclass(frozen=True, slots=True)
class Row:
    """A schedule in the list, with what became of its last due time."""

    schedule: Schedule
    when: str
    targets: str
    command: str
    last: Firing | None


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """Everything the page of a schedule shows. ``trouble``: its last firing, when that started nothing."""

    schedule: Schedule
    when: str
    targets: str
    source: str
    command: str
    windows_command: str
    options: Sequence[tuple[str, str]]
    upcoming: Sequence[datetime]
    firings: "Page[Firing]"
    trouble: Firing | None
    is_mine: bool

    @property
    def is_lively(self) -> bool:
        """Whether something is about to come: a due time, or the end of a run."""
        next_at = self.schedule.next_at
        if next_at is not None and next_at - timezone.now() < _SOON:
            return True
        return any(
            row.outcome == Outcome.WAITING or (row.run is not None and row.run.finished_at is None)
            for row in self.firings
        )


def rows(user: User, found: QuerySet[Schedule], number: str | None) -> "tuple[list[Row], Page[Any]]":
    """Return the rows of a page of the list, and that page. Side effects: four queries and one per saved command."""
    newest = Firing.objects.filter(schedule=OuterRef("pk")).order_by("-due_at", "-pk").values("pk")[:1]
    page = Paginator(found.annotate(last_firing=Subquery(newest)), PAGE_ROWS).get_page(number)
    last = Firing.objects.select_related("run").in_bulk([one.last_firing for one in page if one.last_firing])
    return [
        Row(one, when_of(one), targets_of(user, one), _command_of(one), last.get(one.last_firing)) for one in page
    ], page


def schedule_view(user: User, schedule: Schedule, page: str | None) -> ScheduleView:
    """Return what a user sees of a schedule."""
    values = _contents(schedule)
    firings = Paginator(schedule.firings.select_related("run"), PAGE_ROWS).get_page(page)
    newest = schedule.firings.first()
    return ScheduleView(
        schedule=schedule,
        when=when_of(schedule),
        targets=targets_of(user, schedule),
        source=_source_of(schedule),
        command=_text(values, "command"),
        windows_command=_text(values, "windows_command") if _text(values, "split") else "",
        options=options_of(user, schedule.values),
        upcoming=_upcoming(schedule),
        firings=firings,
        trouble=newest if newest and newest.outcome in _TROUBLE else None,
        is_mine=schedule.owner_id == user.pk,
    )


def when_of(schedule: Schedule) -> str:
    """Say when it is due: "Every 5 minutes", "At 06:30 on Monday through Friday"."""
    if schedule.kind == Kind.CRON:
        try:
            return explain(schedule.expression)
        except TimingError as error:
            return str(error)
    if schedule.kind == Kind.ONCE:
        return "Once"
    return (
        f"Every {schedule.unit.removesuffix('s')}" if schedule.every == 1 else f"Every {schedule.every} {schedule.unit}"
    )


def targets_of(user: User, schedule: Schedule) -> str:
    """Say to which instances it goes, and when those are looked up."""
    said, is_looked_up = _chosen(user, schedule.values)
    return f"{said}; looked up each time" if is_looked_up else said


def choice_of(user: User, values: Values) -> str:
    """Say which instances a form's values choose."""
    return _chosen(user, values)[0]


def is_by_ids(values: Values) -> bool:
    """Whether a form's values name the instances one by one, so that there is nothing to look up later."""
    return way_of(_last(values)) == SELECTION and not _text(values, "by_query")


def _chosen(user: User, values: Values) -> tuple[str, bool]:
    data = _last(values)
    if way_of(data) == ADDRESS and (address := _text(values, "address").strip()):
        return f"at {address}", False
    if is_by_ids(values):
        ids = parse_ids(_text(values, "ids"))
        return f"{len(ids):,} instance{'' if len(ids) == 1 else 's'}{_names(user, ids)}", False
    try:
        said = choice_in(data).sentence()
    except RunError:
        said = "as chosen in its form"
    return said, True


def _last(values: Values) -> dict[str, str]:
    return {name: texts[-1] for name, texts in values.items() if texts}


def _names(user: User, ids: list[int]) -> str:
    if len(ids) > 3:
        return ", as chosen then"
    found = Instance.objects.filter(rules.scope(user, rules.Action.VIEW), pk__in=ids).order_by("name")
    names = ", ".join(found.values_list("name", flat=True))
    return f": {names}" if names else ""


def options_of(user: User, values: Values) -> list[tuple[str, str]]:
    """Return the other values of the Send Command form that are not empty, each with its label."""
    fields = SendForm(user=user).fields
    found = []
    for name, texts in values.items():
        given = [one.strip() for one in texts if one.strip()]
        if given and name not in _SAID and (name != "notify_when" or _text(values, "notify_to")):
            label = _LABELS.get(name) or (fields[name].label if name in fields else name.removeprefix(PARAMETER))
            found.append((str(label or pretty_name(name)), "\n".join(_in_words(fields.get(name), given))))
    return found


def _in_words(field: forms.Field | None, given: Sequence[str]) -> list[str]:
    """Return what a field offers as its page says it; rows by their names."""
    if isinstance(field, forms.ModelChoiceField) and field.queryset is not None:
        ids = parse_ids(",".join(given))
        return sorted(map(field.label_from_instance, field.queryset.filter(pk__in=ids))) or ["none that is still there"]
    words = {str(value): str(label) for value, label in getattr(field, "choices", ())}
    return [words.get(one, one) for one in given]


def _source_of(schedule: Schedule) -> str:
    if schedule.source == Source.LATEST:
        return f"{schedule.saved_name}, the latest version when it is due"
    if schedule.source == Source.VERSION:
        return f"{schedule.saved_name}, version {schedule.version.number if schedule.version else 'deleted'}"
    return ""


def _command_of(schedule: Schedule) -> str:
    if schedule.source != Source.TEXT:
        return schedule.saved_name
    return (_text(schedule.values, "command") or _text(schedule.values, "windows_command")).strip()[:200]


def _contents(schedule: Schedule) -> Values:
    try:
        return contents(schedule)
    except SendingRefused:
        # Gone: its next firing says so.
        return {}


def _upcoming(schedule: Schedule) -> list[datetime]:
    if schedule.next_at is None:
        return []
    try:
        later = schedule.rule.upcoming(max(schedule.next_at, timezone.now()), UPCOMING - 1)
    except TimingError:
        return [schedule.next_at]
    return [schedule.next_at, *(moment for moment in later if moment > schedule.next_at)]


def _text(values: Values, name: str) -> str:
    return (values.get(name) or [""])[-1]
