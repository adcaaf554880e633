"""Owns everything that is Daphne's: back-pressure on sockets, closing them on shutdown, starting the web process.

asgi.py stays free of it, so that another ASGI server is a drop-in.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import daphne.server
from channels.db import database_sync_to_async
from daphne.http_protocol import HTTPFactory, WebRequest
from django.http import parse_cookie
from twisted.internet import defer, reactor

from console import bus

logger = logging.getLogger(__name__)

SERVICE_RESTART = 1012
# An error, a restart, try again later: sendClose refuses these, though servers are meant to send them.
KEPT_BY_AUTOBAHN = frozenset({1011, SERVICE_RESTART, 1013})
GRACE_S = 5.0


class _Drain:
    """Twisted's push producer: tells when a socket's buffer is full and when it may be filled again."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_closed = False

    def pauseProducing(self) -> None:  # noqa: N802  (Twisted's name)
        self.has_room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self.has_room.set()

    def stopProducing(self) -> None:  # noqa: N802
        self.is_closed = True
        self.has_room.set()


@dataclass(frozen=True)
class Bodies:
    """How much a request may bring: more than ``usual_bytes`` only for whom ``may_bring_more`` says so.

    It is given the cookies, in a thread with a database connection.
    """

    usual_bytes: int
    most_bytes: int
    may_bring_more: Callable[[Mapping[str, str]], bool]


class _Request(WebRequest):
    """Daphne's request, which hands no body on that is too long.

    Twisted does not look for forms in it: that took ten times its length of memory, and everybody else waited.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self._received_bytes = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Keep a part of the body; nothing of one that is too long, which browsers send to its end all the same."""
        self._received_bytes += len(data)
        if self._bodies is None or self._received_bytes <= self._bodies.most_bytes:
            super().handleContentChunk(data)
        elif self.content is not None:
            self.content.seek(0)
            self.content.truncate()

    def process(self) -> Any:
        """Hand the request on, unless its body is too long for who sends it."""
        if self._bodies is None or self._received_bytes <= self._bodies.usual_bytes:
            return super().process()
        self._asking = asyncio.ensure_future(self._process_long(self._bodies))  # noqa: TID251  (kept here)
        return None

    async def _process_long(self, bodies: Bodies) -> None:
        try:
            cookies = parse_cookie(b"; ".join(self.requestHeaders.getRawHeaders(b"cookie", [])).decode("latin-1"))
            is_known = await database_sync_to_async(bodies.may_bring_more)(cookies)
        except Exception:
            # As Daphne does for all that goes wrong before the application is asked.
            logger.exception("It could not be said who sends this", extra={"action": "request"})
            self.basic_error(503, b"Service Unavailable", "Try again in a moment.")
            return
        if self.channel is None:
            return
        if not is_known:
            self.basic_error(413, b"Content Too Large", "Sign in again: only who is signed in can send this much.")
        elif self._received_bytes > bodies.most_bytes:
            self.basic_error(413, b"Content Too Large", "This is more than the console takes (MUSTER_FILE_LIMIT).")
        else:
            await super().process().asFuture(asyncio.get_running_loop())

    @property
    def _bodies(self) -> Bodies | None:
        bodies: Bodies | None = self.server.bodies
        return bodies


class _Factory(HTTPFactory):
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = _Request
        return protocol


class Server(daphne.server.Server):
    """Daphne that waits for a slow browser instead of buffering for it without end (daphne issue 170).

    With the stock server one viewer that never reads costs as much memory as is sent to it. Sending to a browser
    that is gone raises OSError, as the ASGI specification says, instead of being ignored.
    """

    def __init__(self, *args: Any, bodies: Bodies | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bodies = bodies

    @property
    def http_factory(self) -> HTTPFactory:
        """What makes requests of connections: Daphne's ``run`` wants to set its own."""
        return self._factory

    @http_factory.setter
    def http_factory(self, daphnes: HTTPFactory) -> None:
        self._factory = _Factory(self)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass a message on; for a socket, return only when there is room for the next."""
        if message["type"] == "websocket.close" and message.get("code") in KEPT_BY_AUTOBAHN:
            self._close(protocol, self.connections.get(protocol, {}), message["code"], b"")
            return
        await super().handle_reply(protocol, message)
        if message["type"] != "websocket.send":
            return
        drain = self._drain_of(protocol)
        if drain is None:
            return
        if drain.is_closed or self.connections.get(protocol, {}).get("disconnected"):
            raise OSError("The browser closed the socket.")
        await drain.has_room.wait()

    def _drain_of(self, protocol: Any) -> _Drain | None:
        drain: _Drain | None = getattr(protocol, "muster_drain", None)
        if drain is None and protocol.transport is not None:
            drain = protocol.muster_drain = _Drain()
            # The HTTP channel that was upgraded is still registered.
            protocol.transport.unregisterProducer()
            protocol.transport.registerProducer(drain, True)
        return drain

    def application_checker(self) -> None:
        """Log what failed, as Daphne does; break an answer off that had begun by then.

        Daphne's own tries to send an error page into it, fails, and never looks at any application again; the browser
        waits for the rest for ever.
        """
        for protocol, details in list(self.connections.items()):
            application = details.get("application_instance")
            if getattr(protocol, "_response_started", False) and application is not None and application.done():
                protocol.handle_exception = lambda _, begun=protocol: begun.channel and begun.channel.loseConnection()
        super().application_checker()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Close every socket with 1012, so that pages reconnect, and wait for their consumers to end.

        Daphne's own fails on an application that has finished already, and then waits for nobody.
        """
        unfinished = []
        for protocol, details in list(self.connections.items()):
            self._close(protocol, details, SERVICE_RESTART, b"The console restarts")
            application = details.get("application_instance")
            if application is not None and not application.done():
                unfinished.append(application)
        return defer.Deferred.fromFuture(asyncio.ensure_future(_wait_for(unfinished)))  # noqa: TID251  (Twisted keeps it)

    @staticmethod
    def _close(protocol: Any, details: dict[str, Any], code: int, why: bytes) -> None:
        is_socket = getattr(protocol, "application_type", "") == "websocket"
        if is_socket and not details.get("disconnected") and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=code, reasonUtf8=why, isReply=False)


async def _wait_for(applications: list[asyncio.Future[Any]]) -> None:
    if not applications:
        return
    _, left = await asyncio.wait(applications, timeout=1.0)
    for application in left:
        application.cancel()
    if left:
        await asyncio.wait(left, timeout=GRACE_S)


def serve_web(application: Any, *, host: str, port: int, bodies: Bodies, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called once the port answers.

    Raises: SystemExit with one sentence when the port cannot be had.
    """
    interface = host.replace(":", r"\:")
    server = Server(
        application,
        bodies=bodies,
        endpoints=[f"tcp:port={port}:interface={interface}"],
        signal_handlers=True,
        ready_callable=ready,
        server_name="muster",
        # A body is handed on at once in such parts; a thousand small ones hold everybody up.
        request_buffer_size=256 * 1024,
        websocket_timeout=-1,
    )
    keeper = _Background()
    reactor.callWhenRunning(keeper.start)
    reactor.addSystemEventTrigger("before", "shutdown", keeper.stop)  # type: ignore[arg-type]
    server.run()


class _Background:
    """What runs beside the server on its loop: passing wake-ups on to the viewers."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bell")

    def start(self) -> None:
        self._task = asyncio.get_event_loop().create_task(self._listen())

    def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def _listen(self) -> None:
        async with bus.Bell(bus.WEB, str(os.getpid()), self._executor).listening() as bell:
            try:
                await bus.pass_on_to_viewers(bell)
            except asyncio.CancelledError:
                return
            except Exception:
                # Without it every viewer would fall back to looking once a second, in silence: end, and be restarted.
                logger.exception("Wake-ups stopped", extra={"action": "wake"})
                reactor.callLater(0, reactor.stop)  # type: ignore[arg-type, misc]
