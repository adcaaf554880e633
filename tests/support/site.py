"""Browsers of tests that need no process of a console."""

from typing import Any

from django.test import Client

_handlers: dict[bool, Any] = {}


def browser(enforce_csrf_checks: bool = False) -> Client:
    """Return a new browser. The site behind it is the same for all: starting it reads the whole static folder."""
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.handler = _handlers.setdefault(enforce_csrf_checks, client.handler)
    return client
