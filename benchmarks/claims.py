"""What a worker's look for work costs: with a long history, and with runs that wait for an answer.

Prints medians and 95th percentiles in milliseconds of processor time, which other load does not lengthen.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

HISTORY = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs})
INSERT INTO console_run ({columns}) SELECT {values} FROM console_run, n WHERE console_run.id = {model}
"""
INVOCATIONS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {per_run} - 1)
INSERT INTO console_invocation ({columns}) SELECT {values} FROM console_invocation AS t, n, console_run AS r
WHERE t.id = {model} AND r.id > {after}
"""


def multiply(run, *, runs: int, per_run: int) -> None:
    """Copy a run of one invocation, as it is, so many times, each with so many invocations."""
    from django.db import connection

    from console.runs.models import Invocation, Run

    def columns(model, given):
        names = [field.column for field in model._meta.concrete_fields if not field.primary_key]
        prefix = "t." if model is Invocation else ""
        return ", ".join(f'"{name}"' for name in names), ", ".join(
            given.get(name, f'{prefix}"{name}"') for name in names
        )

    row = run.invocations.get()
    key = f"'copy-{run.pk}-' || n.i"
    with connection.cursor() as cursor:
        after = Run.objects.order_by("-pk").first().pk
        names, values = columns(Run, {"request_key": key, "target_count": str(per_run)})
        cursor.execute(HISTORY.format(runs=runs, columns=names, values=values, model=run.pk))
        names, values = columns(Invocation, {"run_id": "r.id", "ordinal": "n.i"})
        cursor.execute(INVOCATIONS.format(per_run=per_run, columns=names, values=values, model=row.pk, after=after))


def looks(worker: uuid.UUID, tries: int) -> str:
    """Time looks that find nothing to do."""
    from console.runs import queue

    took = []
    for _ in range(tries):
        began = time.process_time()
        assert queue.claim(worker, slots=1000) == []
        took.append(1000 * (time.process_time() - began))
    return f"{statistics.median(took):.2f} | {statistics.quantiles(took, n=20)[-1]:.2f}"


def main() -> None:
    """Read the options and measure on a database in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=1_000_000)
    parser.add_argument(
        "--waiting", type=int, default=1000, help="Runs that wait for an answer, of 100 instances each."
    )
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.invocations, options.waiting, options.tries = 10_000, 10, 20
    with tempfile.TemporaryDirectory(prefix="muster-claims-") as folder:
        os.environ |= {"MUSTER_DATA": folder, "DJANGO_SETTINGS_MODULE": "console.settings"}
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Fill the database step by step, and look in between."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    call_command("migrate", verbosity=0)
    from console.runs import queue
    from console.runs.models import Run
    from console.runs.rate import Rollout
    from tests.support.runs import enlisted_worker, send

    worker = enlisted_worker()
    print("| what there is | p50 CPU ms | p95 CPU ms |\n|---|---|---|")
    print(f"| nothing | {looks(worker, options.tries)} |")
    ended = send(1)
    ended.invocations.update(status="succeeded")
    queue.refresh_counts(ended)
    multiply(ended, runs=options.invocations // 100, per_run=100)
    print(f"| {options.invocations:,} ended invocations | {looks(worker, options.tries)} |")
    waiting = send(1)
    waiting.invocations.update(batch=1)
    Run.objects.filter(pk=waiting.pk).update(
        gate="ask", batch_count=2, batch=1, status="waiting", rollout=Rollout(first="1").as_json()
    )
    multiply(waiting, runs=options.waiting, per_run=100)
    print(f"| and {options.waiting:,} runs that wait for an answer | {looks(worker, options.tries)} |")
    with transaction.atomic():
        held = send(10_000, max_concurrency=1, rollout=Rollout(batch_size="1"))
    assert len(queue.claim(worker, slots=10)) == 1
    print(f"| and one at work on batch 1 of {held.batch_count:,} | {looks(worker, options.tries)} |")


if __name__ == "__main__":
    main()
