"""Owns the socket of a page: one for its life, whatever runs it looks at."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from console import bus
from console.members import services as members
from console.runs import viewing
from console.runs.models import Invocation, Run
from instances.access.rules import NotAllowed

logger = logging.getLogger(__name__)

# Close codes of ours; a page reconnects after 4408, not after the others.
SIGNED_OUT, NOT_ALLOWED, TOO_SLOW, TOO_MUCH = 4401, 4403, 4408, 4429
LOOK_AGAIN_S = 1.0
# Whoever loses a right sees nothing more after 5 s; this leaves a second for the database.
RECHECK_S = 4.0
STATUS_GAP_S = 0.1
OUTPUT_GAP_S = 0.05
ACK_WITHIN_S = 30.0
MAX_MESSAGE_BYTES = 64 * 1024
MESSAGES_PER_S = 200
NO_SUCH_RUN = "There is no such run."

# Reading for viewers has threads of its own, so that pages are not kept waiting by output.
_readers = ThreadPoolExecutor(2, thread_name_prefix="viewers")


class Over(Exception):
    """The socket is closed with this code, and nothing is sent on it any more."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ViewerConsumer(AsyncWebsocketConsumer):
    """A viewer: says what it looks at, is sent what changes.

    Everything is sent by one pump task, never while handling a message: a Stop must not wait behind output that a
    slow browser has not taken yet.
    """

    async def connect(self) -> None:
        """Serve a signed-in user; anybody else is told so by a close code and sent nothing."""
        self.user = self.scope["user"]
        self._pump_task: asyncio.Task[None] | None = None
        self._is_over = False
        if not self.user.is_authenticated or not await self._is_live():
            # Accepted first: a refused handshake reaches the page as 1006, after which it would reconnect for ever.
            await self.accept()
            await self._end(SIGNED_OUT)
            return
        self._watching: viewing.Watching | None = None
        self._opened: viewing.Opened | None = None
        self._channel = 0
        self._outbox: list[dict[str, Any]] = []
        self._wake = asyncio.Event()
        self._status_from = 0.0
        self._messages = 0
        self._last_ack = asyncio.get_running_loop().time()
        await bus.listen_for_wakes(self.channel_name)
        await self.accept()
        self._pump_task = asyncio.get_running_loop().create_task(self._pump())

    async def disconnect(self, code: int) -> None:
        """Stop sending."""
        await bus.forget_wakes(self.channel_name)
        if self._pump_task:
            self._pump_task.cancel()

    async def wake(self, event: dict[str, Any]) -> None:
        """Look again: something was committed."""
        self._wake.set()

    # ------------------------------------------------------------------ what the viewer says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one message; anything malformed is answered, not obeyed."""
        if self._is_over:
            # Sent before the page heard of the close.
            return
        self._messages += 1
        if self._messages > MESSAGES_PER_S * RECHECK_S:
            await self._end(TOO_MUCH)
            return
        try:
            message = _parsed(text_data or "")
            handler = HANDLERS[message["type"]]
            # Whoever was locked out a moment ago must not act within the time until the next look.
            if message["type"] != "ack" and not await self._is_live():
                await self._end(SIGNED_OUT)
                return
            await handler(self, message)
        except (ValueError, KeyError, TypeError):
            self._say(type="error", message="That message was not understood.")
        except (Run.DoesNotExist, Invocation.DoesNotExist):
            self._say(type="error", message=NO_SUCH_RUN, code="gone")
        except NotAllowed as error:
            self._say(type="error", message=str(error))
        self._wake.set()

    async def _watch(self, message: dict[str, Any]) -> None:
        self._watching = viewing.Watching(
            self.user, int(message["run"]), str(message.get("status", "all")), int(message.get("page", 1))
        )
        # What is asked for is shown at once.
        self._status_from = 0.0
        if self._opened and self._opened.run_id != self._watching.run_id:
            self._opened = None
        elif self._opened:
            # Another page or filter of the same run: what is read stays.
            self._watching.opened = self._opened.ordinal

    async def _open(self, message: dict[str, Any]) -> None:
        self._channel += 1
        self._opened, size = await self._read(
            viewing.open_output,
            self.user,
            int(message["run"]),
            int(message["i"]),
            channel=self._channel,
            start=int(message.get("from", 0)),
        )
        if self._watching and self._watching.run_id == self._opened.run_id:
            self._watching.opened = self._opened.ordinal
        self._last_ack = asyncio.get_running_loop().time()
        self._say(type="opened", run=self._opened.run_id, i=self._opened.ordinal, ch=self._channel, size=size)

    async def _ack(self, message: dict[str, Any]) -> None:
        self._last_ack = asyncio.get_running_loop().time()
        if self._opened and int(message["ch"]) == self._opened.channel:
            upto = min(int(message["upto"]), self._opened.position)
            self._opened.acknowledged = max(self._opened.acknowledged, upto)

    async def _stop(self, message: dict[str, Any]) -> None:
        ordinal = message.get("i")
        await self._read(viewing.stop, self.user, int(message["run"]), None if ordinal is None else int(ordinal))

    async def _unwatch(self, message: dict[str, Any]) -> None:
        self._watching = self._opened = None

    # ------------------------------------------------------------------ what the viewer is sent

    async def _pump(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_news())
                tasks.create_task(self._recheck())
        except* Over as over:
            await self._end(next(error.code for error in over.exceptions if isinstance(error, Over)))
        except* OSError:
            # The browser is gone; disconnect follows.
            pass
        except* Exception:
            # A pump that dies in silence leaves a page that looks alive: close, and the page reconnects.
            logger.exception("A viewer's pump broke", extra={"action": "view"})
            await self._end(1011)

    async def _send_news(self) -> None:
        """Send answers and output at once, and the status at most every ``STATUS_GAP_S``."""
        loop = asyncio.get_running_loop()
        while True:
            # What is committed from here on wakes again.
            self._wake.clear()
            more = await self._send_output()
            held_back_s = self._status_from - loop.time()
            if held_back_s <= 0 and await self._send_status():
                self._status_from = loop.time() + STATUS_GAP_S
            if more:
                await asyncio.sleep(OUTPUT_GAP_S if self._wake.is_set() else 0)
            else:
                await self._next_wake(held_back_s if held_back_s > 0 else LOOK_AGAIN_S)

    async def _next_wake(self, within_s: float) -> None:
        """Wait for a wake-up, or until it is time to look without one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._wake.wait()

    async def _send_output(self) -> bool:
        """Send what the opened invocation has for this viewer; True when there may be more at once."""
        await self._send_outbox()
        look = self._opened
        if look is None or look.has_ended:
            return False
        try:
            records, end = await self._read(look.news)
        except Invocation.DoesNotExist:
            if look is self._opened:
                self._opened = None
                self._say(type="error", message="This output is gone: its run was removed.", code="gone")
            return True
        if look is not self._opened:
            return True
        if records:
            await self.send(bytes_data=records)
        if end:
            await self.send(text_data=json.dumps(end))
        return bool(records) and look.credit_bytes > 0

    async def _send_outbox(self) -> None:
        while self._outbox:
            await self.send(text_data=json.dumps(self._outbox.pop(0)))

    async def _send_status(self) -> bool:
        """Send what changed of the watched run; say whether there was anything."""
        watching = self._watching
        if watching is None:
            return False
        try:
            frame = await self._read(watching.news)
        except Run.DoesNotExist:
            if watching is not self._watching:
                return False
            if watching.was_seen:
                # Somebody who was locked out is told that, whichever look comes first.
                raise Over(NOT_ALLOWED if await self._is_live() else SIGNED_OUT) from None
            self._watching = None
            self._say(type="error", message=NO_SUCH_RUN, code="gone")
            await self._send_outbox()
            return False
        if not frame or watching is not self._watching:
            return False
        await self.send(text_data=frame)
        return True

    async def _recheck(self) -> None:
        """Look every ``RECHECK_S`` whether the session lives, the output may still be seen, and the viewer keeps up."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RECHECK_S)
            self._messages = 0
            await bus.listen_for_wakes(self.channel_name)
            if not await self._is_live():
                raise Over(SIGNED_OUT)
            look = self._opened
            if look and not await self._read(viewing.may_see, self.user, look.invocation_id):
                raise Over(NOT_ALLOWED)
            if look and look.position > look.acknowledged and loop.time() - self._last_ack > ACK_WITHIN_S:
                raise Over(TOO_SLOW)

    async def _end(self, code: int) -> None:
        """Close the socket; nothing more is sent, and no message is obeyed any more."""
        self._is_over = True
        if self._pump_task and self._pump_task is not asyncio.current_task():
            self._pump_task.cancel()
        await self.close(code)

    def _say(self, **message: Any) -> None:
        self._outbox.append(message)

    async def _is_live(self) -> bool:
        session = self.scope["session"]
        return bool(await self._read(members.session_is_live, session.session_key, self.user.pk))

    async def _read(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await database_sync_to_async(call, thread_sensitive=False, executor=_readers)(*args, **kwargs)


def _parsed(text: str) -> dict[str, Any]:
    """Return a viewer's message. Raises: ValueError for what is no JSON object, or is too long to be one of ours."""
    message = json.loads(text) if len(text) <= MAX_MESSAGE_BYTES else None
    if not isinstance(message, dict):
        raise ValueError("A message is a JSON object.")
    return message


HANDLERS = {
    "watch": ViewerConsumer._watch,
    "open": ViewerConsumer._open,
    "ack": ViewerConsumer._ack,
    "stop": ViewerConsumer._stop,
    "unwatch": ViewerConsumer._unwatch,
}
