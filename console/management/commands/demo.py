"""``manage.py demo``: the demo fleet, a dozen SSH servers on this machine to try the console with."""

import asyncio
import os
import signal
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from console.demo import process, services
from console.members.services import ensure_cli_user
from console.supervisor import end_with_parent


class Command(BaseCommand):
    """Start or remove the demo fleet."""

    help = "A dozen SSH servers on this machine, to try the console with."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("action", choices=["start", "remove"], help="start runs until Ctrl+C; the rows stay.")
        parser.add_argument("--parent-pipe", type=int, default=None, help="Internal: end when this pipe closes.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        if options["action"] == "remove":
            self.stdout.write(f"{services.remove(ensure_cli_user())} demo instances removed.")
            return
        is_child = options["parent_pipe"] is not None
        if not is_child:
            count = len(services.register(ensure_cli_user()))
            self.stdout.write(f"{count} demo instances are registered in the group {services.GROUP}.")
        lock = process.lock()
        while lock is None and is_child:
            # Somebody runs the fleet from a shell; ending here would look like a crash to the supervisor.
            time.sleep(1)
            lock = process.lock()
        if lock is None:
            self.stdout.write("Their servers run already.")
            return
        with lock:
            asyncio.run(self._serve(options["parent_pipe"]))

    async def _serve(self, parent_pipe: int | None) -> None:
        is_child = parent_pipe is not None
        fleet = process.FleetProcess(ready=lambda: self._say_ready(is_child), is_supervised=is_child)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, fleet.end)
        if parent_pipe is not None:
            end_with_parent(parent_pipe, lambda: os.kill(os.getpid(), signal.SIGTERM))
        await fleet.run()

    def _say_ready(self, is_child: bool) -> None:
        if not is_child:
            self.stdout.write("They answer until you press Ctrl+C.")
            self.stdout.flush()
