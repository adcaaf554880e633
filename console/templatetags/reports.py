"""Owns what templates of other features ask about reports."""

from collections.abc import Sequence

from django import template
from django.conf import settings

from console.reports import figures
from console.runs import keeping
from console.runs.models import Invocation, Run
from console.saved_commands.models import SavedCommand

register = template.Library()


@register.inclusion_tag("reports/_saved_outcomes.html", takes_context=True)
def saved_outcomes(context: template.Context, saved: SavedCommand) -> dict[str, object]:
    """Return the chart of how the latest runs of a saved command ended, for a page about it."""
    return {"saved": saved, "per": figures.PER_RUN, "outcomes": figures.outcomes(context["request"].user, saved)}


@register.inclusion_tag("reports/_kept.html")
def kept(run: Run, rows: Sequence[Invocation]) -> dict[str, object]:
    """Return the line that says how long a run is kept, and when the output of the rows shown was removed."""
    removed = min((row.output_removed_at for row in rows if row.output_removed_at), default=None)
    return {"keeping": keeping.keeping_of(run, settings.ENV.retention_days), "output_removed_at": removed}
