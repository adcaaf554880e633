"""Owns how statuses, icons, times and durations look in templates."""

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from instances.inventory.advice import ADVICE

if TYPE_CHECKING:
    from console.runs.models import Invocation
    from console.runs.presentation import RunView

register = template.Library()


class Look(NamedTuple):
    """How a status is shown: its word and an icon, so that colour is never the only sign."""

    label: str
    icon: str


LOOKS = {
    # Invocations.
    "queued": Look("Queued", "circle"),
    "connecting": Look("Connecting", "loader-circle"),
    "running": Look("Running", "loader-circle"),
    "disconnected": Look("Connection lost", "unplug"),
    "stopping": Look("Stopping", "loader-circle"),
    "succeeded": Look("Succeeded", "check"),
    "failed": Look("Failed", "x"),
    "timed_out": Look("Timed out", "clock"),
    "stopped": Look("Stopped", "square"),
    "cancelled": Look("Cancelled (never ran)", "ban"),
    "unreachable": Look("Unreachable", "triangle-alert"),
    "skipped": Look("Skipped", "circle-slash"),
    "lost": Look("Outcome unknown", "circle-help"),
    # Runs, besides the ones they share with invocations.
    "partial": Look("Partly succeeded", "triangle-alert"),
    "waiting": Look("Waiting for an answer", "circle-help"),
    "paused": Look("Paused", "clock"),
    # Sessions and terminals.
    "opening": Look("Opening", "loader-circle"),
    "ready": Look("Ready", "circle-check"),
    "busy": Look("At work", "loader-circle"),
    "detached": Look("Detached", "unplug"),
    "broken": Look("Broken", "triangle-alert"),
    "closed": Look("Closed", "circle-x"),
    # Instances.
    "reachable": Look("Reachable", "circle-check"),
    "unknown": Look("Not checked", "circle-dashed"),
    "disabled": Look("Disabled", "circle-slash"),
}
# The same sequences as js/ansi.js.
ESCAPES = re.compile(
    r"\x1b\[[0-9;:<=>?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-~]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
LINE_DRAWN_OVER = re.compile(r"^[^\n]*\r(?=[^\r\n])|\r+$", re.MULTILINE)
MINUTE, HOUR, DAY = 60, 3600, 86400


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return one icon of the sprite; decoration, hidden from screen readers."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("vendor/icons.svg"), name
    )


@register.simple_tag
def status_badge(status: str) -> SafeString:
    """Return the icon and word of a status in its colour."""
    look = LOOKS.get(status, Look(status, "circle"))
    return format_html('<span class="st st-{}">{}{}</span>', status, icon(look.icon), look.label)


@register.filter
def status_label(status: str) -> str:
    """Return the word for a status."""
    return LOOKS[status].label if status in LOOKS else status


@register.simple_tag
def ago(moment: datetime | None) -> SafeString:
    """Return a time element saying how long ago something was, with the exact time as its title."""
    if moment is None:
        return SafeString("")
    exact = moment.astimezone(timezone.get_current_timezone())
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        exact.isoformat(timespec="seconds"),
        exact.strftime("%Y-%m-%d %H:%M:%S %Z"),
        _distance((timezone.now() - moment).total_seconds(), exact),
    )


@register.simple_tag
def row_query(run_view: "RunView", row: "Invocation") -> str:
    """Return the query of a row's address: the row, and the filter and page it is seen under unless they are usual."""
    query: dict[str, int | str] = {"i": row.ordinal}
    if run_view.status_filter != "all":
        query["status"] = run_view.status_filter
    if run_view.page > 1:
        query["page"] = run_view.page
    return f"?{urlencode(query)}"


@register.filter
def minus(value: int, other: int) -> int:
    """Return the difference; Django has a filter for sums only."""
    return value - other


@register.filter
def advice(reason: str) -> str:
    """Return what a person can do about a reason code; empty where nothing is known."""
    return ADVICE.get(reason, "")


@register.filter
def counted(counts: dict[str, int]) -> str:
    """Return numbers per status in words: "3 succeeded · 1 failed"."""
    return " · ".join(f"{counts[name]:,} {look.label.lower()}" for name, look in LOOKS.items() if counts.get(name))


@register.filter
def readable(output: str) -> str:
    """Return terminal output as plain text: no colours, and of a line drawn over (progress bars) its last state."""
    return LINE_DRAWN_OVER.sub("", ESCAPES.sub("", output))


@register.filter
def seconds_since(moment: datetime | None, start: datetime) -> float:
    """Return the seconds from ``start`` to a moment, or to now when it has not come yet."""
    return ((moment or timezone.now()) - start).total_seconds()


@register.filter
def took(seconds: float | str | None) -> str:
    """Return a duration in the two units that matter: 0.34 s, 12.5 s, 3 min 04 s, 2 h 10 min; nothing for None.

    A whole number stays one: 7 s.
    """
    # What a template does not find comes as an empty string.
    if seconds is None or isinstance(seconds, str):
        return ""
    if isinstance(seconds, int) and seconds < MINUTE:
        return f"{seconds} s"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE):02} s"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE):02} min"
    return f"{int(seconds // DAY)} d {int(seconds % DAY // HOUR)} h"


@register.filter
def clock(seconds: float) -> str:
    """Return a time in a recording as clocks show it: 0:07, 1:02:03; as js/durations.js does."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@register.simple_tag
def running_for(seconds: float | None) -> SafeString:
    """Return the time since a start in whole seconds, which the page counts on (js/ticks.js); nothing for None."""
    if seconds is None:
        return SafeString("")
    return format_html('<span data-running-s="{}">{}</span>', f"{seconds:.1f}", took(int(seconds)))


@register.simple_tag
def counting_down(seconds: float | None) -> SafeString:
    """Return the seconds that are left in whole ones, which the page counts down (js/ticks.js); nothing for None."""
    if seconds is None:
        return SafeString("")
    return format_html('<span class="num" data-left-s="{}">{}</span>', f"{seconds:.1f}", took(math.ceil(seconds)))


def _distance(seconds: float, exact: datetime) -> str:
    if seconds < 45:
        return "just now"
    if seconds < HOUR:
        return f"{max(1, round(seconds / MINUTE))} min ago"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h ago"
    if seconds < 7 * DAY:
        return f"{int(seconds // DAY)} d ago"
    return exact.strftime("%Y-%m-%d")
