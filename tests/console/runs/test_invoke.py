import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from console.runs import invoke
from console.runs.journal import Journal
from console.runs.status import Status
from instances.engine.types import Command, StopCause, StopSignal, Target


class Unreachable:
    """A pool whose connect takes for ever."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.given_up = False

    @asynccontextmanager
    async def borrow(self, target, *, for_stop=False, on_retry=None):
        self.asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.given_up = True
            raise
        yield SimpleNamespace()


def work(stop):
    journal = Journal(invocation_id=1, run_id=1, fence=1, cap_bytes=2**20, changed=lambda _journal, _more: None)
    target = Target("one", "one", "192.0.2.1", 22, None, ())
    return invoke.Work(journal, target, Command("true", invoke.new_marker()), frozenset({0}), stop)


async def no_flush():
    pass


async def test_a_stop_while_connecting_ends_it_at_once():
    stop, pool = StopSignal(), Unreachable()
    wanted = work(stop)
    async with asyncio.TaskGroup() as group:
        going = group.create_task(invoke.invoke(wanted, pool=pool, flush=no_flush))
        await pool.asked.wait()
        stop.request(StopCause.USER)
    assert going.result() is None
    assert wanted.journal.status is Status.CANCELLED
    # Not at the end of what it waited for.
    assert pool.given_up


async def test_a_stop_from_before_dials_nothing():
    stop, pool = StopSignal(), Unreachable()
    stop.request(StopCause.USER)
    wanted = work(stop)
    await invoke.invoke(wanted, pool=pool, flush=no_flush)
    assert wanted.journal.status is Status.CANCELLED
    assert not pool.asked.is_set()


async def test_the_end_of_the_worker_is_not_taken_for_a_stop():
    pool = Unreachable()
    wanted = work(StopSignal())
    async with asyncio.TaskGroup() as group:
        going = group.create_task(invoke.invoke(wanted, pool=pool, flush=no_flush))
        await pool.asked.wait()
        going.cancel()
    assert going.cancelled()
    assert wanted.journal.status is Status.CONNECTING
