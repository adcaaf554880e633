"""Owns the socket of a terminal: who may look and type, asked anew every few seconds, and the line to its worker."""

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.db import database_sync_to_async

from console.sessions import services
from console.sessions.models import State
from console.sessions.relay import Line, RelayBroken, parsed, reach
from console.sessions.rights import Answer, Lookout, Rights, Visitor, answer_for, note

logger = logging.getLogger(__name__)

SIGNED_OUT, NOT_ALLOWED, GONE, TOO_MUCH, TOO_MANY = 4401, 4403, 4404, 4429, 4430
# Its worker is not reached: the page tries again.
TRY_AGAIN = 1013
# Whoever loses a right sees nothing more after 5 s: this, an answer's age, and a second for the database.
RECHECK_S = 3.0
OPENING_S = 60.0
# How long the worker may take to hear that a page was closed.
LEAVE_S = 5.0
LONGEST_MESSAGE = 70 * 1024
MESSAGES_PER_S = 1000
SOCKETS_PER_USER = 60
FROM_PAGES = frozenset({"ack", "resize", "leave"})

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_sockets: Counter[int] = Counter()
_readers = ThreadPoolExecutor(2, thread_name_prefix="terminals")


class TerminalConsumer:
    """Passes frames between a page and the worker that holds its terminal; what it says of itself is not believed.

    An ASGI application without Channels' own dispatch: that would cost several times what passing a key on does.
    """

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.user = scope["user"]
        self._visitor = Visitor(self.user.pk, scope["session"].session_key)
        self._session_id = int(scope["url_route"]["kwargs"]["session_id"])
        self._line: Line | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = self._is_left = False
        # Whether it is the visitor's own, and whether this page types into it.
        self._is_mine = self._types = False
        self._messages = 0

    @classmethod
    def as_asgi(cls) -> Any:
        """Return the application, which serves one socket a call."""

        async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            await cls(scope, receive, send)._serve()

        return serve

    async def _serve(self) -> None:
        await self._receive()
        # Accepted first: a refused handshake reaches the page as 1006, after which it would reconnect for ever.
        await self._send({"type": "websocket.accept"})
        if not self.user.is_authenticated:
            await self._end(SIGNED_OUT)
            return
        if _sockets[self.user.pk] >= SOCKETS_PER_USER:
            await self._end(TOO_MANY)
            return
        _sockets[self.user.pk] += 1
        _lookout.add(self._visitor, self._session_id)
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                await self._hear(message.get("bytes"), message.get("text"))
            await self._hang_up(message.get("code", 1006))
            await self._close_if_signed_out()
        finally:
            _sockets[self.user.pk] -= 1
            _lookout.remove(self._visitor, self._session_id)
            for task in self._tasks:
                task.cancel()
            if self._line is not None:
                self._line.close()

    async def _hang_up(self, code: int) -> None:
        """Tell the worker when a page was closed: nobody comes back to it."""
        if self._line is not None and code in (1000, 1001):
            self._is_left = True
            with contextlib.suppress(RelayBroken):
                self._line.say(type="leave")
                self._line.finish()
                await asyncio.wait(self._tasks, timeout=LEAVE_S)

    async def _close_if_signed_out(self) -> None:
        """Look once more: whoever signs out on the page of a terminal leaves it before the next look."""
        if not self._is_over and self._is_mine and self._types:
            answer: Answer = await _in_thread(answer_for, self._visitor, [])
            if not answer.is_signed_in:
                await _in_thread(services.close_signed_out, self._session_id)

    async def _hear(self, data: bytes | None, text: str | None) -> None:
        """Pass one message of the page on."""
        if self._is_over:
            return
        self._messages += 1
        payload = data if data is not None else (text or "").encode()
        if self._messages > MESSAGES_PER_S * RECHECK_S or len(payload) > LONGEST_MESSAGE:
            await self._end(TOO_MUCH)
            return
        try:
            await self._handle(payload)
        except (ValueError, KeyError, TypeError):
            await self._say(type="error", message="That message was not understood.")
        except RelayBroken:
            await self._end(TOO_MUCH)

    async def _handle(self, payload: bytes) -> None:
        message = parsed(payload)
        if message is not None and message.get("type") == "attach":
            if not self._tasks:
                self._tasks.append(asyncio.get_running_loop().create_task(self._attach(message)))
        elif message is not None and message.get("type") == "ping":
            await self._say(type="pong")
        elif self._line is None:
            raise ValueError("Attach first.")
        elif message is None:
            self._line.send(payload)
        elif message.get("type") == "take_over":
            await self._take_over()
        elif message.get("type") in FROM_PAGES:
            self._line.send(payload)
        else:
            raise ValueError("There is no such message.")

    async def _take_over(self) -> None:
        rights = await self._rights_now()
        if rights is None or not rights.may_write:
            await self._say(type="error", message="You may not type into this terminal.")
            return
        await _in_thread(note, self.user, "take_over_terminal", self._session_id)
        assert self._line is not None
        self._line.say(type="take_over")

    # ------------------------------------------------------------------ what the page is sent

    async def _attach(self, message: dict[str, Any]) -> None:
        try:
            rights = await self._rights_once_open()
            if rights is not None:
                await self._show(rights, message)
        except* OSError:
            # The browser is gone; disconnect follows.
            pass
        except* (ValueError, TypeError):
            await self._end(TOO_MUCH)
        except* Exception:
            # One that dies in silence leaves a page that looks alive, and a visitor whose rights nobody looks at.
            logger.exception("A terminal's socket broke", extra={"action": "terminal", "id": self._session_id})
            await self._end(1011)

    async def _show(self, rights: Rights, message: dict[str, Any]) -> None:
        try:
            self._line = await reach(rights.worker)
            self._line.say(
                type="attach",
                session=self._session_id,
                tab=f"{self.user.pk}:{str(message.get('tab'))[:64]}",
                is_owner=rights.is_mine,
                user_name=self.user.get_username(),
                may_write=rights.may_write,
                columns=int(message.get("columns") or 80),
                rows=int(message.get("rows") or 24),
                **{"from": message.get("from")},
            )
            if not self._is_mine:
                await _in_thread(note, self.user, "watch_terminal", self._session_id)
            async with asyncio.TaskGroup() as tasks:
                rechecks = tasks.create_task(self._recheck(rights))
                await self._pass_on(self._line)
                rechecks.cancel()
        except* RelayBroken:
            if not (self._is_over or self._is_left):
                await self._after_the_line()

    async def _rights_once_open(self) -> Rights | None:
        """Wait until the terminal is open; None when it is not to be, which the page was told."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + OPENING_S
        pause_s = 0.02
        while True:
            rights = await self._rights_now()
            if rights is None:
                return None
            self._is_mine = rights.is_mine
            if not rights.may_watch:
                await self._end(NOT_ALLOWED)
                return None
            if rights.ended is not None:
                await self._say(**rights.ended)
                await self._end(1000)
                return None
            if rights.state != State.OPENING:
                return rights
            if loop.time() > ends_at:
                await self._end(TRY_AGAIN)
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.5)

    async def _pass_on(self, line: Line) -> None:
        while True:
            payload = await line.receive()
            message = parsed(payload)
            if message is None:
                await self._send({"type": "websocket.send", "bytes": payload})
                continue
            await self._send({"type": "websocket.send", "text": payload.decode()})
            self._types = message.get("writer", self._types)
            if message["type"] == "ended":
                await self._end(1000)
                return

    async def _after_the_line(self) -> None:
        """The worker hung up: the terminal has ended, or the worker has; the row knows, now or in a moment."""
        rights = await self._rights_now()
        if rights is None:
            return
        if rights.ended is not None:
            await self._say(**rights.ended)
        await self._end(TRY_AGAIN if rights.ended is None else 1000)

    async def _rights_now(self) -> Rights | None:
        """Ask without sharing an answer; None when the socket was ended because there is nothing to know."""
        answer: Answer = await _in_thread(answer_for, self._visitor, [self._session_id])
        rights = answer.rights.get(self._session_id)
        if rights is None:
            await self._end(GONE if answer.is_signed_in else SIGNED_OUT)
        return rights

    async def _recheck(self, had: Rights) -> None:
        """Look every few seconds whether the visitor is still signed in and may still look, and type."""
        while True:
            await asyncio.sleep(RECHECK_S)
            self._messages = 0
            answer = await _lookout.again(self._visitor)
            rights = answer.rights.get(self._session_id)
            if not answer.is_signed_in:
                if self._is_mine and self._types:
                    await _in_thread(services.close_signed_out, self._session_id)
                await self._end(SIGNED_OUT)
                return
            if rights is None or not rights.may_watch or (had.may_write and not rights.may_write):
                await self._end(NOT_ALLOWED)
                return

    async def _end(self, code: int) -> None:
        self._is_over = True
        if self._line is not None:
            self._line.close()
        with contextlib.suppress(OSError):
            await self._send({"type": "websocket.close", "code": code})

    async def _say(self, **message: Any) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(message)})


async def _in_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await database_sync_to_async(call, thread_sensitive=False, executor=_readers)(*args)


_lookout = Lookout(_in_thread)
