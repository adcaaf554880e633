"""``manage.py schedules``: what comes when, and pause or resume one."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members.models import User
from console.members.services import shell_actor
from console.schedules import services
from console.schedules.models import Schedule
from console.schedules.presentation import when_of
from console.schedules.services import ScheduleError
from console.supervisor import fail
from instances.access.rules import NotAllowed


class Command(BaseCommand):
    """List the schedules, or pause or resume one; the console may be running."""

    help = "List the schedules with when they are due next; pause or resume one by its number."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        one = parser.add_mutually_exclusive_group()
        one.add_argument("--pause", metavar="NUMBER", type=int, help="Pause this schedule.")
        one.add_argument("--resume", metavar="NUMBER", type=int, help="Resume this schedule.")
        parser.add_argument("--why", metavar="TEXT", default="", help="With --pause: why.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and print what there is."""
        try:
            actor = shell_actor(options["user"])
            if options["pause"] is not None:
                services.pause(actor, schedule=_found(actor, options["pause"]), why=options["why"])
            if options["resume"] is not None:
                services.resume(actor, schedule=_found(actor, options["resume"]))
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (NotAllowed, ScheduleError, ValueError) as error:
            fail(str(error))
        for schedule in services.visible(actor):
            self.stdout.write(_line(schedule))


def _found(actor: User, number: int) -> Schedule:
    schedule = services.visible(actor).filter(pk=number).first()
    if schedule is None:
        raise ValueError(f"There is no schedule {number}.")
    return schedule


def _line(schedule: Schedule) -> str:
    if schedule.paused_at:
        due = f"paused by {schedule.paused_by}{f': {schedule.pause_reason}' if schedule.pause_reason else ''}"
    elif schedule.next_at:
        due = f"next {schedule.next_at.astimezone(schedule.time_zone):%Y-%m-%d %H:%M:%S} {schedule.zone}"
    else:
        due = "never again"
    return f"{schedule.pk}\t{schedule.name}\t{schedule.owner_name}\t{when_of(schedule)}\t{due}"
