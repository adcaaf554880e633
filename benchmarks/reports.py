"""How long reports take with a long history: python benchmarks/reports.py [--runs N] [--instances N] [--quick]."""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["MUSTER_DATA"] = tempfile.mkdtemp(prefix="muster-bench-")
os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from console.models import Invocation, Run, SavedCommand, SavedCommandVersion, User  # noqa: E402
from console.reports import archive, record  # noqa: E402
from instances.access.models import Grant, Role  # noqa: E402
from instances.inventory.models import Instance  # noqa: E402

BATCH = 20_000


def fill(runs: int, instances: int, large: int) -> tuple[Run, Run]:
    """Make ``runs`` runs of one saved command on ``instances`` instances, and two on ``large``; return those."""
    machines = Instance.objects.bulk_create(
        [Instance(name=f"node-{n:05}", address=f"10.0.{n >> 8}.{n & 255}") for n in range(large)]
    )
    saved = SavedCommand.objects.create(name="Nightly", keep_days=30)
    saved.latest = SavedCommandVersion.objects.create(saved=saved, number=1, text="true")
    saved.save()
    now = timezone.now()
    made = Run.objects.bulk_create(
        Run(
            actor_name="bench", command="true", command_sha256="0" * 64, request_key=str(number), status="succeeded",
            counts={"succeeded": size}, target_count=size, finished_at=now, saved_version=saved.latest,
        )
        for number, size in enumerate([instances] * runs + [large, large])
    )  # fmt: skip
    for place, run in enumerate(made):
        Run.objects.filter(pk=run.pk).update(created_at=now - timedelta(minutes=len(made) - place))
    waiting: list[Invocation] = []
    for place, run in enumerate(made):
        waiting += [_ended(run, machines[n], n, place, now) for n in range(run.target_count)]
        if len(waiting) >= BATCH or run is made[-1]:
            Invocation.objects.bulk_create(waiting, batch_size=1000)
            waiting.clear()
    return made[-2], made[-1]


def _ended(run: Run, machine: Instance, ordinal: int, place: int, now) -> Invocation:
    return Invocation(
        run=run, ordinal=ordinal, instance=machine, instance_name=machine.name, address=machine.address,
        status="succeeded", exit_status=0, size=100, stdout_bytes=100, started_at=now - timedelta(seconds=ordinal % 90),
        finished_at=now, stdout_sha256=f"{place if ordinal % 3 else 0:064x}", stderr_sha256="",
    )  # fmt: skip


def measure(name: str, call: Callable[[], object], tries: int) -> None:
    """Print the median and the slowest of some tries, and the processor's time, which others' work changes less."""
    call()
    taken, busy = [], []
    for _ in range(tries):
        started, started_cpu = time.perf_counter(), time.process_time()
        call()
        taken.append(1000 * (time.perf_counter() - started))
        busy.append(1000 * (time.process_time() - started_cpu))
    print(f"| {name} | {statistics.median(taken):.0f} | {max(taken):.0f} | {statistics.median(busy):.0f} |")


def main() -> None:
    """Fill a database and print how long each page takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--instances", type=int, default=50)
    parser.add_argument("--large", type=int, default=5000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.large = 200, 500
    call_command("migrate", verbosity=0)
    settings.ALLOWED_HOSTS = ["testserver"]
    user = User.objects.create(username="bench", password="!")
    Grant.objects.create(user=user, role=Role.ADMINISTRATOR)
    before, now = fill(options.runs, options.instances, options.large)
    client = Client()
    client.force_login(user)
    saved = now.saved_version.saved_id
    print(f"{Invocation.objects.count():,} invocations in {Run.objects.count():,} runs\n")
    print("| what | p50 ms | slowest ms | CPU p50 ms |\n|---|---|---|---|")
    pages = {
        "the panel of a run": reverse("run", args=[now.pk]),
        f"compare {options.large:,} with {options.large:,}": reverse("run-compare", args=[now.pk])
        + f"?with={before.pk}",
        "chart per run": reverse("saved-history", args=[saved]),
        "chart per day": reverse("saved-history", args=[saved]) + "?per=day",
        f"durations of {options.large:,}": reverse("run-report", args=[now.pk]),
        "retention": reverse("retention"),
    }
    for name, path in pages.items():
        measure(name, lambda path=path: client.get(path).content, 9)
    measure(f"table of {options.large:,}", lambda: list(record.run_csv(user, now)), 5)
    measure(f"zip of {options.large:,}", lambda: list(archive.run_archive(user, now)), 3)
    measure("table of the history", lambda: list(client.get(reverse("history-csv")).streaming_content), 1)


if __name__ == "__main__":
    main()
