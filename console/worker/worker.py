"""Owns one worker process: capacity, claims, stops, its lease, and the drain at the end."""

import asyncio
import functools
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, connection

from console import bus, databases
from console.runs import attempts, queue
from console.runs.invoke import Work, finish_unreachable, finish_unstarted, invoke
from console.runs.journal import Journal
from console.runs.lease_file import LeaseFile
from console.runs.left_waiting import skip_left_waiting
from console.runs.models import WorkerLease
from console.runs.prompts import Prompts
from console.runs.status import Status
from console.schedules import ticker
from console.sessions import queue as sessions_queue
from console.worker import aftercare, checks, preparation, reading, upkeep
from console.worker.deliveries import Deliveries
from console.worker.learnt import Learnt
from console.worker.notices import Notices
from console.worker.placements import Placements
from console.worker.preparation import Attempts, Order, Refusal
from console.worker.sessions import SHUT_DOWN, Sessions
from console.worker.writer import Writer
from instances.engine.errors import ConnectError
from instances.engine.local import LocalTransport
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.engine.transport import Transport
from instances.engine.types import StopCause, StopSignal, Target
from instances.inventory.targets import offered_with

logger = logging.getLogger(__name__)

# Invocations one worker holds at a time; a run's own max_concurrency is usually reached before.
CAPACITY = 1000
LOOK_AGAIN_S = 1.0
DRAIN_S = 30.0
REAP_EVERY_S = 5.0
RETRY_S = 1.0

Result = TypeVar("Result")


class Worker:
    """Claims invocations and runs them until told to drain.

    Sync database work happens in one thread, so that the worker's own commits do not wake it and SQLite sees one
    writer per worker. With ``run_id`` it works for that run alone: ``manage.py run`` does so while no console runs.
    """

    def __init__(self, *, capacity: int = CAPACITY, run_id: int | None = None, prompts: Prompts | None = None) -> None:
        self._prompts = prompts or Prompts()
        self.id = self._prompts.worker_id
        self._run_id = run_id
        self._capacity = capacity
        self._database = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._writer = Writer(self._database)
        self._pool = Pool(_transports())
        self._bell = bus.Bell(bus.WORKER, self.id.hex, self._database)
        self._learnt = Learnt()
        self._placements = Placements(self._pool, self._in_database)
        self._deliveries = Deliveries(self._pool, self._in_database)
        self._notices = Notices(self._in_database)
        self._sessions = Sessions(self.id, self._pool, self._in_database)
        self._stops: dict[int, StopSignal] = {}
        self._journals: dict[int, Journal] = {}
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Work until ``drain`` is called and everything held has ended. Raises: whatever broke a side task."""
        self._lease = LeaseFile(self.id, self._run_id)
        await self._in_database(queue.enlist, self.id, self._prompts.public_key)
        try:
            await self._in_database(_reap, self.id)
            async with self._bell.listening(), self._sessions.reachable(), asyncio.TaskGroup() as side:
                tasks = [side.create_task(work) for work in self._side_work(side)]
                async with asyncio.TaskGroup() as invocations:
                    await self._claim_for_ever(invocations)
                await self._sessions.close_all(*SHUT_DOWN)
                await self._writer.flush()
                await self._in_database(self._learnt.save)
                for task in tasks:
                    task.cancel()
        finally:
            await self._pool.close()
            await self._in_database(queue.discharge, self.id)
            await self._in_database(_close_connection)
            self._lease.release()
            self._database.shutdown()

    def _side_work(self, side: asyncio.TaskGroup) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._writer.run()
        yield self._keep_lease()
        yield self._watch_stops_and_checks(side)
        if self._run_id is None:
            yield upkeep.prune_daily(self._database)
            yield ticker.tick_until(self._draining, self._in_database)
            yield reading.read_for_ever(self._database)

    def drain(self) -> None:
        """Claim no more; what runs gets ``DRAIN_S`` to end, then it is stopped, verified."""
        self._draining.set()
        self._bell.ring_myself()

    async def _in_database(self, call: Callable[..., Result], *args: object, **kwargs: object) -> Result:
        """Run a short transaction in the database thread; again and again while the database is locked or full.

        What runs on instances must not end because somebody holds the database: it waits.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._database, functools.partial(call, *args, **kwargs))
            except OperationalError as error:
                logger.warning("The database did not answer (%s)", error, extra={"action": call.__name__})
                await loop.run_in_executor(self._database, databases.leave_broken_connection)
                await asyncio.sleep(RETRY_S)

    # ------------------------------------------------------------------ claims

    async def _claim_for_ever(self, invocations: asyncio.TaskGroup) -> None:
        while not self._draining.is_set():
            claimed = await self._claim(invocations)
            if not claimed:
                await self._bell.changed(within_s=LOOK_AGAIN_S)
        # At once: what nobody waits for needs no time to end, and pages are told while they still can be.
        self._sessions.close_unused()
        await self._wait_for_the_last()

    async def _claim(self, invocations: asyncio.TaskGroup) -> int:
        slots = self._capacity - len(self._journals)
        claims = await self._in_database(_claim, self.id, slots=slots, run_id=self._run_id)
        prepared = await self._in_database(preparation.prepare, claims, self._prompts)
        for claim, order in zip(claims, prepared, strict=True):
            self._hold(claim, order, invocations)
        return len(claims)

    def _hold(self, claim: queue.Claim, order: Order | Refusal, invocations: asyncio.TaskGroup) -> None:
        journal = Journal(
            invocation_id=claim.invocation_id,
            run_id=claim.run_id,
            fence=claim.fence,
            cap_bytes=settings.ENV.output_cap,
            changed=self._writer.changed,
        )
        if (former := self._journals.get(claim.invocation_id)) is not None:
            # This worker was taken for dead meanwhile, and the row was queued again.
            former.is_fenced_out = True
        self._journals[claim.invocation_id] = journal
        self._stops[claim.invocation_id] = StopSignal()
        self._idle.clear()
        invocations.create_task(self._invoke(claim, journal, order))

    async def _invoke(self, claim: queue.Claim, journal: Journal, order: Order | Refusal) -> None:
        stop = self._stops[journal.invocation_id]
        try:
            if isinstance(order, Refusal):
                preparation.refuse(journal, order)
            elif stop.cause is not None:
                finish_unstarted(journal)
            else:
                if order.stop_at_cap:
                    journal.when_capped = functools.partial(stop.request, StopCause.OUTPUT_CAP)
                work = Work(
                    journal=journal,
                    target=order.target,
                    command=order.command,
                    allowed_exit_statuses=order.allowed_exit_statuses,
                    stop=stop,
                    secrets=self._sessions.shells.secrets_of(order.session_id, order.secrets),
                    is_last_attempt=order.attempts.is_last,
                    shell=self._sessions.shells.lender(order.session_id),
                )
                error = await invoke(work, pool=self._pool, flush=lambda: self._writer.flush(journal))
                self._learnt.note(
                    order.instance_id, error, offered=offered_with(order.target.key), via=order.target.via
                )
                if error is not None and journal.status is Status.CONNECTING:
                    await self._try_again_later(claim, work, order.attempts, error)
            await self._writer.flush(journal)
        except Exception:
            # The last resort: one broken invocation must not take the others of this worker with it.
            logger.exception("An invocation broke", extra={"action": "invoke", "id": journal.invocation_id})
            preparation.give_up(journal)
            await self._writer.flush(journal)
        finally:
            self._let_go(journal)

    async def _try_again_later(self, claim: queue.Claim, work: Work, of: Attempts, error: ConnectError) -> None:
        put_back = await self._in_database(
            attempts.try_again_later,
            claim,
            delay_s=of.delay_s,
            reason=error.reason,
            message=f"Attempt {of.number} of {of.most}; the next in {of.delay_s} s. {error}",
        )
        if put_back:
            bus.ring(bus.WEB)
        else:
            # Its start was sent, or somebody stops it: the worker that owns it says which.
            finish_unreachable(work.journal, error, stopped=work.stop.cause is not None)

    def _let_go(self, journal: Journal) -> None:
        if self._journals.get(journal.invocation_id) is journal:
            del self._journals[journal.invocation_id], self._stops[journal.invocation_id]
        if not self._journals:
            self._idle.set()
        self._bell.ring_myself()

    # ------------------------------------------------------------------ stops, leases, the end

    async def _watch_stops_and_checks(self, side: asyncio.TaskGroup) -> None:
        """Ask every second, and whenever something was committed, who is to be stopped or checked."""
        async with bus.Bell(bus.WORKER, f"{self.id.hex}-stops", self._database).listening() as bell:
            while True:
                for invocation_id in await self._in_database(queue.stops_wanted, self.id):
                    if signal := self._stops.get(invocation_id):
                        signal.request(StopCause.USER)
                await self._in_database(self._learnt.save)
                if self._run_id is None:
                    await checks.start_checks(side, self._pool, self._in_database)
                    await self._placements.start(side)
                    await self._deliveries.start(side)
                    await self._notices.start(side)
                    await self._sessions.start(side)
                    await aftercare.start_rechecks(side, self._pool, self._in_database, self.id)
                await bell.changed(within_s=LOOK_AGAIN_S)

    async def _keep_lease(self) -> None:
        last_reap = 0.0
        loop = asyncio.get_running_loop()
        renewed_s = queue.lease_clock_s()
        while True:
            await asyncio.sleep(queue.RENEW_S)
            asked_s, former_s = queue.lease_clock_s(), renewed_s
            if not await self._in_database(queue.renew, self.id):
                await self._start_over()
            renewed_s = queue.lease_clock_s()
            # A database that was held, or a machine that was suspended, kept the others from renewing, too: they have
            # until the next time.
            was_held = renewed_s - asked_s > queue.RENEW_S / 2 or asked_s - former_s > queue.LEASE_S - queue.RENEW_S
            if not was_held and loop.time() - last_reap >= REAP_EVERY_S:
                last_reap = loop.time()
                await self._in_database(_reap, self.id)
            await self._in_database(self._prompts.forget_ended)
            await self._close_outdated_connections()

    async def _close_outdated_connections(self) -> None:
        """Close what was opened with a credential, address or trusted key that has changed since."""
        keys = self._pool.keys()
        if keys:
            outdated = set(keys) - await self._in_database(preparation.current_keys, keys, self._prompts)
            # Not all but the current ones: what was opened since was not asked about.
            self._pool.close_unless(lambda key: key not in outdated)

    async def _start_over(self) -> None:
        """This worker was taken for dead: its rows are somebody else's; enlist again under the same id."""
        logger.warning("This worker had been taken for dead; it goes on with new claims", extra={"action": "lease"})
        # Whoever took it for dead removed the file, and a lock without its file proves nothing.
        self._lease.release()
        self._lease = LeaseFile(self.id, self._run_id)
        await self._in_database(queue.enlist, self.id, self._prompts.public_key)
        # The rows of its sessions say that they are broken.
        await self._sessions.close_all("console_restarted", sessions_queue.WORKER_GONE)

    async def _wait_for_the_last(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
        except TimeoutError:
            for signal in self._stops.values():
                signal.request(StopCause.SHUTDOWN)
            await self._idle.wait()


def _claim(me: uuid.UUID, *, slots: int, run_id: int | None) -> list[queue.Claim]:
    """Take invocations, after those were ended whose session has."""
    skip_left_waiting()
    return queue.claim(me, slots=slots, run_id=run_id)


def _reap(me: uuid.UUID) -> None:
    """Resolve what dead workers held: invocations, whose leases go with them, and sessions."""
    queue.reap(me)
    sessions_queue.reap(WorkerLease.objects.values("pk"))


def _close_connection() -> None:
    # ``connection`` is another one in each thread: it must be looked up in the thread that is to close its own.
    connection.close()


def _transports() -> Callable[[Target], Transport]:
    ssh, local = SSHTransport(), LocalTransport()

    def choose(target: Target) -> Transport:
        return local if target.is_local else ssh

    return choose
