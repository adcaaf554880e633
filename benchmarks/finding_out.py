"""How long the views of one run take: groups, matrix, search and the combined view, in a database of its own.

python benchmarks/finding_out.py [--instances N] [--megabytes N] [--quick]
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
_FOLDER = tempfile.mkdtemp(prefix="muster-benchmark-")
os.environ |= {"MUSTER_DATA": _FOLDER, "DJANGO_SETTINGS_MODULE": "console.settings"}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from console.members.models import User  # noqa: E402
from console.results import combined, grouping, matrix, search  # noqa: E402
from console.results.normalise import NO_RULES, Rules  # noqa: E402
from console.results.presentation import Ignored, groups_view  # noqa: E402
from console.runs import queue  # noqa: E402
from console.runs.models import Invocation, Output, OutputKind, Run  # noqa: E402
from instances.access.models import Grant, Role  # noqa: E402

ROW_BYTES = 64 * 1024
BATCH = 500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="small, only to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.instances, options.megabytes = 100, 10
    try:
        call_command("migrate", verbosity=0)
        user = User.objects.create(username="benchmark")
        Grant.objects.create(user=user, role=Role.ADMINISTRATOR)
        _groups(user, options.instances)
        _search(user, options.megabytes)
    finally:
        shutil.rmtree(_FOLDER)


def _groups(user: User, count: int) -> None:
    print(f"{count:,} instances, 10 kB each | s | CPU s")
    rules = {
        "as they are": NO_RULES,
        "times and own name": Rules(times=True, own_name=True),
        "everything": Rules(times=True, own_name=True, looks=True, numbers=True),
    }
    for kind, text in {"all the same": _same, "3 distinct": _three, "all distinct": _distinct}.items():
        run = _run(user, count, lambda number, text=text: [text(number)])
        for name, ignored in rules.items():
            grouping._remembered.clear()
            _timed(f"groups, {kind}, {name}", lambda: grouping.grouped(run.invocations.all(), ignored))  # noqa: B023
            if not ignored.is_empty:
                _timed("    again", lambda: grouping.grouped(run.invocations.all(), ignored))  # noqa: B023
        _timed(f"groups as shown, {kind}", lambda: groups_view(user, run, Ignored(NO_RULES, exits=False)))  # noqa: B023
    _timed("matrix", lambda: matrix.matrix(user, run).as_json(is_whole=True))
    _timed("combined, the last page", lambda: combined.page(run.invocations.all()))
    after = combined.Cursor.parse("0-0-0")
    _timed("combined, the first page", lambda: combined.page(run.invocations.all(), after=after))


def _search(user: User, megabytes: int) -> None:
    """One in a hundred megabytes has what is searched for, the last line too."""
    count = max(1, megabytes // 10)
    line = b"Nov 21 17:09:04 some program wrote this ordinary line of eighty characters or about\n"
    row = (line * (ROW_BYTES // len(line) + 1))[:ROW_BYTES]
    needle = b"\nneedle in it\n"

    def rows(number: int) -> Iterator[bytes]:
        for _ in range(10_000_000 // ROW_BYTES):
            yield row
        if number % 10 == 9:
            yield needle

    run = _run(user, count, rows)
    print(f"search, {megabytes:,} MB in {count} outputs | first hit s, CPU s | all s, CPU s | MB/s of CPU")
    for name, pattern in {
        "text": search.compiled("needle"),
        "text, case": search.compiled("needle", is_case=True),
        "expression": search.compiled(r"n(ee|oo)dle\s+in", is_regex=True),
        "slow elsewhere": search.compiled(r"(o+)+needle", is_regex=True),
        "in the last line alone": search.compiled("not to be found"),
    }.items():
        began, used = time.perf_counter(), time.process_time()
        first, start = "-", 0
        while start is not None:
            part = search.search(run.invocations.all(), pattern, start=start)
            if part.found and first == "-":
                first = f"{time.perf_counter() - began:.2f}, {time.process_time() - used:.2f}"
            start = part.following
        took, cpu = time.perf_counter() - began, time.process_time() - used
        print(f"    {name} | {first} | {took:.2f}, {cpu:.2f} | {megabytes / cpu:.0f}", flush=True)
    _timed("combined, the last page, of that", lambda: combined.page(run.invocations.all()))


def _same(_: int) -> bytes:
    return _line(0) * 100


def _three(number: int) -> bytes:
    return _line(number % 3) * 100


def _distinct(number: int) -> bytes:
    return _line(number) * 100


def _line(number: int) -> bytes:
    when, name = f"Nov 21 17:09:{number % 60:02}", f"node-{number:05}"
    return f"{when} {name} program[77]: something of it is {number:08} and fine\n".encode().rjust(100)


def _run(user: User, count: int, rows: Callable[[int], object]) -> Run:
    now = timezone.now()
    with transaction.atomic():
        run = Run.objects.create(
            actor=user, actor_name="benchmark", command="true", request_key=f"{Run.objects.count()}", target_count=count
        )
        for start in range(0, count, BATCH):
            made = []
            for number in range(start, min(count, start + BATCH)):
                made.append(_invocation(run, number, now))
            Invocation.objects.bulk_create(made)
            for invocation in made:
                _fill(invocation, rows(invocation.ordinal), now)
            columns = ["size", "stdout_bytes", "sha256", "stdout_sha256", "stderr_sha256"]
            Invocation.objects.bulk_update(made, columns, batch_size=100)
        queue.refresh_counts(run)
    return run


def _invocation(run: Run, number: int, now: object) -> Invocation:
    return Invocation(
        run=run,
        ordinal=number,
        instance_name=f"node-{number:05}",
        address=f"10.0.{number >> 8}.{number & 255}:22",
        status="succeeded",
        exit_status=0,
        started_at=now,
        finished_at=now + timedelta(seconds=1),
    )


def _fill(invocation: Invocation, rows: object, now: object) -> None:
    digest, offset, made = hashlib.sha256(), 0, []
    for data in rows:
        at = now + timedelta(microseconds=offset)
        made.append(
            Output(invocation=invocation, offset=offset, kind=OutputKind.STDOUT, stream_offset=offset, data=data, at=at)
        )
        offset += len(data)
        digest.update(data)
    Output.objects.bulk_create(made, batch_size=50)
    invocation.size = invocation.stdout_bytes = offset
    invocation.sha256 = invocation.stdout_sha256 = digest.hexdigest()
    invocation.stderr_sha256 = hashlib.sha256().hexdigest()


def _timed(name: str, call: Callable[[], object]) -> None:
    began, used = time.perf_counter(), time.process_time()
    call()
    print(f"    {name} | {time.perf_counter() - began:.2f} | {time.process_time() - used:.2f}", flush=True)


if __name__ == "__main__":
    main()
