import asyncio
import os
import subprocess
import uuid

import pytest
from django.utils import timezone

from console.runs import queue, stopping
from console.runs.models import WorkerLease
from console.runs.status import Status
from console.worker import aftercare
from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.engine.local import LocalTransport
from instances.engine.pool import Pool
from tests.support import factories
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lost():
    """A lost invocation on the console's own machine, and the marker its processes carry."""
    instance = factories.InstanceFactory(address="localhost", is_local=True)
    run = send(instances=[instance])
    marker = uuid.uuid4()
    run.invocations.update(status="lost", reason="console_restarted", marker=marker, finished_at=timezone.now())
    queue.refresh_counts(run)
    return run


@pytest.fixture
def left_running(lost):
    """A process on the instance that belongs to the lost invocation."""
    marker = str(lost.invocations.get().marker)
    process = subprocess.Popen(["sleep", "300"], env={**os.environ, "MUSTER_INVOCATION": marker})
    yield process
    process.kill()
    process.wait()


async def look_after():
    async def in_database(call, *args, **kwargs):
        return await asyncio.to_thread(lambda: call(*args, **kwargs))

    pool = Pool(lambda target: LocalTransport())
    worker = await asyncio.to_thread(enlisted_worker)
    async with asyncio.TaskGroup() as tasks:
        await aftercare.start_rechecks(tasks, pool, in_database, worker)
    await pool.close()


def outcome(run):
    row = run.invocations.get()
    return row.status, row.reason


def test_check_again_finds_what_still_runs_and_leaves_it_alone(lost, left_running):
    stopping.recheck(lost.actor, run=lost)
    asyncio.run(look_after())
    assert outcome(lost) == ("lost", "still_running")
    assert str(left_running.pid) in lost.invocations.get().message
    assert left_running.poll() is None


def test_stop_what_is_left_ends_it_and_says_stopped_only_then(lost, left_running):
    stopping.recheck(lost.actor, run=lost, stop=True)
    asyncio.run(look_after())
    assert outcome(lost) == ("stopped", "stopped_later")
    assert left_running.wait() == -15


def test_when_nothing_is_left_the_outcome_stays_unknown_and_says_so(lost):
    stopping.recheck(lost.actor, run=lost, stop=True)
    asyncio.run(look_after())
    assert outcome(lost) == ("lost", "ended_unseen")


def test_a_look_that_breaks_is_told_and_breaks_nothing_else(lost, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(aftercare, "tree_of", broken)
    stopping.recheck(lost.actor, run=lost)
    asyncio.run(look_after())
    assert outcome(lost) == ("lost", "engine")
    assert "the console made an error" in lost.invocations.get().message


def test_asking_is_done_once(lost):
    stopping.recheck(lost.actor, run=lost)
    first, second = enlisted_worker(), enlisted_worker()
    assert len(queue.take_rechecks(first, limit=10)) == 1
    assert queue.take_rechecks(first, limit=10) == queue.take_rechecks(second, limit=10) == []


def test_what_a_worker_was_asked_and_died_over_another_takes_up(lost):
    stopping.recheck(lost.actor, run=lost)
    first, second = enlisted_worker(), enlisted_worker()
    (asked,) = queue.take_rechecks(first, limit=10)
    WorkerLease.objects.filter(pk=first).delete()
    assert queue.take_rechecks(second, limit=10) == [asked]
    found = {"status": Status.LOST, "reason": "ended_unseen", "message": ""}
    assert not queue.resolve_lost(first, asked, **found)
    assert queue.resolve_lost(second, asked, **found)
    row = lost.invocations.get()
    assert (row.reason, row.recheck, row.owner) == ("ended_unseen", "", None)


def test_a_stop_asked_for_during_a_look_is_not_answered_by_the_look(lost):
    stopping.recheck(lost.actor, run=lost)
    worker = enlisted_worker()
    (look,) = queue.take_rechecks(worker, limit=10)
    stopping.recheck(lost.actor, run=lost, stop=True)
    (stop,) = queue.take_rechecks(worker, limit=10)
    assert stop.recheck == "stop"
    assert not queue.resolve_lost(worker, look, status=Status.LOST, reason="still_running", message="")
    assert queue.resolve_lost(worker, stop, status=Status.STOPPED, reason="stopped_later", message="")


def test_only_lost_ones_are_looked_after(lost):
    lost.invocations.update(status="succeeded")
    assert stopping.recheck(lost.actor, run=lost) == 0


def test_a_viewer_may_not_ask(lost):
    with pytest.raises(NotAllowed):
        stopping.recheck(factories.UserFactory(role=Role.VIEWER), run=lost, stop=True)
