"""``manage.py rotate_keys``: a new key for the stored secrets."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import pluralize

from console.runs import run_secrets
from console.supervisor import fail
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
            fail(str(error))
        self.stdout.write(told)


def _rotate() -> str:
    sealed = vault.rotate() + run_secrets.seal_again()
    left = vault.count_under_old_keys() + run_secrets.count_under_old_keys()
    secrets = f"{sealed} secret{pluralize(sealed)}"
    return f"{secrets} sealed with a new key; {left or 'none'} left under older ones. Back up keys.json now."


def _drop_old() -> str:
    dropped = vault.drop_old_keys(count_others=run_secrets.count_under_old_keys)
    return f"{dropped} older key{pluralize(dropped)} removed."
