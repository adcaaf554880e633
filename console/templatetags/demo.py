"""Owns what templates ask about the demo fleet."""

from django import template

from console.demo import services

register = template.Library()


@register.simple_tag
def demo_count() -> int:
    """Return how many demo instances there are. Side effects: one query."""
    return services.instances().count()
