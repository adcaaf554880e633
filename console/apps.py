"""Registers the console app."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The ``console`` app; its models live in the feature packages and are gathered in models.py."""

    name = "console"
    label = "console"
