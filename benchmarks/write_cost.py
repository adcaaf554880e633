"""What the history's indexes and the index of words cost whoever writes: ratios within one run, on either database."""

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import history
from rig import say

# What only the history, its filters, retention and the index of words ask for.
OF_RUNS = ("runs_to_index",)
OF_INVOCATIONS = ("runs_of_an_instance", "invocations_by_reason", "invocations_by_exit_status", "stored_output")
FEW = "nginx is active (running)\nloaded: enabled\nworker {0} took {0} ms\n"
OUTPUTS: dict[str, Callable[[int], str]] = {
    "three lines": FEW.format,
    "10 kB, the same line": lambda n: FEW.format(n) + "a line of text that others have as well\n" * 250,
    "10 kB, every line other": lambda n: "".join(
        f"20:{at % 60:02} sshd[{n * 131 + at}]: Accepted publickey for user{at} from 10.0.{n % 250}.{at} port {n}\n"
        for at in range(130)
    ),
}


def main() -> None:
    """Fill a database, then write the same runs into it in turns with and without, and print what each cost."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="muster-write-"))
    os.environ |= {"MUSTER_DATA": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "console.settings"}
    (folder / "data").mkdir()
    cluster = history.start_postgres(folder) if options.database == "postgresql" else None
    try:
        _measure(options)
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--invocations", type=int, default=200_000, help="What is there before.")
    parser.add_argument("--instances", type=int, default=1000, help="Of each run that is written.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="Only see that it works.")
    options = parser.parse_args()
    if options.quick:
        options.invocations, options.instances, options.rounds = 5000, 50, 1
    return options


def _measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    history.Filling(options.invocations).fill()
    rounds = Rounds(options.instances)
    say("| output of each | written | with history's indexes / without | with the index of words / without |")
    say("|---|---|---|---|")
    for name, form in OUTPUTS.items():
        output = [form(number).encode() for number in range(options.instances)]
        rounds.write(output)
        plain, indexed, words = [], [], []
        for _ in range(options.rounds):
            with without_indexes():
                plain.append(rounds.write(output))
            indexed.append(rounds.write(output))
            words.append(rounds.read_words())
        base, all_of_it = statistics.median(plain), statistics.median(indexed)
        each = 1000 * all_of_it / options.instances
        say(f"| {name} | {each:.2f} ms | {all_of_it / base:.2f} | {1 + statistics.median(words) / all_of_it:.2f} |")


class Rounds:
    """Writes runs as a worker does, without SSH, and says how many seconds of processor time it took."""

    def __init__(self, instances: int) -> None:
        from console.members.models import User
        from console.runs.models import Run
        from instances.inventory.models import Instance

        self._actor = User.objects.get(username="user-00")
        self._instances = list(Instance.objects.order_by("pk")[:instances])
        # The history that was filled in is not to be read now.
        Run.objects.filter(indexed_at=None).update(indexed_at="2026-01-01T00:00Z")

    def write(self, output: Sequence[bytes]) -> float:
        """Send a command, claim it, start it, store its output and its end; a tenth fails."""
        return _cpu_s(lambda: self._write(output))

    def _write(self, output: Sequence[bytes]) -> None:
        from django.utils import timezone

        from console.runs import queue
        from console.runs.models import OutputKind
        from console.runs.status import Status
        from console.worker import writer
        from tests.support.runs import enlisted_worker, journal_of, send

        count = len(self._instances)
        run = send(actor=self._actor, instances=self._instances, max_concurrency=count)
        worker = enlisted_worker()
        journals = [journal_of(claim) for claim in queue.claim(worker, slots=count, run_id=run.pk)]
        assert len(journals) == count
        for journal in journals:
            journal.set(Status.RUNNING, started_at=timezone.now())
        writer.commit([(journal, journal.take()) for journal in journals])
        for number, journal in enumerate(journals):
            journal.write(OutputKind.STDOUT, output[number])
            how = (Status.SUCCEEDED, "", 0) if number % 10 else (Status.FAILED, "exit_status", 1)
            journal.finish(how[0], at=timezone.now(), reason=how[1], exit_status=how[2])
        writer.commit([(journal, journal.take()) for journal in journals])
        queue.discharge(worker)

    def read_words(self) -> float:
        """Read the run into the index of words that was written last."""
        from console.runs import indexing
        from console.runs.models import Run

        waiting = list(indexing.waiting().order_by("-pk").values_list("pk", flat=True))
        Run.objects.filter(pk__in=waiting[1:]).update(indexed_at="2026-01-01T00:00Z")
        return _cpu_s(lambda: list(indexing.index_next()))


def _cpu_s(work: Callable[[], Any]) -> float:
    before = history.processor_s()
    work()
    return history.processor_s() - before


@contextmanager
def without_indexes() -> Iterator[None]:
    """The tables without these indexes for the block."""
    from django.db import connection

    from console.runs.models import Invocation, Run

    both = [(model, index) for model in (Run, Invocation) for index in model._meta.indexes]
    ours = [(model, index) for model, index in both if index.name in OF_RUNS + OF_INVOCATIONS]
    with connection.schema_editor() as editor:
        for model, index in ours:
            editor.remove_index(model, index)
    yield
    with connection.schema_editor() as editor:
        for model, index in ours:
            editor.add_index(model, index)


if __name__ == "__main__":
    main()
