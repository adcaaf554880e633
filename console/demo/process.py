"""Owns the process of the demo fleet: keeps its servers as the rows say until it is told to end."""

import asyncio
import fcntl
import functools
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from django.conf import settings
from django.db import connection, transaction

from console import bus
from console.demo import server, services
from console.members.services import ensure_cli_user
from console.runs.queue import a_worker_is_alive
from instances.inventory.services import request_check

LOOK_AGAIN_S = 2.0
# Shorter than the supervisor's patience, so that the servers are ended in order.
DRAIN_S = 70.0
WORKERS_LOOK_S = 0.1

Result = TypeVar("Result")


def lock() -> IO[str] | None:
    """Take the lock that allows one fleet process per data folder; None while another one has it."""
    path = Path(settings.DATA_DIR) / "demo.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class FleetProcess:
    """Starts and ends servers as demo instances come and go.

    A supervised one waits for demo instances when there are none, and at the end for the workers: while they drain,
    commands on the fleet have to run on, and what they stop has to be verified. One in a shell does neither.
    """

    def __init__(self, *, ready: Callable[[], None], is_supervised: bool) -> None:
        self._ready = ready
        self._is_supervised = is_supervised
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._bell = bus.Bell(bus.WORKER, f"demo-{uuid.uuid4().hex}", self._thread)
        self._is_ending = False

    def end(self) -> None:
        """Make ``run`` return; call it in the loop's thread."""
        self._is_ending = True
        self._bell.ring_myself()

    async def run(self) -> None:
        """Keep the servers until ``end``; then end them with all their commands."""
        fleet = server.Fleet(services.folder())
        try:
            async with self._bell.listening():
                while not self._is_ending:
                    places = await self._in_thread(services.places)
                    await self._adjust(fleet, places)
                    if not places and not self._is_supervised:
                        return
                    await self._bell.changed(within_s=LOOK_AGAIN_S)
                await self._wait_for_workers()
        finally:
            await fleet.close()
            await self._in_thread(services.clear_files)
            await self._in_thread(_close_connection)
            self._thread.shutdown()

    async def _wait_for_workers(self) -> None:
        for _ in range(round(DRAIN_S / WORKERS_LOOK_S)):
            if not self._is_supervised or not await self._in_thread(a_worker_is_alive):
                return
            await asyncio.sleep(WORKERS_LOOK_S)

    async def _adjust(self, fleet: server.Fleet, places: set[server.Place]) -> None:
        started = await fleet.become(places)
        if not places:
            # What a removed fleet's commands left running, and wrote since.
            server.end_marked(str(services.folder()))
            await self._in_thread(services.clear_files)
        if started:
            await self._in_thread(_check, [place.port for place in started])
            self._ready()

    async def _in_thread(self, call: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(call, *args))


def _check(ports: list[int]) -> None:
    """Have the list show at once that the instances can be reached."""
    request_check(ensure_cli_user(), instances=services.instances().filter(port__in=ports))
    transaction.on_commit(lambda: bus.ring(bus.WORKER))


def _close_connection() -> None:
    connection.close()
