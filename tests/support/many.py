"""Thousands of instances and runs, as rows made straight in the database: here, or in a console's through its shell."""

import hashlib
import itertools
import uuid
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from console.members.models import User
from console.runs import queue
from console.runs.models import Invocation, Output, OutputKind, Run
from instances.access.models import Group
from instances.inventory.models import Instance, Reach, Tag
from tests.support.console import Console

BATCH = 500
ENDS = [("succeeded", 0)] * 17 + [("failed", 3)] * 2 + [("unreachable", None)]


def in_console(console: Console, call: str) -> str:
    """Call one of these functions in a console's database; return what it came to, as text."""
    return console.shell(f"from tests.support import many; print(many.{call})").strip()


def add_instances(count: int, *, local_every: int = 0, windows_every: int = 0) -> int:
    """Add ``node-00001`` and so on, a quarter of them in the group west, with the tags env, role and rack.

    Every ``local_every``-th is the console's own machine; the others have no credential, which is told without
    dialling. Every ``windows_every``-th is a Windows instance.
    """
    west, _ = Group.objects.get_or_create(name="west")
    rows = [_instance(number, local_every, windows_every, west) for number in range(1, count + 1)]
    with transaction.atomic():
        Instance.objects.bulk_create(rows, batch_size=BATCH)
        Tag.objects.bulk_create(itertools.chain.from_iterable(map(_tags, rows, range(1, count + 1))), batch_size=BATCH)
    return count


def _instance(number: int, local_every: int, windows_every: int, west: Group) -> Instance:
    is_local = bool(local_every) and number % local_every == 0
    return Instance(
        name=f"node-{number:05}",
        address="localhost" if is_local else f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        is_local=is_local,
        os="windows" if windows_every and number % windows_every == 1 else "linux",
        reach=Reach.UNREACHABLE if number % 10 == 1 else Reach.REACHABLE,
        group=west if number % 4 == 0 else None,
    )


def _tags(instance: Instance, number: int) -> list[Tag]:
    tags = {"env": ("prod", "stage", "dev")[number % 3], "role": f"role-{number % 20:02}", "rack": f"r{number // 40}"}
    return [Tag(instance=instance, key=key, value=value) for key, value in tags.items()]


def add_ended_run(count: int, *, lines: int = 1) -> int:
    """Add a run that has ended on the first ``count`` instances; return its id.

    Of every twenty, seventeen succeeded, two failed with 3, and the last was unreachable. ``lines``: of 100 bytes each,
    with a time and the instance's name, no two outputs the same; one is a greeting.
    """
    began = timezone.now() - timedelta(minutes=5)
    with transaction.atomic():
        run = Run.objects.create(
            actor=User.objects.order_by("pk").first(),
            actor_name="admin",
            command="echo hello",
            command_sha256=hashlib.sha256(b"echo hello").hexdigest(),
            request_key=f"many-{uuid.uuid4()}",
            target_count=count,
            revision=1,
        )
        instances = Instance.objects.order_by("name")[:count]
        rows = [_ended(run, ordinal, instance, began, lines) for ordinal, instance in enumerate(instances)]
        Invocation.objects.bulk_create(rows, batch_size=BATCH)
        Output.objects.bulk_create((_output(row, began, lines) for row in rows if row.size), batch_size=BATCH)
        queue.refresh_counts(run)
    return run.pk


def _ended(run, ordinal, instance, began, lines) -> Invocation:
    status, exit_status = ENDS[ordinal % len(ENDS)]
    ran = exit_status is not None
    output = _text(instance.name, lines) if ran else b""
    return Invocation(
        run=run,
        ordinal=ordinal,
        instance=instance,
        instance_name=instance.name,
        address=f"{instance.address}:{instance.port}",
        status=status,
        exit_status=exit_status,
        message="" if ran else "This instance has no credential. The command did not run.",
        started_at=began if ran else None,
        finished_at=began + timedelta(seconds=ordinal % 90),
        size=len(output),
        stdout_bytes=len(output),
        sha256=hashlib.sha256(output).hexdigest(),
        last_line=output.decode().strip().rpartition("\n")[2],
        revision=1,
    )


def _output(row: Invocation, at, lines: int) -> Output:
    data = _text(row.instance_name, lines)
    return Output(invocation=row, offset=0, kind=OutputKind.STDOUT, stream_offset=0, data=data, at=at)


def _text(name: str, lines: int) -> bytes:
    if lines == 1:
        return f"hello from {name}\n".encode()
    number = int(name.rpartition("-")[2])
    line = f"Nov 21 17:09:{number % 60:02} {name} program[77]: something of it is {number:08} and fine"
    return f"{line:<99}\n".encode() * lines
