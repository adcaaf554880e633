"""Owns how due times and firings look in templates, and by which schedule a run was made."""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.schedules import services
from console.schedules.models import Firing, Outcome, Schedule
from console.templatetags.muster import icon, took

if TYPE_CHECKING:
    from console.members.models import User
    from console.runs.models import Run

register = template.Library()


class Look(NamedTuple):
    """The status whose colour an outcome has, its icon and its word."""

    status: str
    icon: str
    label: str


LOOKS = {
    Outcome.FIRED: Look("active", "play", "Started"),
    Outcome.WAITING: Look("queued", "clock", "Waiting"),
    Outcome.SKIPPED_OVERLAP: Look("skipped", "circle-slash", "Left out"),
    Outcome.MISSED: Look("timed_out", "triangle-alert", "Missed"),
    Outcome.REFUSED: Look("failed", "ban", "Refused"),
}


@register.simple_tag
def outcome_badge(firing: Firing) -> SafeString:
    """Return the icon and word of what became of a due time; how many times, if that is more than one."""
    look = LOOKS[Outcome(firing.outcome)]
    times = f" {firing.count:,} times" if firing.count > 1 else ""
    return format_html('<span class="st st-{}">{}{}{}</span>', look.status, icon(look.icon), look.label, times)


@register.simple_tag
def local_time(moment: datetime | None, zone: ZoneInfo) -> SafeString:
    """Return a moment as the clocks of a zone show it, with the day of the week."""
    if moment is None:
        return SafeString("")
    local = moment.astimezone(zone)
    pattern = "%a %Y-%m-%d %H:%M:%S" if local.second else "%a %Y-%m-%d %H:%M"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        local.strftime(pattern),
    )


@register.filter
def from_now(moment: datetime) -> str:
    """Say how far off a moment is: "in 3 h 20 min", "now"."""
    seconds = int((moment - timezone.now()).total_seconds())
    return f"in {took(seconds)}" if seconds > 0 else "now"


class By(NamedTuple):
    """The schedule by which a run was made; None where one may not see it."""

    schedule: Schedule | None


@register.simple_tag
def scheduled_by(run: "Run", user: "User") -> By | None:
    """Return the schedule that made a run, None for one that somebody sent. Side effects: no query for those."""
    if not run.request_key.startswith("schedule-"):
        return None
    # The run for a second OS family has the first one's key and more; a key alone is what anybody may send.
    key = run.request_key.partition("+")[0]
    firing = Firing.objects.filter(run__actor_id=run.actor_id, run__request_key=key).first()
    return By(services.visible(user).filter(pk=firing.schedule_id).first()) if firing else None
