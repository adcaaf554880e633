"""``manage.py export_run``: a run as a file, the same that the pages give."""

import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members.services import shell_actor
from console.reports import archive, record
from console.runs import services
from console.supervisor import fail

FORMATS = {"csv": record.run_csv, "json": record.run_json, "zip": archive.run_archive}


class Command(BaseCommand):
    """Write a run to a file or to standard output."""

    help = "Write a run's table (csv), its whole record (json), or its outputs with a manifest of hashes (zip)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("run", type=int, help="The number of the run.")
        parser.add_argument("--format", choices=sorted(FORMATS), default="json", help="json if not given.")
        parser.add_argument("--output", metavar="FILE", help="Write here; standard output if not given.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it."""
        try:
            actor = shell_actor(options["user"])
        except ValidationError as error:
            fail(" ".join(error.messages))
        run = services.visible_runs(actor).select_related("saved_version__saved").filter(pk=options["run"]).first()
        if run is None:
            fail(f"There is no run {options['run']} that {actor.get_username()} may see.")
        if options["format"] == "zip" and not options["output"] and sys.stdout.isatty():
            fail("A zip is nothing for a terminal: name a file with --output.")
        pieces = FORMATS[options["format"]](actor, run)
        try:
            with open(options["output"] or sys.stdout.fileno(), "wb", closefd=bool(options["output"])) as file:
                file.writelines(pieces)
        except BrokenPipeError:
            sys.exit(141)
        except OSError as error:
            fail(f"{options['output'] or 'Standard output'} cannot be written: {error.strerror}.")
