"""``manage.py attach``: a terminal on an instance in the terminal of this shell."""

import sys
import uuid
from typing import Any

import uvloop
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from console.management.commands.run import os_user
from console.management.sessions import NOT_DONE, end, instance_named, require_worker
from console.members.models import User
from console.members.services import shell_actor
from console.runs import queue
from console.runs.models import WorkerLease
from console.sessions import services
from console.sessions.attachment import Attachment
from console.sessions.escapes import escape_character
from console.sessions.models import Kind, Session, State
from console.sessions.own_terminal import OwnTerminal
from console.sessions.remarks import Way
from console.supervisor import fail
from instances.access.rules import NotAllowed


class Command(BaseCommand):
    """Open a terminal on an instance, or come back to one, until it ends or one detaches."""

    help = "A terminal on one instance, here; the exit status is that of its shell. Enter ~ . detaches."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "what", metavar="INSTANCE|NUMBER", nargs="+", help="An instance's name, or a terminal's number."
        )
        parser.add_argument("--new", action="store_true", help="Open another, though one is detached there.")
        parser.add_argument("--watch", action="store_true", help="Only look; nothing typed is sent.")
        parser.add_argument("--take-over", action="store_true", help="Type, whoever does now.")
        parser.add_argument(
            "--escape", metavar="C", default="~", help="The escape character: one, ^ and a letter, or none."
        )
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and end with the shell's exit status."""
        what, *more = options["what"]
        if more:
            fail("A terminal is of one instance: name one. For several there is manage.py session open.")
        if options["watch"] and (options["new"] or options["take_over"]):
            fail("--watch goes with neither --new nor --take-over.")
        try:
            way = Way(options["watch"], options["take_over"], escape_character(options["escape"]), os_user())
            actor = shell_actor(options["user"])
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                fail("attach needs a terminal. Without one, send commands with manage.py run.")
            own = OwnTerminal(sys.stdin.fileno())
            found = _found(actor, what, options)
            # Whoever watches one that has ended is told how.
            if found is None or found.is_live:
                require_worker()
            row = found or _opened(actor, what, own, way)
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (OSError, ValueError) as error:
            fail(error)
        connection.close()
        left = uvloop.run(Attachment(actor, row, own, way, worker_is_alive=_is_alive).stay())
        if found is None and Session.objects.filter(pk=row.pk, state=State.OPENING).exists():
            services.close_sessions(actor, [row])
            end(left.status, "Not waited for: it is closed.")
        end(left.status, left.sentence)


def _found(actor: User, what: str, options: dict[str, Any]) -> Session | None:
    """Return the terminal that is meant, if it is there already; ends the program where it has to be and is not."""
    terminals = services.visible_sessions(actor).filter(kind=Kind.TERMINAL)
    if what.isdecimal() and not options["new"]:
        found = terminals.filter(pk=int(what)).first()
        if found is None:
            fail(f"There is no terminal {what}.")
        return found
    instance = instance_named(actor, what)
    if options["new"]:
        return None
    mine = terminals.filter(owner=actor, instance=instance)
    if not (options["watch"] or options["take_over"]):
        return mine.filter(state=State.DETACHED).first()
    found = mine.filter(state__in=(State.READY, State.DETACHED)).first()
    if found is None:
        fail(f"You have no terminal open on {what}.")
    return found


def _opened(actor: User, name: str, own: OwnTerminal, way: Way) -> Session:
    instance, size = instance_named(actor, name), own.size
    try:
        return services.open_terminal(
            actor,
            instance,
            columns=size.columns,
            rows=size.rows,
            request_key=uuid.uuid4().hex,
            os_user=way.os_user,
        )
    except ValidationError as error:
        end(NOT_DONE, " ".join(error.messages))
    except NotAllowed as error:
        end(NOT_DONE, str(error))


def _is_alive(worker_id: uuid.UUID) -> bool:
    lease = WorkerLease.objects.filter(pk=worker_id).first()
    return lease is not None and not queue.is_dead(lease)
