"""``manage.py session``: open, list, use and close what is kept open on instances."""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from console.management.commands.run import DEFAULTS, command_text, confirmed, os_user, show_to_its_end
from console.management.sessions import instances_named, require_worker, sessions_numbered
from console.members.models import User
from console.members.services import shell_actor
from console.runs import services as runs
from console.runs.prompts import Prompts
from console.runs.script_files import NotAScript
from console.sessions import services
from console.sessions.models import LIVE, Session, State
from console.sessions.services import Wish
from console.supervisor import fail
from instances.access.rules import NotAllowed

LOOK_AGAIN_S = 0.1
# Longer than connecting and signing in may take.
OPENING_S = 60.0


class Command(BaseCommand):
    """Do what the page Sessions does; the console has to be running."""

    help = "Sessions: shells that are kept open on instances between commands, and terminals."
    words: Sequence[str] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        actions = parser.add_subparsers(dest="action", required=True)
        opening = actions.add_parser("open", help="Keep a shell open on each instance.")
        opening.add_argument("instances", metavar="INSTANCE", nargs="+", help="Names, addresses, ranges: web[01-12].")
        opening.add_argument("--name", default="", help="What they are called; each like its instance, if not given.")
        opening.add_argument("--interpreter", default="", help="bash or sh; bash where there is one, if not given.")
        opening.add_argument("--directory", default="", help="Where the shell starts; at home, if not given.")
        opening.add_argument("--wait", action="store_true", help="Wait until each is open, or cannot be.")
        listing = actions.add_parser("list", help="What is open.")
        listing.add_argument("--all", action="store_true", help="What has ended, too.")
        listing.add_argument("--json", action="store_true", help="One JSON object per line.")
        closing = actions.add_parser("close", help="Close sessions and terminals.")
        running = actions.add_parser("run", help="Send a command to sessions, and show it until it has ended.")
        for one in (closing, running):
            one.add_argument("sessions", metavar="NUMBER", nargs="+", type=int, help="As the list shows it.")
        running.add_argument("--file", metavar="F", help="Read the command from a file; behind -- are its arguments.")
        running.add_argument("--timeout", metavar="S", type=int, default=DEFAULTS.timeout_s, help="Time limit.")
        running.add_argument("--yes-to", metavar="N", type=int, help="Confirm that it goes to N sessions.")
        running.add_argument("--json", action="store_true", help="One JSON object per line.")
        for one in (opening, listing, closing, running):
            one.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def run_from_argv(self, argv: list[str]) -> None:
        """Keep what stands behind ``--``: it is the command, with options of its own."""
        if "--" in argv:
            place = argv.index("--")
            argv, self.words = argv[:place], argv[place + 1 :]
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it."""
        try:
            actor = shell_actor(options["user"])
            {"open": self._open, "list": self._list, "close": self._close, "run": self._run}[options["action"]](
                actor, options
            )
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (NotAllowed, NotAScript, runs.RunError, OSError, ValueError) as error:
            fail(error)

    def _open(self, actor: User, options: dict[str, Any]) -> None:
        instances = instances_named(actor, options["instances"])
        require_worker()
        wish = Wish(name=options["name"], interpreter=options["interpreter"], working_directory=options["directory"])
        done = services.open_sessions(actor, instances, wish, request_key=uuid.uuid4().hex, os_user=os_user())
        for name, why in done.left_out:
            self.stderr.write(f"{name}: {why}")
        rows = _awaited(done.sessions) if options["wait"] else done.sessions
        for row in rows:
            self.stdout.write(f"{row.pk}\t{row.instance_name}\t{row.get_state_display()}")
            if row.message:
                self.stderr.write(f"{row.instance_name}: {row.message}")
        if done.left_out or any(not row.is_live or (options["wait"] and row.state == State.OPENING) for row in rows):
            raise SystemExit(1)

    def _list(self, actor: User, options: dict[str, Any]) -> None:
        rows = services.visible_sessions(actor).order_by("pk")
        for row in (rows if options["all"] else rows.filter(state__in=LIVE)).iterator():
            self.stdout.write(json.dumps(_as_json(row)) if options["json"] else _line(row))

    def _close(self, actor: User, options: dict[str, Any]) -> None:
        count = services.close_sessions(actor, sessions_numbered(actor, options["sessions"]))
        self.stdout.write(
            f"{count} {'is' if count == 1 else 'are'} being closed." if count else "None of them was open."
        )

    def _run(self, actor: User, options: dict[str, Any]) -> None:
        sessions = sessions_numbered(actor, options["sessions"])
        words = tuple(self.words)
        from_file = options["file"] is not None
        require_worker()
        run = runs.send_command(
            actor,
            sessions=sessions,
            command=command_text(None if from_file or not words else " ".join(words), options["file"]),
            request_key=uuid.uuid4().hex,
            options=runs.Options(
                command_type=sessions[0].command_type,
                timeout_s=options["timeout"],
                arguments=words if from_file else (),
            ),
            confirmed_count=confirmed(sessions, {**options, "dry_run": False}),
            os_user=os_user(),
        )
        show_to_its_end(actor, run, Prompts(), as_json=options["json"])


def _awaited(sessions: Sequence[Session]) -> list[Session]:
    """Return the rows as they are once none is being opened any more; after a time limit as they are then."""
    ends_at = time.monotonic() + OPENING_S
    while True:
        rows = list(Session.objects.filter(pk__in=[row.pk for row in sessions]).order_by("pk"))
        if time.monotonic() > ends_at or all(row.state != State.OPENING for row in rows):
            return rows
        time.sleep(LOOK_AGAIN_S)


def _line(row: Session) -> str:
    idle_s = (timezone.now() - row.last_used_at).total_seconds()
    how = row.get_state_display() + (f": {row.message}" if row.message else "")
    used = f"idle {idle_s:.0f} s" if row.is_live else f"ended {row.closed_at:%Y-%m-%d %H:%M:%S} UTC"
    return "\t".join((str(row.pk), row.get_kind_display(), row.instance_name, row.name, row.owner_name, how, used))


def _as_json(row: Session) -> dict[str, Any]:
    moments = {
        name: moment.isoformat() if (moment := getattr(row, name)) else None
        for name in ("created_at", "opened_at", "last_used_at", "closed_at")
    }
    return {
        "id": row.pk,
        "kind": row.kind,
        "name": row.name,
        "instance": row.instance_name,
        "owner": row.owner_name,
        "state": row.state,
        "reason": row.reason,
        "message": row.message,
        "exit_status": row.exit_status,
        "interpreter": row.interpreter,
        **moments,
    }
