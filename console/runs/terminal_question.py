"""Owns asking on a terminal whether a run is to go on; elsewhere it is told how to answer."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator

from console.members.models import User
from console.runs.answers import Answer, answer
from console.runs.models import Run
from console.runs.presentation import summary_of
from console.runs.rate import Gate
from instances.access.rules import NotAllowed

YES, NO = {"y", "yes", "continue"}, {"n", "no", "stop"}


class Question:
    """Asks once for each batch that waits. The database is used only in the methods that say so."""

    def __init__(self, actor: User, run_id: int, *, say: Callable[[str], None]) -> None:
        self._actor, self._run_id, self._say = actor, run_id, say
        self._asked: int | None = None
        self._lines: list[str] = []

    @contextlib.contextmanager
    def listening(self, heard: Callable[[], None]) -> Iterator[None]:
        """Read lines typed on the terminal for as long as the block runs; ``heard`` is called for each."""
        if not _has_terminal():
            yield
            return
        loop = asyncio.get_running_loop()

        def read() -> None:
            line = sys.stdin.readline()
            if not line:
                loop.remove_reader(sys.stdin)
                return
            self._lines.append(line.strip().lower())
            heard()

        loop.add_reader(sys.stdin, read)
        try:
            yield
        finally:
            loop.remove_reader(sys.stdin)

    def look(self) -> None:
        """Ask if the run waits and was not asked about yet; pass on what was typed. Side effects: queries, a write."""
        lines, self._lines = self._lines, []
        run = Run.objects.get(pk=self._run_id)
        if run.gate != Gate.ASK:
            self._asked = None
            return
        if self._asked != run.batch:
            self._ask(run)
            return
        for line in lines:
            self._answer(run, line)

    def _ask(self, run: Run) -> None:
        self._asked = run.batch
        so_far = f"Run {run.pk} waits: {summary_of(run)}."
        if _has_terminal():
            self._say(f"{so_far} Go on with batch {run.batch + 1} of {run.batch_count}? [y/n]")
        else:
            self._say(
                f"{so_far} Answer with: manage.py answer {run.pk} continue, or: manage.py answer {run.pk} decline"
            )

    def _answer(self, run: Run, line: str) -> None:
        if line not in YES | NO:
            self._say("Answer y to go on, n to stop the rest.")
            return
        try:
            answer(self._actor, run=run, what=Answer.CONTINUE if line in YES else Answer.DECLINE, batch=run.batch)
        except NotAllowed as error:
            self._say(str(error))


def _has_terminal() -> bool:
    return sys.stdin.isatty()
