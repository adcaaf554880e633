"""Routes sockets. Nothing gets past here from another origin or without a session."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from console.runs.consumers import ViewerConsumer

# Full origins: AllowedHostsOriginValidator ignores scheme and port, so a page on another port of the same machine
# would pass.
websocket_application = OriginValidator(
    AuthMiddlewareStack(URLRouter([path("ws/", ViewerConsumer.as_asgi())])),
    list(settings.CSRF_TRUSTED_ORIGINS),
)
