"""Thousands of instances and runs for tests, as rows made straight in a console's database."""

import json

from tests.support.console import Console

NAME = "node-{:05}"
_INSTANCES = """
import json
from instances.access.models import Group
from instances.inventory.models import Instance, Reach, Tag
given = json.loads({given!r})
group, _ = Group.objects.get_or_create(name="west")
rows = [
    Instance(
        name={name!r}.format(number),
        address="localhost" if given["local_every"] and number % given["local_every"] == 0
        else f"10.{{number >> 16}}.{{number >> 8 & 255}}.{{number & 255}}",
        is_local=bool(given["local_every"]) and number % given["local_every"] == 0,
        os="windows" if given["windows_every"] and number % given["windows_every"] == 1 else "linux",
        reach=Reach.UNREACHABLE if number % 10 == 1 else Reach.REACHABLE,
        group=group if number % 4 == 0 else None,
    )
    for number in range(1, given["count"] + 1)
]
Instance.objects.bulk_create(rows, batch_size=500)
Tag.objects.bulk_create(
    [
        Tag(instance=row, key=key, value=value)
        for number, row in enumerate(rows, 1)
        for key, value in (("env", ("prod", "stage", "dev")[number % 3]), ("role", f"role-{{number % 20:02}}"),
                           ("rack", f"r{{number // 40}}"))
    ],
    batch_size=300,
)
"""


def add_instances(console: Console, count: int, *, local_every: int = 0, windows_every: int = 0) -> None:
    """Add ``node-00001`` and so on: every ``local_every``-th is the console's own machine, the others have no
    credential (which is told without dialling); every ``windows_every``-th is a Windows instance."""
    given = json.dumps({"count": count, "local_every": local_every, "windows_every": windows_every})
    console.manage("shell", "-v", "0", "-c", _INSTANCES.format(given=given, name=NAME))


_RUN = """
import hashlib, json
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from console.members.models import User
from console.runs import queue
from console.runs.models import Invocation, Output, OutputKind, Run
from instances.inventory.models import Instance
given = json.loads({given!r})
began = timezone.now() - timedelta(minutes=5)
STATUSES = [("succeeded", 0)] * 17 + [("failed", 3)] * 2 + [("unreachable", None)]
with transaction.atomic():
    run = Run.objects.create(
        actor=User.objects.get(username="admin"), actor_name="admin", command="echo hello", request_key=given["key"],
        command_sha256=hashlib.sha256(b"echo hello").hexdigest(), target_count=given["count"], revision=1,
    )
    rows = []
    for ordinal, instance in enumerate(Instance.objects.order_by("name")[: given["count"]]):
        status, exit_status = STATUSES[ordinal % len(STATUSES)]
        ran = exit_status is not None
        output = f"hello from {{instance.name}}\\n".encode() if ran else b""
        rows.append(Invocation(
            run=run, ordinal=ordinal, instance=instance, instance_name=instance.name, address=instance.address,
            status=status, exit_status=exit_status, revision=1, started_at=began if ran else None,
            finished_at=began + timedelta(seconds=ordinal % 90), size=len(output), stdout_bytes=len(output),
            sha256=hashlib.sha256(output).hexdigest(), last_line=output.decode().strip(),
            message="" if ran else "This instance has no credential. The command did not run.",
        ))
    rows = Invocation.objects.bulk_create(rows, batch_size=500)
    Output.objects.bulk_create([
        Output(invocation=row, offset=0, kind=OutputKind.STDOUT, stream_offset=0, at=began,
               data=f"hello from {{row.instance_name}}\\n".encode())
        for row in rows if row.size
    ], batch_size=500)
    queue.refresh_counts(run)
print(run.pk)
"""


def add_ended_run(console: Console, count: int, *, key: str) -> int:
    """Add a run that has ended on the first ``count`` instances; return its id.

    By ordinal: of every twenty, seventeen succeeded, two failed with 3, the last was unreachable.
    """
    given = json.dumps({"count": count, "key": key})
    return int(console.manage("shell", "-v", "0", "-c", _RUN.format(given=given)))
