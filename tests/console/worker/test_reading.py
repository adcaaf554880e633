import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from console.runs import indexing
from console.worker import reading
from tests.support.runs import ended_run
from tests.support.until import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as executor:
        yield executor
        executor.submit(lambda: connection.close()).result()


async def until_read(thread):
    await asyncio.to_thread(until, lambda: not thread.submit(lambda: indexing.waiting().exists()).result())


async def read(thread):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reading.read_for_ever(thread))
        await until_read(thread)
        task.cancel()


def test_a_worker_reads_what_has_ended(thread):
    for _ in range(3):
        ended_run(2, output=b"needle\n")
    assert indexing.waiting().count() == 3
    asyncio.run(read(thread))
    assert indexing.waiting().count() == 0


def test_of_two_workers_one_reads(thread):
    ended_run()

    async def try_to(executor):
        with reading._turn(), pytest.raises(BlockingIOError), reading._turn():
            pass
        await read(executor)

    asyncio.run(try_to(thread))
    assert indexing.waiting().count() == 0


def test_what_goes_wrong_is_logged_and_tried_again(thread, caplog, monkeypatch):
    monkeypatch.setattr(reading, "LOOK_EVERY_S", 0.01)
    ended_run()
    monkeypatch.setattr(indexing, "BATCH_INVOCATIONS", -1)

    async def mend_it():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(reading.read_for_ever(thread))
            await asyncio.to_thread(until, lambda: "Reading runs into the index failed" in caplog.text)
            monkeypatch.setattr(indexing, "BATCH_INVOCATIONS", 10)
            await until_read(thread)
            task.cancel()

    asyncio.run(mend_it())
    assert indexing.waiting().count() == 0
