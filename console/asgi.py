"""The ASGI application: any ASGI server can serve it. What only Daphne needs is in server.py."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
_http = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402

from console.routing import websocket_application  # noqa: E402  (models are ready only now)

application = ProtocolTypeRouter({"http": _http, "websocket": websocket_application})
