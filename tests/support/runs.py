"""Makes runs the way the product does: through the service."""

import itertools
import uuid
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from console.runs import queue, services
from console.runs.journal import Journal
from console.runs.lease_file import LeaseFile
from console.runs.models import OutputKind, Run, WorkerLease
from console.runs.status import Status
from console.worker import writer
from instances.access.models import Role
from tests.support import factories

HOUR_NS = 3600 * 10**9
_keys = itertools.count()


def send(count=1, *, actor=None, command="true", instances=None, **options) -> Run:
    """Send a command to ``count`` new instances, or to those given, as an operator."""
    actor = actor or factories.UserFactory(role=Role.OPERATOR)
    instances = instances if instances is not None else factories.InstanceFactory.create_batch(count)
    return services.send_command(
        actor,
        instances=instances,
        command=command,
        request_key=f"key-{next(_keys)}",
        options=services.Options(**options),
        confirmed_count=len(instances),
    )


def ended_run(count=1, *, output=b"hello\n", days_ago=0, **options) -> Run:
    """Return a run on ``count`` instances that has succeeded with this output on each, so long ago; at most 1,000."""
    run = send(count, max_concurrency=1000, **options)
    worker = enlisted_worker()
    journals = [journal_of(claim) for claim in queue.claim(worker, slots=count, run_id=run.pk)]
    # A worker left alive would be waited for.
    queue.discharge(worker)
    for journal in journals:
        journal.set(Status.RUNNING, started_at=timezone.now())
        journal.write(OutputKind.STDOUT, output)
        journal.finish(Status.SUCCEEDED, at=timezone.now(), exit_status=0)
    assert len(writer.commit([(journal, journal.take()) for journal in journals])) == count
    then = timezone.now() - timedelta(days=days_ago)
    Run.objects.filter(pk=run.pk).update(created_at=then, finished_at=then)
    run.refresh_from_db()
    return run


def enlisted_worker() -> uuid.UUID:
    """Return the id of a worker with a live lease; its lock is taken by this process until the test ends."""
    worker = uuid.uuid4()
    _locks.append(LeaseFile(worker))
    queue.enlist(worker)
    # Nobody renews it, and a busy machine may take longer than it lasts.
    WorkerLease.objects.filter(pk=worker).update(expires_ns=F("expires_ns") + HOUR_NS)
    return worker


_locks: list[LeaseFile] = []


def journal_of(claim: queue.Claim, cap_bytes=64 * 1024 * 1024) -> Journal:
    """Return a journal for a claim, not connected to any writer."""
    return Journal(
        invocation_id=claim.invocation_id,
        run_id=claim.run_id,
        fence=claim.fence,
        cap_bytes=cap_bytes,
        changed=lambda _journal, _more: None,
    )


def run_with(*outputs: tuple[bytes, bytes, int], cap_bytes=64 * 1024 * 1024, **options) -> Run:
    """Return a run that has ended: for each instance its stdout, stderr and exit status, as the product stores them."""
    run = send(len(outputs), max_concurrency=1000, **options)
    worker = enlisted_worker()
    journals = [journal_of(claim, cap_bytes) for claim in queue.claim(worker, slots=len(outputs), run_id=run.pk)]
    queue.discharge(worker)
    for journal, (stdout, stderr, exit_status) in zip(journals, outputs, strict=True):
        journal.set(Status.RUNNING, started_at=timezone.now())
        # In turns, so that the order of arrival is another than that of the streams.
        for kind, data in (
            (OutputKind.STDOUT, stdout[:2]),
            (OutputKind.STDERR, stderr),
            (OutputKind.STDOUT, stdout[2:]),
        ):
            for start in range(0, len(data), 65536):
                journal.write(kind, data[start : start + 65536])
        status = Status.FAILED if exit_status else Status.SUCCEEDED
        journal.finish(status, at=timezone.now(), exit_status=exit_status)
    assert len(writer.commit([(journal, journal.take()) for journal in journals])) == len(outputs)
    run.refresh_from_db()
    return run


def ended_with(outputs, **options) -> Run:
    """Return an ended run with one instance (web-01 and so on, or ``instances``) for each output.

    An output is bytes of stdout, or a list of (kind, bytes) in their order; with (output, exit status) it failed.
    """
    names = [f"web-{number:02}" for number in range(1, len(outputs) + 1)]
    made = options.pop("instances", None) or [factories.InstanceFactory(name=name) for name in names]
    run = send(instances=made, max_concurrency=1000, **options)
    worker = enlisted_worker()
    journals = [journal_of(claim) for claim in queue.claim(worker, slots=len(outputs), run_id=run.pk)]
    queue.discharge(worker)
    for journal, given in zip(journals, outputs, strict=True):
        _end(journal, given)
    assert len(writer.commit([(journal, journal.take()) for journal in journals])) == len(outputs)
    run.refresh_from_db()
    return run


def _end(journal: Journal, given) -> None:
    pieces, exit_status = given if isinstance(given, tuple) else (given, 0)
    if isinstance(pieces, bytes):
        pieces = [(OutputKind.STDOUT, pieces)]
    journal.set(Status.RUNNING, started_at=timezone.now())
    for kind, data in pieces:
        journal.write(kind, data)
    status = Status.FAILED if exit_status else Status.SUCCEEDED
    journal.finish(status, at=timezone.now(), exit_status=exit_status)
