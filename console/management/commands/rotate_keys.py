"""``manage.py rotate_keys``: a new key for the stored secrets."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instances.credentials import vault


class Command(BaseCommand):
    """Seal all stored secrets again with a new key; the console may be running."""

    help = "Seal all stored secrets again with a new key. Older keys are kept until --drop-old."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--drop-old",
            action="store_true",
            help="Do not rotate: remove all keys but the newest. Backups from before the rotation no longer open.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        try:
            told = _drop_old() if options["drop_old"] else _rotate()
        except vault.VaultError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(told)


def _rotate() -> str:
    sealed, left = vault.rotate(), vault.count_under_old_keys()
    return f"{sealed} secrets sealed with a new key; {left} remain under older ones. Back up keys.json now."


def _drop_old() -> str:
    return f"{vault.drop_old_keys()} older keys removed."
