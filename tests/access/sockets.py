"""The page's socket as a browser opens it: through the whole application, with the session's cookie and an origin."""

import json
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings

from console.asgi import application
from tests.access import world as worlds
from tests.access.world import World
from tests.support.sockets import PatientSocket

in_database = database_sync_to_async


class Socket(PatientSocket):
    """A socket of an actor; ``code`` is what it was closed with, None while it is open."""

    code: int | None = None

    def __init__(self, cookie: str = "", origin: str | None = settings.CSRF_TRUSTED_ORIGINS[0]) -> None:
        headers = [(b"origin", origin.encode())] if origin is not None else []
        super().__init__(application, "/ws/", headers=[*headers, (b"cookie", cookie.encode())])

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.send_json_to(message)

    async def hear(self) -> str | bytes | dict[str, Any] | None:
        """Return the next frame, JSON read; None, and ``code`` set, when it was closed instead."""
        event = await self.receive_output()
        if event["type"] == "websocket.close":
            self.code = event["code"]
            return None
        frame = event.get("text") or event["bytes"]
        return json.loads(frame) if isinstance(frame, str) and frame.startswith("{") else frame

    async def hear_until_closed(self) -> int:
        """Pass over every frame until the socket is closed; return the code. Raises: TimeoutError."""
        while self.code is None:
            await self.hear()
        return self.code


async def opened(cookie: str) -> Socket:
    """Return an open socket of a session."""
    socket = Socket(cookie)
    assert (await socket.connect())[0]
    return socket


def cookie_of(actor: str, world: World) -> str:
    """Return the cookie header of an actor's browser; empty for one without a session."""
    jar = worlds.client_of(actor, world).cookies
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())
