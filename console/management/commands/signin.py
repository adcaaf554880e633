"""``manage.py signin``: a way in for somebody who has no password, or lost it."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members import services
from console.supervisor import fail, noted_address


class Command(BaseCommand):
    """Print a single-use sign-in address; while there is no administrator, USER becomes the first."""

    help = "Print a single-use address, good for 15 minutes, at which USER chooses a password."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("user", metavar="USER")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        try:
            path = services.sign_in_link_for(options["user"])
        except ValidationError as error:
            fail(" ".join(error.messages))
        self.stdout.write(f"{noted_address(settings.DATA_DIR) or settings.ENV.url}{path}")
