"""Routes sockets. Nothing gets past here from another origin or without a session."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path, re_path

from console.runs.consumers import ViewerConsumer
from console.sessions.consumers import TerminalConsumer


async def _no_such_socket(scope: Any, receive: Any, send: Any) -> None:
    """Refuse the handshake: without this every wrong address would be an error in the log."""
    await send({"type": "websocket.close"})


# Full origins: AllowedHostsOriginValidator ignores scheme and port, so a page on another port of the same machine
# would pass.
websocket_application = OriginValidator(
    AuthMiddlewareStack(
        URLRouter(
            [
                path("ws/", ViewerConsumer.as_asgi()),
                path("ws/terminals/<int:session_id>/", TerminalConsumer.as_asgi()),
                re_path("", _no_such_socket),  # type: ignore[arg-type]  # an ASGI application, as the others are
            ]
        )
    ),
    list(settings.CSRF_TRUSTED_ORIGINS),
)
