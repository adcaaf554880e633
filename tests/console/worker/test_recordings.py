"""The tapes of a worker on their way to the database, with and without one that answers."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import pytest
from django.db import connection

from console.recordings import asciicast, reading
from console.recordings.models import Recording
from console.sessions.queue import Order
from console.worker import recordings as module
from console.worker.recordings import Recordings
from tests.support import factories
from tests.support.until import WITHIN_S

pytestmark = pytest.mark.django_db(transaction=True)


class Database:
    """A worker's database thread, which answers while ``is_there`` is set."""

    def __init__(self, executor):
        self._executor = executor
        self.is_there = asyncio.Event()
        self.is_there.set()
        self.calls = []

    async def __call__(self, call, *args, **kwargs):
        await self.is_there.wait()
        self.calls.append(call.__name__)
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(call, *args, **kwargs))

    async def text(self):
        """Everything that is recorded, as one text."""
        return "".join(event.text for event in await self(_events))


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  (what is awaited happens in another thread)
            await asyncio.sleep(0.02)


def _broken(additions):
    raise ValueError("broken")


def _events():
    return [event for one in Recording.objects.all() for event in asciicast.events(reading.pieces(one))]


def order_of(session):
    return Order(
        session_id=session.pk,
        kind="terminal",
        instance_id=session.instance_id,
        target=None,
        marker=session.marker,
        command_type="shell",
        interpreter="",
        working_directory="",
        columns=80,
        rows=24,
        is_recorded=True,
        grace_s=1,
        title=session.instance_name,
    )


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.2)


@pytest.fixture
def orders():
    owner = factories.UserFactory()
    return [order_of(factories.session(factories.InstanceFactory(), owner, kind="terminal")) for _ in range(3)]


@pytest.fixture
def room():
    @asynccontextmanager
    async def make():
        with ThreadPoolExecutor(1) as executor:
            database = Database(executor)
            recordings = Recordings(database)
            async with recordings.kept():
                yield recordings, database
            executor.submit(lambda: connection.close()).result()

    return make


async def test_all_terminals_are_written_in_one_transaction(room, orders):
    async with room() as (recordings, database):
        tapes = [recordings.tape_for(order) for order in orders]
        for order, tape in zip(orders, tapes, strict=True):
            await recordings.begin(tape, order.session_id)
        database.calls.clear()
        for number, tape in enumerate(tapes):
            tape.write(f"shown by {number}\r\n".encode())
        await until(lambda: "append" in database.calls)
        text = await database.text()
        assert all(f"shown by {number}" in text for number in range(3))
        assert database.calls.count("append") == 1


async def test_a_file_is_one_as_soon_as_it_is_there(room, orders):
    async with room() as (recordings, database):
        tape = recordings.tape_for(orders[0])
        tape.write(b"first")
        await recordings.begin(tape, orders[0].session_id)
        assert await database.text() == "first"


async def test_the_end_is_written_with_what_was_shown_last(room, orders):
    async with room() as (recordings, database):
        tape = recordings.tape_for(orders[0])
        await recordings.begin(tape, orders[0].session_id)
        tape.write(b"the last words \xc3")
        await recordings.end(tape)
        (recording,) = await database(lambda: list(Recording.objects.all()))
        assert recording.ended_at is not None
        assert recording.instance_name == orders[0].title
        assert await database.text() == "the last words \ufffd"
        tape.write(b"too late")
        assert recordings._room.used_bytes == 0


async def test_of_what_never_opened_nothing_is_kept(room, orders):
    async with room() as (recordings, database):
        tape = recordings.tape_for(orders[0])
        tape.write(b"x")
        await recordings.end(tape)
        assert not await database(Recording.objects.exists)


async def test_while_the_database_is_away_little_is_held_and_the_loss_is_said(room, orders, monkeypatch):
    monkeypatch.setattr(asciicast, "WAITING_BYTES", 1024 * 1024)
    async with room() as (recordings, database):
        tape = recordings.tape_for(orders[0])
        await recordings.begin(tape, orders[0].session_id)
        tape.write(b"before\r\n")
        database.is_there.clear()
        for _ in range(200):
            tape.write(b"x" * 64 * 1024)
        # Nobody waited, and what waits is bounded.
        assert recordings._room.used_bytes <= 1024 * 1024 + 100_000
        database.is_there.set()
        await until(lambda: tape.is_empty)
        tape.write(b"after\r\n")
        await recordings.end(tape)
        text = await database.text()
        (recording,) = await database(lambda: list(Recording.objects.all()))
    kept = text.count("x")
    assert text.startswith("before")
    assert f"[… {200 * 64 * 1024 - kept:,} bytes not recorded]\r\nafter" in text
    assert recording.lost == 200 * 64 * 1024 - kept


async def test_a_flood_is_written_in_small_pieces(room, orders):
    async with room() as (recordings, database):
        tape = recordings.tape_for(orders[0])
        await recordings.begin(tape, orders[0].session_id)
        for number in range(120):
            tape.write(json.dumps(list(range(number, number + 5000))).encode())
        await recordings.end(tape)
        assert database.calls.count("append") >= 3
        (recording,) = await database(lambda: list(Recording.objects.all()))
        file = await database(lambda: b"".join(reading.pieces(recording)))
        assert len(file) == recording.size > 3 * module.FLUSH_BYTES


async def test_what_cannot_be_written_at_all_ends_the_recording_and_nothing_else(room, orders, caplog, monkeypatch):
    async with room() as (recordings, database):
        first, second = (recordings.tape_for(order) for order in orders[:2])
        await recordings.begin(first, orders[0].session_id)
        first.write(b"lost")
        with monkeypatch.context() as patch:
            patch.setattr(module.services, "append", _broken)
            await until(lambda: "could not be written" in caplog.text)
        assert not first.is_going_on
        await recordings.begin(second, orders[1].session_id)
        second.write(b"kept")
        assert second.is_going_on
        for tape in (first, second):
            await recordings.end(tape)
        assert await database.text() == "kept"
