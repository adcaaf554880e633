"""Owns what templates of other features ask about reports."""

from django import template
from django.conf import settings
from django.db.models import Min

from console.reports import figures
from console.runs import keeping
from console.runs.models import Run
from console.saved_commands.models import SavedCommand

register = template.Library()


@register.inclusion_tag("reports/_saved_outcomes.html", takes_context=True)
def saved_outcomes(context: template.Context, saved: SavedCommand) -> dict[str, object]:
    """Return the chart of how the latest runs of a saved command ended, for a page about it."""
    return {"saved": saved, "per": figures.PER_RUN, "outcomes": figures.outcomes(context["request"].user, saved)}


@register.inclusion_tag("reports/_kept.html")
def kept(run: Run) -> dict[str, object]:
    """Return the line that says how long a run is kept, and when its output was removed. At most three queries."""
    removed = run.invocations.aggregate(at=Min("output_removed_at"))["at"]
    return {"keeping": keeping.keeping_of(run, settings.ENV.retention_days), "output_removed_at": removed}
