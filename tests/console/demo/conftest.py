import asyncio
import threading

import pytest

from console.demo import services
from console.demo.process import FleetProcess
from console.members.services import ensure_cli_user

# Not how quick it is to be: two cores may be busy with other tests.
START_S = 90


@pytest.fixture
def actor(transactional_db):
    return ensure_cli_user()


@pytest.fixture
def fleet(actor):
    """The registered demo fleet with its servers running in a thread."""
    services.register(actor)
    with running_fleet():
        yield
    services.remove(actor)


class running_fleet:  # noqa: N801  reads as a function
    """Run the fleet's process in a thread for the block."""

    def __enter__(self):
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._is_ready.wait(START_S)
        return self

    def __exit__(self, *error):
        self._loop.call_soon_threadsafe(self._process.end)
        self._thread.join(START_S)
        assert not self._thread.is_alive()

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._process = FleetProcess(ready=self._is_ready.set, is_supervised=True)
        await self._process.run()
