"""A million invocations, and how long the pages of the history take over them, on SQLite or PostgreSQL."""

import argparse
import itertools
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
INSTANCES, GROUPS, USERS, SAVED = 10_000, 100, 40, 60
LARGE = 5_000
BATCH = 5_000
# Sizes of runs and how many of 1,000 runs have them: most are on one or a few, a few on everything.
SIZES = ((1, 550), (5, 250), (40, 150), (200, 40), (1_000, 9), (LARGE, 1))
VERBS = (
    "systemctl status",
    "df -h",
    "apt-get install -y",
    "journalctl -u",
    "ls -l",
    "curl -fsS http://localhost/",
    "tar xf",
)
THINGS = ("nginx", "postgresql", "redis", "backup", "cron", "ssh", "docker", "/srv/app", "/var/log", "kernel")
ENDS = (
    (("succeeded", "", 0), 920),
    (("failed", "exit_status", 1), 40),
    (("failed", "exit_status", 2), 10),
    (("failed", "exit_status", 77), 1),
    (("unreachable", "connect_timeout", None), 15),
    (("unreachable", "auth_failed", None), 6),
    (("timed_out", "time_limit", None), 6),
    (("lost", "connection_lost", None), 2),
)
LIMIT_MS, LIMIT_QUERIES = 300, 15


def main() -> None:
    """Fill a database, or take one that was filled before, and print what each page costs."""
    options = _options()
    folder = Path(options.keep or tempfile.mkdtemp(prefix="muster-history-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"MUSTER_DATA": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "console.settings"}
    (folder / "data").mkdir(exist_ok=True)
    cluster = start_postgres(folder) if options.database == "postgresql" else None
    try:
        _measure_all(options)
    finally:
        if cluster is not None:
            cluster.stop()
        if not options.keep:
            shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--invocations", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=50, help="Requests of each page.")
    parser.add_argument("--keep", metavar="FOLDER", help="Fill the database there, or measure the one that is there.")
    parser.add_argument("--quick", action="store_true", help="20,000 invocations, 3 requests.")
    parser.add_argument("--only", default="", help="Pages whose name holds this.")
    options = parser.parse_args()
    if options.quick:
        options.invocations, options.requests = 20_000, 3
    return options


def start_postgres(folder: Path) -> Any:
    """Start a server of the size of this machine in a folder, and have the settings name it; stop it afterwards."""
    from tests.support.postgres import Cluster

    folder.chmod(0o755)
    place = folder / "postgresql"
    place.mkdir(exist_ok=True)
    # As Debian sets it up, but for the memory a machine of this size would give it.
    cluster = Cluster(place, "-c fsync=on -c shared_buffers=256MB")
    cluster.start()
    os.environ["DATABASE_URL"] = cluster.url
    return cluster


def _measure_all(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.urls import get_resolver

    # Nothing else of a test's environment: it keeps a copy of what every template was given.
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    # As the web process does.
    from console.collector import spare_the_collector

    assert get_resolver().url_patterns
    spare_the_collector()
    from console.runs.models import Invocation

    if not Invocation.objects.exists():
        started = time.monotonic()
        Filling(options.invocations).fill()
        print(f"filled in {time.monotonic() - started:.0f} s")
    print(f"{Invocation.objects.count():,} invocations, {options.database}, {options.requests} requests of each\n")
    Pages(options.requests, options.only).measure()


class Filling:
    """Writes the rows; every column that is not named has its default."""

    def __init__(self, invocations: int) -> None:
        from django.utils import timezone

        self._wanted = invocations
        self._random = random.Random(4)
        self._now = timezone.now()
        self._key = itertools.count()
        # Not asked for afterwards: while rows are copied in, the connection answers nothing else.
        self._with_output: list[tuple[int, Any]] = []

    def fill(self) -> None:
        """Fill an empty database."""
        from django.db import connection, transaction

        from console.runs.models import Invocation, Output, Run

        self._people_and_instances()
        with transaction.atomic():
            sizes = list(self._sizes())
            started = [self._now - timedelta(days=90) * (1 - place / len(sizes)) for place in range(len(sizes))]
            self._insert(Run, self._runs(sizes, started))
            self._insert(Invocation, self._invocations(sizes, started))
            self._insert(Output, self._outputs())
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                for model in (Run, Invocation, Output):
                    table = model._meta.db_table
                    cursor.execute(
                        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                        if model is not Output
                        else "SELECT 1"
                    )
                # As autovacuum does within minutes.
                cursor.execute("VACUUM ANALYZE")
            else:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _people_and_instances(self) -> None:
        from console.members.models import User
        from console.saved_commands.models import SavedCommand, SavedCommandVersion
        from instances.access.models import Grant, Group, Role
        from instances.inventory.models import Instance, Tag

        groups = Group.objects.bulk_create([Group(name=f"group-{number:02}") for number in range(GROUPS)])
        users = User.objects.bulk_create([User(username=f"user-{number:02}") for number in range(USERS)])
        Grant.objects.create(user=users[0], role=Role.ADMINISTRATOR)
        Grant.objects.create(user=users[1], role=Role.VIEWER, group=groups[1])
        Grant.objects.create(user=users[2], role=Role.VIEWER, group=groups[0])
        # The first group has a third of them, so that somebody restricted sees a large part.
        instances = Instance.objects.bulk_create(
            Instance(
                name=f"host-{number:05}",
                address=f"10.{number >> 8}.{number & 255}.1",
                group=groups[0 if number % 3 == 0 else number % GROUPS],
            )
            for number in range(INSTANCES)
        )
        Tag.objects.bulk_create(
            Tag(instance=instance, key=key, value=value)
            for number, instance in enumerate(instances)
            for key, value in (("role", ("web", "db", "cache", "ci", "edge")[number % 5]), ("rack", f"r{number % 500}"))
        )
        self._instances = [(instance.pk, instance.name, instance.address) for instance in instances]
        self._users = [(user.pk, user.username) for user in users]
        saved = SavedCommand.objects.bulk_create([SavedCommand(name=f"saved-{number:02}") for number in range(SAVED)])
        versions = SavedCommandVersion.objects.bulk_create(
            [SavedCommandVersion(saved=one, number=1, text="true") for one in saved]
        )
        self._versions = [version.pk for version in versions]

    def _sizes(self) -> Iterator[int]:
        left = self._wanted
        yield min(left, LARGE)
        left -= min(left, LARGE)
        while left:
            (most,) = self._random.choices([size for size, _ in SIZES], [weight for _, weight in SIZES])
            size = min(left, self._random.randint(max(1, most // 5), most))
            left -= size
            yield size

    def _runs(self, sizes: list[int], started: list[Any]) -> Iterator[dict[str, Any]]:
        for number, (size, at) in enumerate(zip(sizes, started, strict=True), start=1):
            user, name = self._users[self._random.randrange(USERS)] if number % 50 else self._users[-1]
            failed = self._random.random() < 0.2
            yield {
                "id": number, "actor_id": user, "actor_name": name, "created_at": at,
                "finished_at": at + timedelta(seconds=9),
                "command": f"{self._random.choice(VERBS)} {self._random.choice(THINGS)}-{self._random.randrange(5000)}",
                "command_sha256": f"{number:064x}", "request_key": str(number), "target_count": size,
                "status": "partial" if failed and size > 1 else "failed" if failed else "succeeded",
                "counts": {"failed": 1, "succeeded": size - 1} if failed else {"succeeded": size},
                "saved_version_id": self._random.choice(self._versions) if number % 5 < 2 else None,
            }  # fmt: skip

    def _invocations(self, sizes: list[int], started: list[Any]) -> Iterator[dict[str, Any]]:
        ends, weights = [end for end, _ in ENDS], [weight for _, weight in ENDS]
        for run, (size, at) in enumerate(zip(sizes, started, strict=True), start=1):
            outcomes = self._random.choices(ends, weights, k=size)
            for ordinal, place in enumerate(self._random.sample(range(INSTANCES), size)):
                instance, name, address = self._instances[place]
                status, reason, exit_status = outcomes[ordinal]
                pk = next(self._key) + 1
                has_output = exit_status is not None
                if has_output:
                    self._with_output.append((pk, at))
                yield {
                    "id": pk, "run_id": run, "ordinal": ordinal, "instance_id": instance, "instance_name": name,
                    "address": address, "status": status, "reason": reason, "exit_status": exit_status,
                    "started_at": at, "finished_at": at + timedelta(seconds=3), "fence": 1, "revision": 4,
                    "size": len(self._output(pk)) if has_output else 0,
                    "stdout_bytes": len(self._output(pk)) if has_output else 0,
                }  # fmt: skip

    def _outputs(self) -> Iterator[dict[str, Any]]:
        for pk, at in self._with_output:
            yield {"invocation_id": pk, "offset": 0, "kind": 1, "stream_offset": 0, "data": self._output(pk), "at": at}

    def _output(self, pk: int) -> bytes:
        # Every tenth says something of its own; a needle for the search is in one of 50,000.
        needle = "needle in this one\n" if pk % 50_000 == 7 else ""
        own = f"worker {pk} took {pk % 977} ms\n" if pk % 10 == 0 else ""
        return f"{THINGS[pk % 10]} is active (running)\nloaded: enabled\n{own}{needle}".encode()

    def _insert(self, model: Any, rows: Iterator[dict[str, Any]]) -> None:
        from django.db import connection

        fields = [field for field in model._meta.concrete_fields if field.column]
        prepared = {field.column: field.get_db_prep_save(field.get_default(), connection) for field in fields}
        prepare = {field.column: field.get_db_prep_save for field in fields}
        names = ", ".join(f'"{field.column}"' for field in fields)
        table = model._meta.db_table
        values = (
            [prepare[name](row[name], connection) if name in row else default for name, default in prepared.items()]
            for row in rows
        )
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in values:
                        copy.write_row(row)
                return
            marks = ", ".join(["%s"] * len(fields))
            while batch := list(itertools.islice(values, BATCH)):
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", batch)


class Pages:
    """Asks for each page as each person, through the real views."""

    def __init__(self, requests: int, only: str) -> None:
        self._requests, self._only = requests, only

    def measure(self) -> None:
        """Print a table; a cell over its limit is marked."""
        from django.test import Client

        print("| page | person | p50 ms | p95 ms | CPU p50 ms | CPU p95 ms | queries | |")
        print("|---|---|---|---|---|---|---|---|")
        people = {"administrator": "user-00", "viewer of 67": "user-01", "viewer of 3,334": "user-02"}
        for person, name in people.items():
            from console.members.models import User

            client = Client()
            client.force_login(User.objects.get(username=name))
            client.get("/runs/?all=1")
            for page, path in self._pages(person):
                if self._only in page:
                    self._line(client, person, page, path)

    def _pages(self, person: str) -> Iterator[tuple[str, str]]:
        from console.runs.models import Invocation, Run

        top = Run.objects.order_by("-pk").values_list("pk", flat=True)[0]
        day = Run.objects.get(pk=top // 2).created_at.date()
        queries = {
            "first page": "all=1", "deep page": f"before={top // 10}", "oldest page": "after=0",
            "text, common": "text=nginx", "text, rare": "text=redis-4711", "text, absent": "text=no+such+command",
            "state": "state=failed", "state, in progress": "state=in_progress", "user": "user=user-39",
            "instance": "instance=host-00001", "instances, a tenth": "instance=host-01",
            "instances, all": "instance=host",
            "week": f"since={day - timedelta(days=6)}&until={day}", "last 24 hours": "within=24h",
            "exit status 0": "exit_status=0", "exit status 1": "exit_status=1", "exit status 77": "exit_status=77",
            "reason": "reason=auth_failed", "saved command": "saved=saved-07", "tag, a fifth": "tag=role%3Ddb",
            "tag, 20": "tag=rack%3Dr17", "group": "group=group-01", "large group": "group=group-00",
            "text, state, user": "text=nginx&state=failed&user=user-03",
            "tag, exit status, week": f"tag=role%3Ddb&exit_status=1&since={day - timedelta(days=6)}&until={day}",
            "instance, reason": "instance=host-00003&reason=connect_timeout",
            "all but none": f"text=nginx&user=user-03&tag=role%3Ddb&exit_status=77&since={day}&until={day}",
        }  # fmt: skip
        for page, query in queries.items():
            yield page, f"/runs/?{query}"
        yield "run of 5,000", "/runs/1/"
        yield "run of 5,000, last page", "/runs/1/?page=100"
        yield "run of 5,000, failed", "/runs/1/?status=failed"
        group = {"administrator": "group-05", "viewer of 67": "group-01"}.get(person, "group-00")
        instance = Invocation.objects.filter(instance__group__name=group).values_list("instance_id", flat=True)[0]
        yield "instance's commands", f"/instances/{instance}/commands/"

    def _line(self, client: Any, person: str, page: str, path: str) -> None:
        from django.db import connection

        times, counts, busy = [], set(), []
        for _ in range(self._requests):
            asked: list[str] = []

            def note(execute: Any, sql: str, *rest: Any, asked: list[str] = asked) -> Any:
                asked.append(sql)
                return execute(sql, *rest)

            worked = processor_s()
            with connection.execute_wrapper(note):
                started = time.perf_counter()
                response = client.get(path)
                times.append(1000 * (time.perf_counter() - started))
            busy.append(1000 * (processor_s() - worked))
            assert response.status_code in (200, 404), (path, response.status_code)
            counts.add(len(asked))
        most, most_busy = (sorted(values)[max(0, int(0.95 * len(values)) - 1)] for values in (times, busy))
        over = "over" if most > LIMIT_MS or max(counts) > LIMIT_QUERIES else ""
        print(
            f"| {page} | {person} | {statistics.median(times):.0f} | {most:.0f} | {statistics.median(busy):.0f} "
            f"| {most_busy:.0f} | {max(counts)} | {over} |",
            flush=True,
        )


def processor_s() -> float:
    """Return the processor time used so far by this process and, with PostgreSQL, by what serves its connections.

    Of the workers that PostgreSQL starts for one statement it has nothing.
    """
    from django.db import connection

    if connection.vendor != "postgresql":
        return time.process_time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'muster'")
        backends = [row[0] for row in cursor.fetchall()]
    for pid in backends:
        # The pool ends some; what they had used stays counted.
        with suppress(FileNotFoundError):
            _used_ns[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return time.process_time() + sum(_used_ns.values()) / 1e9


_used_ns: dict[int, int] = {}


if __name__ == "__main__":
    main()
