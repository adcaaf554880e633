"""``manage.py worker``: one worker process."""

import asyncio
import os
import resource
import signal
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandParser

from console.collector import spare_the_collector
from console.supervisor import end_with_parent
from console.worker.worker import Worker


class Command(BaseCommand):
    """Claim and run invocations until told to end; then drain."""

    help = "Run commands on instances (one worker process; `serve` starts as many as asked for)."
    # serve has made them; in each process they cost half a second.
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent-pipe", type=int, default=None, help="Internal: drain when this pipe closes.")

    def handle(self, *args: Any, **options: Any) -> None:
        raise_file_limit()
        spare_the_collector()
        uvloop.run(_work(options["parent_pipe"]))


async def _work(parent_pipe: int | None) -> None:
    worker = Worker()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.drain)
    if parent_pipe is not None:
        end_with_parent(parent_pipe, lambda: os.kill(os.getpid(), signal.SIGTERM))
    await worker.run()


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: a connection takes a descriptor, and 1,024 are soon gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
