"""Owns notices on the worker's side: taken, sent in threads, and how it went written down."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from console.notifications import services
from console.notifications.models import Notice
from console.notifications.sending import NotSent, send
from console.runs.ended import tell_ended_runs
from instances.inventory.targets import denied_networks

logger = logging.getLogger(__name__)

# A receiver that does not answer holds one of them for some 20 seconds.
AT_ONCE = 4

InDatabase = Callable[..., Awaitable[Any]]


class Notices:
    """The notices one worker has in hand."""

    def __init__(self, in_database: InDatabase) -> None:
        self._in_database = in_database
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notice")
        self._running = 0

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Take up runs that have ended, and start a task for each notice that is due, as far as there is room."""
        await self._in_database(tell_ended_runs)
        if self._running >= AT_ONCE:
            return
        for notice in await self._in_database(services.claim_due, AT_ONCE - self._running):
            self._running += 1
            tasks.create_task(self._send(notice))

    async def _send(self, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        networks = denied_networks(may_be_loopback=False)
        try:
            answer = await loop.run_in_executor(
                self._threads, functools.partial(send, notice, denied_networks=networks)
            )
            await self._in_database(services.note_sent, notice.key, answer)
        except NotSent as error:
            await self._in_database(services.note_not_sent, notice.key, str(error), is_final=error.is_final)
        except Exception:
            # The last resort: a broken notice must not take the commands of this worker with it.
            logger.exception("A notice broke", extra={"action": "notice", "id": notice.pk})
            why = "The console made an error; its log says which."
            await self._in_database(services.note_not_sent, notice.key, why, is_final=False)
        finally:
            self._running -= 1
