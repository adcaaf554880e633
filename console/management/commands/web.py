"""``manage.py web``: the web process. ``serve`` starts it; run it alone behind a supervisor of your own."""

import os
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.urls import get_resolver

from console.collector import spare_the_collector
from console.server import serve_web
from console.supervisor import end_with_parent


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
        serve_web(application, host=options["host"], port=options["port"], ready=lambda: _say_ready(options))
        sys.exit(0)


def _say_ready(options: dict[str, Any]) -> None:
    if options["ready_pipe"] is not None:
        os.write(options["ready_pipe"], b"1")
        os.close(options["ready_pipe"])
