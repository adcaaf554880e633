"""Owns everything that is Daphne's: back-pressure on sockets, closing them on shutdown, starting the web process.

asgi.py stays free of it, so that another ASGI server is a drop-in.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import daphne.server
from twisted.internet import defer, reactor

from console import bus

logger = logging.getLogger(__name__)

SERVICE_RESTART = 1012
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


class Server(daphne.server.Server):
    """Daphne that waits for a slow browser instead of buffering for it without end (daphne issue 170).

    With the stock server one viewer that never reads costs as much memory as is sent to it. Sending to a browser
    that is gone raises OSError, as the ASGI specification says, instead of being ignored.
    """

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass a message on; for a socket, return only when there is room for the next."""
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
            self._say_restart(protocol, details)
            application = details.get("application_instance")
            if application is not None and not application.done():
                unfinished.append(application)
        return defer.Deferred.fromFuture(asyncio.ensure_future(_wait_for(unfinished)))  # noqa: TID251  (Twisted keeps it)

    @staticmethod
    def _say_restart(protocol: Any, details: dict[str, Any]) -> None:
        is_socket = getattr(protocol, "application_type", "") == "websocket"
        if is_socket and not details.get("disconnected") and protocol.state == protocol.STATE_OPEN:
            # sendClose refuses 1012, which Autobahn keeps for itself.
            protocol.sendCloseFrame(code=SERVICE_RESTART, reasonUtf8=b"The console restarts", isReply=False)


async def _wait_for(applications: list[asyncio.Future[Any]]) -> None:
    if not applications:
        return
    _, left = await asyncio.wait(applications, timeout=1.0)
    for application in left:
        application.cancel()
    if left:
        await asyncio.wait(left, timeout=GRACE_S)


def serve_web(application: Any, *, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called once the port answers.

    Raises: SystemExit with one sentence when the port cannot be had.
    """
    interface = host.replace(":", r"\:")
    server = Server(
        application,
        endpoints=[f"tcp:port={port}:interface={interface}"],
        signal_handlers=True,
        ready_callable=ready,
        server_name="muster",
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
