"""``manage.py import_saved``: read saved commands from a folder of plain scripts."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.library.imported import plan_import
from console.members.services import shell_actor
from console.saved_commands import folders
from console.saved_commands.content import SavedCommandError
from console.saved_commands.folders import Outcome
from console.supervisor import fail
from instances.access.rules import Action, NotAllowed, require_anywhere


class Command(BaseCommand):
    """Add what is new, make versions of what has changed; a file that cannot be read stops all of it."""

    help = "Read saved commands from a folder of plain scripts; what has changed becomes a new version."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help="Of plain scripts, none below it.")
        parser.add_argument("--starter", action="store_true", help="The starter library instead of a folder.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of each."""
        if (options["folder"] is None) is not options["starter"]:
            fail("Name a folder, or give --starter.")
        folder = folders.STARTER if options["starter"] else options["folder"].expanduser()
        try:
            actor = shell_actor(options["user"])
            require_anywhere(actor, Action.MANAGE_SAVED_COMMANDS)
            found = plan_import(actor, folders.folder_files(folder))
            for one in found.commands:
                if one.outcome != Outcome.UNCHANGED:
                    self.stdout.write(f"{one.name}: {one.error or one.outcome.value}")
            if found.count(Outcome.ERROR):
                was = "would be" if options["dry_run"] else "was"
                fail(f"Nothing {was} imported ({found.told}): mend what has an error, or take it out of the folder.")
            if options["dry_run"]:
                self.stdout.write(f"Would import: {found.told}. Nothing was done.")
                return
            folders.apply(actor, found, source=f"Imported from {folder.name}")
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (NotAllowed, OSError, SavedCommandError) as error:
            fail(error)
        self.stdout.write(f"Imported: {found.told}.")
