"""``manage.py prune``: retention now, with the limits of the settings or others."""

import time
from collections.abc import Iterator
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from console.env import RETENTION_DAYS_LIMIT
from console.management.commands.run import os_user
from console.members.services import ensure_cli_user
from console.runs import disk_space, retention
from console.supervisor import fail

# Between two transactions the console writes: at least this long, and as long as the last one took.
PAUSE_S = 0.02

Result = TypeVar("Result")


class Command(BaseCommand):
    """Remove old runs and the output that is too much; the console may be running."""

    help = "Remove runs that are too old and, above the limit, the oldest output. A worker does the same once a day."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--days", metavar="N", help="Keep runs this long; 0: for ever.")
        parser.add_argument("--bytes", metavar="N", help="Keep this much output in all; 0: no limit.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be removed, and remove nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        env = settings.ENV
        limits = retention.Limits(
            days=_number("--days", options["days"], env.retention_days, most=RETENTION_DAYS_LIMIT),
            output_bytes=_number("--bytes", options["bytes"], env.retention_bytes),
        )
        if options["dry_run"]:
            said = retention.sentence("Would remove", retention.plan(limits).amount, limits)
            self.stdout.write(f"{said or 'Nothing would be removed'}.")
            return
        try:
            turn = retention.Turn()
        except BlockingIOError:
            fail("A worker, or another prune, is at it already: try again when it is done.")
        with turn:
            self.stdout.write(_prune(limits))


def _prune(limits: retention.Limits) -> str:
    size_before = disk_space.database_bytes()
    steps = retention.carry_out(retention.plan(limits), actor=ensure_cli_user(), os_user=os_user())
    removed = _to_the_end(steps) or retention.Removed()
    _to_the_end(disk_space.give_back())
    said = retention.sentence("Removed", removed, limits) or "Nothing was removed"
    smaller = size_before - disk_space.database_bytes()
    return f"{said}; the database is {retention.size_words(smaller)} smaller." if smaller > 0 else f"{said}."


def _to_the_end(steps: Iterator[Result]) -> Result | None:
    last: Result | None = None
    started = time.monotonic()
    for step in steps:
        last = step
        time.sleep(max(PAUSE_S, time.monotonic() - started))
        started = time.monotonic()
    return last


def _number(option: str, text: str | None, default: int, *, most: int | None = None) -> int:
    if text is None:
        return default
    # int() also takes signs, blanks and underscores.
    if not (text.isascii() and text.isdecimal() and len(text) < 20) or (most is not None and int(text) > most):
        fail(f"{option}: {text} is not a whole number from 0{f' to {most}' if most else ' up'}.")
    return int(text)
