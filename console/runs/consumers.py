"""Owns the socket of a page: one for its life, whatever runs it looks at."""

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from console import bus, messages
from console.members import services as members
from console.runs import viewing
from console.runs.models import Invocation, Run
from instances.access.rules import NotAllowed

logger = logging.getLogger(__name__)

# Close codes of ours; a page reconnects after 4408, not after the others.
SIGNED_OUT, NOT_ALLOWED, TOO_SLOW, TOO_MUCH, TOO_MANY = 4401, 4403, 4408, 4429, 4430
LOOK_AGAIN_S = 1.0
# Whoever loses a right sees nothing more after 5 s; this leaves a second for the database.
RECHECK_S = 4.0
STATUS_GAP_S = 0.1
OUTPUT_GAP_S = 0.05
OUTPUT_FIRST_S = 0.01
ACK_WITHIN_S = 30.0
MAX_MESSAGE_BYTES = 64 * 1024
MESSAGES_PER_S = 200
# A page has one; this process's of one person.
SOCKETS_PER_USER = 20
NO_SUCH_RUN = "There is no such run."

# Reading for viewers has threads of its own, so that pages are not kept waiting by output.
_sockets: Counter[int] = Counter()
_readers = ThreadPoolExecutor(2, thread_name_prefix="viewers")


class Over(Exception):
    """The socket is closed with this code, and nothing is sent on it any more."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ViewerConsumer(AsyncWebsocketConsumer):
    """A viewer: says what it looks at, is sent what changes.

    Everything is sent by tasks of its own, never while handling a message: a Stop must not wait behind output that a
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
        if _sockets[self.user.pk] >= SOCKETS_PER_USER:
            await self.accept()
            await self._end(TOO_MANY)
            return
        self._watching: viewing.Watching | None = None
        self._opened: viewing.Opened | None = None
        self._channel = 0
        self._outbox: list[dict[str, Any]] = []
        # One for output, one for status.
        self._wakes = (asyncio.Event(), asyncio.Event())
        self._status_from = 0.0
        self._messages = 0
        self._last_ack = asyncio.get_running_loop().time()
        await bus.listen_for_wakes(self.channel_name)
        await self.accept()
        self._pump_task = asyncio.get_running_loop().create_task(self._pump())
        _sockets[self.user.pk] += 1
        self._pump_task.add_done_callback(lambda _: _sockets.subtract([self.user.pk]))

    async def disconnect(self, code: int) -> None:
        """Stop sending."""
        await bus.forget_wakes(self.channel_name)
        if self._pump_task:
            self._pump_task.cancel()

    async def wake(self, event: dict[str, Any]) -> None:
        """Look again: something was committed."""
        self._look_again()

    def _look_again(self) -> None:
        for event in self._wakes:
            event.set()

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
        self._look_again()

    async def _watch(self, message: dict[str, Any]) -> None:
        self._watching = viewing.Watching(
            self.user,
            int(message["run"]),
            str(message.get("status", "all")),
            int(message.get("page", 1)),
            tuple(int(ordinal) for ordinal in message["rows"]) if "rows" in message else None,
            int(message["matching"]) if "matching" in message else None,
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

    async def _answer(self, message: dict[str, Any]) -> None:
        about = int(message["run"]), str(message["do"]), int(message["batch"])
        await self._read(viewing.answer, self.user, *about)

    async def _unwatch(self, message: dict[str, Any]) -> None:
        self._watching = self._opened = None

    # ------------------------------------------------------------------ what the viewer is sent

    async def _pump(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_output(self._wakes[0]))
                tasks.create_task(self._follow_status(self._wakes[1]))
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

    async def _follow_output(self, wake: asyncio.Event) -> None:
        """Send answers and output at once; only a busy stream is gathered.

        Apart from the status: drawing the rows of a page takes longer than a line may.
        """
        while True:
            # What is committed from here on wakes again.
            wake.clear()
            if await self._send_output():
                await asyncio.sleep(OUTPUT_GAP_S if wake.is_set() else 0)
            else:
                await _next(wake, LOOK_AGAIN_S)

    async def _follow_status(self, wake: asyncio.Event) -> None:
        """Send the status at most every ``STATUS_GAP_S``."""
        loop = asyncio.get_running_loop()
        while True:
            wake.clear()
            held_back_s = self._status_from - loop.time()
            if held_back_s <= 0 and await self._send_status():
                self._status_from = loop.time() + STATUS_GAP_S
            await _next(wake, held_back_s if held_back_s > 0 else LOOK_AGAIN_S)
            # One thread computes at a time, and output is what people wait for.
            await asyncio.sleep(OUTPUT_FIRST_S)

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
                raise Over(await self._why_not()) from None
            self._watching = None
            await self.send(text_data=json.dumps({"type": "error", "message": NO_SUCH_RUN, "code": "gone"}))
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
                raise Over(await self._why_not())
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

    async def _why_not(self) -> int:
        """Return the code for who sees it no more: who was locked out is told that, whichever look comes first."""
        return NOT_ALLOWED if await self._is_live() else SIGNED_OUT

    async def _is_live(self) -> bool:
        session = self.scope["session"]
        return bool(await self._read(members.session_is_live, session.session_key, self.user.pk))

    async def _read(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await database_sync_to_async(call, thread_sensitive=False, executor=_readers)(*args, **kwargs)


async def _next(wake: asyncio.Event, within_s: float) -> None:
    """Wait for a wake-up, or until it is time to look without one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await wake.wait()


def _parsed(text: str) -> dict[str, Any]:
    """Return a viewer's message. Raises: ValueError for what is no JSON object, or is too long to be one of ours."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise ValueError("A message is not as long.")
    return messages.read(text)


HANDLERS = {
    "watch": ViewerConsumer._watch,
    "open": ViewerConsumer._open,
    "ack": ViewerConsumer._ack,
    "stop": ViewerConsumer._stop,
    "answer": ViewerConsumer._answer,
    "unwatch": ViewerConsumer._unwatch,
}
