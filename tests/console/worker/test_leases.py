"""Workers know each other's death by leases in the database; one that nobody can write to is no sign of it."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from channels.db import database_sync_to_async
from django.db import connection

from console.runs import queue
from console.runs.journal import Journal
from console.runs.models import Invocation, WorkerLease
from console.worker import worker as module
from console.worker import writer
from console.worker.preparation import Refusal
from console.worker.worker import Worker
from tests.support.runs import enlisted_worker, send
from tests.support.until import WITHIN_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.sqlite]
# Far from each other: what is to happen within a lease does so on a busy machine.
LEASE_S, RENEW_S, HELD_S = 8.0, 0.5, 9.0


def hold(path):
    """Keep everybody from writing for longer than a lease, as a backup does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(HELD_S)
        database.execute("ROLLBACK")


@database_sync_to_async
def leases():
    return dict(WorkerLease.objects.values_list("pk", "expires_ns"))


async def renewed(workers):
    """Wait until each of them has renewed its lease."""
    before = await leases()
    async with asyncio.timeout(WITHIN_S):
        while True:
            now = await leases()
            if now.keys() == {worker.id for worker in workers} and all(now[pk] > before.get(pk, 0) for pk in now):
                return
            await asyncio.sleep(0.1)


def test_a_database_that_is_held_for_longer_than_a_lease_makes_nobody_dead(monkeypatch, caplog):
    monkeypatch.setattr(queue, "LEASE_S", LEASE_S)
    monkeypatch.setattr(queue, "RENEW_S", RENEW_S)
    monkeypatch.setattr(module, "REAP_EVERY_S", 0.0)
    path = connection.settings_dict["NAME"]

    async def work():
        workers = Worker(), Worker()
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.run())
            await renewed(workers)
            await asyncio.to_thread(hold, path)
            # Each has looked for dead ones since.
            for _ in range(4):
                await renewed(workers)
            for worker in workers:
                worker.drain()

    asyncio.run(work())
    assert "taken for dead" not in caplog.text


def test_who_renews_while_another_waits_to_end_it_is_not_dead():
    me, other = enlisted_worker(), enlisted_worker()
    send()
    (claim,) = queue.claim(other, slots=1)
    WorkerLease.objects.filter(pk=other).update(expires_ns=0)

    def renew_first(execute, sql, params, many, context):
        if sql.startswith("BEGIN"):
            WorkerLease.objects.filter(pk=other).update(expires_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**11)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(renew_first):
        assert queue.reap(me) == queue.LeftBehind()
    assert queue.renew(other)
    assert Invocation.objects.get(pk=claim.invocation_id).owner == other


async def test_after_a_pause_of_the_whole_machine_the_others_may_renew_first(monkeypatch):
    """A pause as long as a lease ends them all: whoever wakes first must not take the others for dead."""
    monkeypatch.setattr(queue, "RENEW_S", 0.001)
    monkeypatch.setattr(module, "REAP_EVERY_S", 0.0)
    # Asked twice each time: before and after it has renewed.
    times = iter([0.0, 5.0, 5.0, 10.0, 10.0, 26.0, 26.0, 31.0, 31.0])
    monkeypatch.setattr(queue, "lease_clock_s", lambda: next(times))
    worker, reaped, renewals = Worker(), [], 0

    async def in_database(call, *args):
        nonlocal renewals
        renewals += call is queue.renew
        if call is module._reap:
            reaped.append(renewals)
        return True

    worker._in_database = in_database
    with pytest.raises(RuntimeError, match="StopIteration"):
        await worker._keep_lease()
    assert reaped == [1, 2, 4]


async def test_a_worker_that_takes_an_invocation_again_holds_it_until_the_second_is_over(monkeypatch):
    """It was taken for dead while it still connected, and what it held was queued again."""
    worker = Worker()
    held = []

    async def invoke(claim, journal, order):
        held.append(journal)

    monkeypatch.setattr(worker, "_invoke", invoke)
    async with asyncio.TaskGroup() as tasks:
        for fence in (1, 2):
            worker._hold(queue.Claim(7, 1, None, fence, attempt=fence), Refusal("skipped", "", ""), tasks)
    first, second = held
    # Nothing may be started by the first any more.
    assert (first.is_fenced_out, second.is_fenced_out) == (True, False)
    worker._let_go(first)
    assert (worker._journals, list(worker._stops), worker._idle.is_set()) == ({7: second}, [7], False)
    worker._let_go(second)
    assert (worker._journals, list(worker._stops), worker._idle.is_set()) == ({}, [], True)


async def test_of_an_invocation_that_is_held_twice_nothing_is_left_uncommitted(monkeypatch):
    committed = []
    monkeypatch.setattr(writer, "commit", lambda taken: committed.extend(e.fence for _, e in taken) or {7})
    with ThreadPoolExecutor(1) as thread:
        writing = writer.Writer(thread)
        journals = [
            Journal(invocation_id=7, run_id=1, fence=fence, cap_bytes=1, changed=writing.changed) for fence in (2, 1)
        ]
        task = asyncio.get_running_loop().create_task(writing.run())
        for journal in journals:
            journal.set(start_sent_at=1)
        await writing.flush(journals[0])
        task.cancel()
    assert committed == [2, 1]
