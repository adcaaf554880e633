"""``manage.py web``: the web process. ``serve`` starts it; run it alone behind a supervisor of your own."""

import functools
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.urls import get_resolver

from console.collector import spare_the_collector
from console.members.services import session_user
from console.server import Bodies, serve_web
from console.supervisor import end_with_parent

# More than any form without the file of a transfer: what is typed is bounded by DATA_UPLOAD_MAX_MEMORY_SIZE.
USUAL_BODY_BYTES = 8 * 1024 * 1024


class Command(BaseCommand):
    """Serve pages and sockets until told to end."""

    help = "Serve the pages and sockets (the web process alone; `serve` starts everything)."
    # serve has made them; in each process they cost half a second.
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--parent-pipe", type=int, default=None, help="Internal: end when this pipe closes.")
        parser.add_argument("--ready-pipe", type=int, default=None, help="Internal: written to once the port answers.")

    def handle(self, *args: Any, **options: Any) -> None:
        from console.asgi import application  # the application must not be made by other commands

        # The views too, which are loaded with the first page otherwise.
        assert get_resolver().url_patterns
        spare_the_collector()
        if options["parent_pipe"] is not None:
            end_with_parent(options["parent_pipe"], lambda: os.kill(os.getpid(), signal.SIGTERM))
        bodies = Bodies(USUAL_BODY_BYTES, settings.ENV.file_limit + USUAL_BODY_BYTES, _may_bring_more)
        ready = functools.partial(_say_ready, options)
        serve_web(application, host=options["host"], port=options["port"], bodies=bodies, ready=ready)
        sys.exit(0)


def _may_bring_more(cookies: Mapping[str, str]) -> bool:
    return session_user(cookies.get(settings.SESSION_COOKIE_NAME)) is not None


def _say_ready(options: dict[str, Any]) -> None:
    if options["ready_pipe"] is not None:
        os.write(options["ready_pipe"], b"1")
        os.close(options["ready_pipe"])
