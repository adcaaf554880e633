"""Registers the instances app."""

from django.apps import AppConfig


class InstancesConfig(AppConfig):
    """The ``instances`` app; its models live in the feature packages and are gathered in models.py."""

    name = "instances"
    label = "instances"
