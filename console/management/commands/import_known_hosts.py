"""``manage.py import_known_hosts``: trust what a known_hosts file knows, after a look at what that means."""

import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members.services import shell_actor
from console.supervisor import fail
from instances.access.models import Group
from instances.access.rules import NotAllowed
from instances.host_keys import importing
from instances.host_keys.importing import Finding, Outcome, Preview

# The others are only counted: they change nothing, and nobody needs to look at them.
_SHOWN = {
    Outcome.WRONG: "cannot be read:",
    Outcome.CHANGED: "changed",
    Outcome.REVOKED: "revoked, so not trusted:",
    Outcome.NEW: "new",
    Outcome.AUTHORITY: "an authority for",
    Outcome.REVOKE: "to revoke:",
}


class Command(BaseCommand):
    """Import a known_hosts file; says what it would do unless told to do it."""

    help = "Say what a known_hosts file means for the instances; with --apply, trust its keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", metavar="FILE", help="A known_hosts file; - is standard input.")
        parser.add_argument("--apply", action="store_true", help="Do it.")
        parser.add_argument(
            "--replace", action="store_true", help="Let changed keys take the place of the trusted ones at once."
        )
        parser.add_argument("--group", metavar="GROUP", help="Authorities and revoked keys count for this group only.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what became of it."""
        try:
            actor, group = shell_actor(options["user"]), _group(options["group"])
            text = _text(options["file"])
            shown = importing.preview(actor, text=text, group=group, comparisons=None)
            for line in _lines(shown):
                self.stdout.write(line)
            if not options["apply"]:
                self.stdout.write(f"Would import: {_told(shown, options['replace'])}. Nothing was done: add --apply.")
                return
            replace = {one.number for one in shown.of(Outcome.CHANGED)} if options["replace"] else set()
            importing.apply(actor, text=text, expected=shown.version, group=group, replace=replace, comparisons=None)
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (NotAllowed, OSError) as error:
            fail(error)
        self.stdout.write(f"Imported: {_told(shown, options['replace'])}.")


def _lines(shown: Preview) -> list[str]:
    return [f"Line {one.number}: {_SHOWN[one.outcome]} {_about(one)}" for one in shown.of(*_SHOWN)]


def _about(one: Finding) -> str:
    if one.entry is None:
        return one.note
    where = one.instance_name or (one.entry.names if one.outcome == Outcome.AUTHORITY else "")
    return f"{where} {one.entry.key.algorithm} {one.entry.key.fingerprint}".strip()


def _told(shown: Preview, is_replacing: bool) -> str:
    words = {
        Outcome.NEW: "new",
        Outcome.CHANGED: "changed (replacing)" if is_replacing else "changed (into the review)",
        Outcome.AUTHORITY: "authorities",
        Outcome.REVOKE: "to revoke",
        Outcome.REVOKED: "revoked",
        Outcome.KNOWN: "known already",
        Outcome.UNMATCHED: "of no instance",
        Outcome.WRONG: "unreadable",
    }
    said = [f"{shown.counts[outcome]:,} {word}" for outcome, word in words.items() if shown.counts[outcome]]
    return ", ".join(said) or "nothing"


def _text(name: str) -> str:
    data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    return data.decode("utf-8-sig", errors="replace")


def _group(name: str | None) -> Group | None:
    if name is None:
        return None
    group = Group.objects.filter(name=name).first()
    if group is None:
        fail(f"There is no group {name}.")
    return group
