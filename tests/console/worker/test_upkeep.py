import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from console.recordings.models import Recording
from console.runs import retention
from console.runs.models import Output, Run
from console.worker import upkeep
from console.worker.worker import Worker
from tests.support import factories
from tests.support.runs import ended_run
from tests.support.until import WITHIN_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_round_yet(settings):
    path = settings.DATA_DIR / "retention.lock"
    path.unlink(missing_ok=True)
    yield
    path.unlink(missing_ok=True)


@pytest.fixture
def thread():
    """A worker's database thread; its connection is closed at the end."""
    with ThreadPoolExecutor(1) as executor:
        yield executor
        # Looked up in the thread: each has a connection of its own.
        executor.submit(lambda: connection.close()).result()


def pruned(executor):
    return asyncio.run(upkeep.prune_when_due(executor))


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not await database_sync_to_async(condition)():  # noqa: ASYNC110  (what is awaited is in the database)
            await asyncio.sleep(0.02)


def test_it_prunes_once_a_day(thread):
    ended_run(days_ago=91)
    assert pruned(thread)
    assert not Run.objects.exists()
    ended_run(days_ago=91)
    assert not pruned(thread)
    assert Run.objects.count() == 1


def test_recordings_of_terminals_go_too(thread):
    long_ago = timezone.now() - timedelta(days=91)
    factories.recording(factories.InstanceFactory(), factories.UserFactory(), b"x", ended_at=long_ago)
    assert pruned(thread)
    assert not Recording.objects.exists()


def test_expired_sessions_of_browsers_go_too(thread):
    Session.objects.create(session_key="old", session_data="x", expire_date=timezone.now() - timedelta(hours=1))
    assert pruned(thread)
    assert not Session.objects.exists()


def test_while_another_is_at_it_nothing_is_done(thread):
    ended_run(days_ago=91)
    with retention.Turn():
        assert not pruned(thread)
    assert Run.objects.count() == 1


def test_of_two_workers_one_prunes(thread):
    for _ in range(3):
        ended_run(days_ago=91)

    async def both():
        with ThreadPoolExecutor(1) as other:
            done = await asyncio.gather(upkeep.prune_when_due(thread), upkeep.prune_when_due(other))
            other.submit(lambda: connection.close()).result()
            return done

    assert sorted(asyncio.run(both())) == [False, True]
    assert not Run.objects.exists()


def test_commits_of_others_come_in_between(thread, monkeypatch):
    monkeypatch.setattr(retention, "BATCH_ROWS", 1)
    ended_run(20, days_ago=91)
    seen = []

    async def prune_and_commit():
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            pruning = tasks.create_task(upkeep.prune_when_due(thread))
            while not pruning.done():
                seen.append(await loop.run_in_executor(thread, Output.objects.count))
                await asyncio.sleep(0.01)

    asyncio.run(prune_and_commit())
    # Every state between two transactions could be seen by them.
    assert set(seen) >= set(range(1, 20))


def test_what_goes_wrong_is_logged_and_tried_again(thread, settings, monkeypatch, caplog):
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 0.05)
    in_the_way = settings.DATA_DIR / "retention.lock"
    in_the_way.mkdir()
    ended_run(days_ago=91)

    async def day_after_day():
        async with asyncio.TaskGroup() as tasks:
            daily = tasks.create_task(upkeep.prune_daily(thread))
            await until(lambda: "did not come to its end" in caplog.text)
            in_the_way.rmdir()
            await until(lambda: "Removed 1 run older than 90 days" in caplog.text)
            daily.cancel()

    with caplog.at_level(logging.INFO):
        asyncio.run(day_after_day())
    assert not Run.objects.exists()


def test_a_worker_does_so():
    ended_run(days_ago=91)
    other = ended_run()

    async def work():
        worker = Worker()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            await until(lambda: Run.objects.count() == 1)
            worker.drain()

    asyncio.run(work())
    assert Run.objects.get() == other


def test_the_worker_of_one_run_alone_does_not(settings):
    factories.allow_localhost(settings)
    ended_run(days_ago=91)
    with pytest.raises(SystemExit) as ended:
        call_command("run", "--on", ".", "true")
    assert ended.value.code == 0
    assert Run.objects.count() == 2
    assert not (settings.DATA_DIR / "retention.lock").exists()
