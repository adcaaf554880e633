"""``manage.py export_saved``: write the saved commands into a folder of plain scripts, to keep with other files."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members.services import shell_actor
from console.saved_commands import folders
from console.saved_commands.content import SavedCommandError
from console.supervisor import fail
from instances.access.rules import Action, NotAllowed, require_anywhere


class Command(BaseCommand):
    """Write one script for each saved command, two where it has a text for Windows too."""

    help = "Write the saved commands into a folder, as plain scripts with a small header."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="Made if it is not there.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Write what this member sees.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what is in the folder besides."""
        folder: Path = options["folder"].expanduser()
        try:
            actor = shell_actor(options["user"])
            require_anywhere(actor, Action.VIEW)
            files = folders.exported(actor)
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                folder.joinpath(name).write_bytes(data)
            others = sorted(folders.folder_files(folder).keys() - files.keys())
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (NotAllowed, OSError, SavedCommandError) as error:
            fail(error)
        written = "1 file is" if len(files) == 1 else f"{len(files)} files are"
        self.stdout.write(f"{written} written to {folder}.")
        for name in others:
            self.stdout.write(f"{name} is none of them; it was left as it is.")
