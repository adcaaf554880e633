"""``manage.py answer``: continue, stop the rest of, pause or resume a run from a shell."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from console.members.services import shell_actor
from console.runs.answers import Answer, answer
from console.runs.models import Run
from console.runs.services import visible_runs
from console.supervisor import fail
from instances.access.rules import NotAllowed

DONE = {
    Answer.CONTINUE: "Run {run} goes on.",
    Answer.DECLINE: "The rest of run {run} is not started.",
    Answer.PAUSE: "Run {run} is paused: nothing new starts.",
    Answer.RESUME: "Run {run} goes on.",
}


class Command(BaseCommand):
    """Say what becomes of the rest of a run."""

    help = "Answer a run that waits: continue, or decline (stop the rest); or pause and resume it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("run", metavar="RUN", type=int, help="The number of the run.")
        parser.add_argument("what", metavar="ANSWER", choices=[what.value for what in Answer], help=", ".join(Answer))
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what was done."""
        what = Answer(options["what"])
        try:
            actor = shell_actor(options["user"])
            run = visible_runs(actor).get(pk=options["run"])
            done = answer(actor, run=run, what=what)
        except ValidationError as error:
            fail(" ".join(error.messages))
        except Run.DoesNotExist:
            fail(f"There is no run {options['run']}.")
        except NotAllowed as error:
            fail(str(error))
        sentence = DONE[what] if done else "Nothing was done: there is nothing of run {run} to " + f"{what}."
        self.stdout.write(sentence.format(run=run.pk))
