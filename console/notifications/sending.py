"""Owns the way of a notice out of the console: an e-mail through Django's mail backend, or a signed POST.

Both block; call them in a thread. Webhooks are signed as Standard Webhooks says
(https://www.standardwebhooks.com), so that receivers have libraries for it.
"""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3
from django.conf import settings
from django.core.mail import EmailMessage
from urllib3.exceptions import HTTPError

from console.notifications.models import Destination, Kind, Notice
from instances.engine.dial import is_denied

TIMEOUT = urllib3.Timeout(connect=5, read=10)
ANSWER_BYTES = 300
_SUCCESS = range(200, 300)
_GONE = 410


class NotSent(Exception):
    """The notice did not arrive, or nothing says that it did. ``is_final``: sending it again would not help."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def send(notice: Notice, *, denied_networks: Sequence[str]) -> str:
    """Send a notice; return what its receiver answered. Units: it takes at most about 20 seconds. Raises: NotSent."""
    destination = notice.destination
    if destination is None or destination.is_disabled:
        raise NotSent("The destination was deleted or disabled.", is_final=True)
    if destination.kind == Kind.EMAIL:
        return _send_email(notice, destination)
    return _post(notice, destination, denied_networks)


def signing_secret(destination: Destination) -> str:
    """Return what a webhook's receiver checks signatures with: ``whsec_`` and base64.

    Derived from the console's secret key, so that nothing that signs is in the database.
    """
    about = f"webhook:{destination.pk}:{destination.secret_number}"
    return "whsec_" + base64.b64encode(_derived(about)).decode()


def signature(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = f"{key}.{timestamp}.".encode() + body
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()


def _derived(about: str) -> bytes:
    return hmac.new(settings.SECRET_KEY.encode(), about.encode(), hashlib.sha256).digest()


# ------------------------------------------------------------------ e-mail


def _send_email(notice: Notice, destination: Destination) -> str:
    if not settings.ENV.email_url:
        raise NotSent("This console has no mail server: set MUSTER_EMAIL_URL.", is_final=True)
    message = EmailMessage(
        subject=" ".join(notice.subject.split()),
        body=notice.text,
        to=destination.addresses,
        # The same at every attempt: mail programs show a repetition once.
        headers={"Message-ID": f"<{notice.key}@muster>", "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except (OSError, ValueError) as error:
        # smtplib's errors are OSErrors; a line end in a header is a ValueError.
        raise NotSent(f"The mail server refused it or did not answer: {error}"[:500]) from None
    return "Taken by the mail server."


# ------------------------------------------------------------------ webhook


def _post(notice: Notice, destination: Destination, denied_networks: Sequence[str]) -> str:
    body = json.dumps(notice.payload, separators=(",", ":")).encode()
    parts = urlsplit(destination.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    key, timestamp = str(notice.key), int(time.time())
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "Muster",
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(signing_secret(destination), key, timestamp, body),
    }
    address = _allowed_address(host, port, denied_networks)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _answer(_pool(parts.scheme, host, address, port), path, body, headers)


def _allowed_address(host: str, port: int, denied_networks: Sequence[str]) -> str:
    """Resolve a name once: what was checked is what is dialled."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotSent(f"The name {host} was not found.") from None
    for _, _, _, _, sockaddr in found:
        if not is_denied(str(sockaddr[0]), tuple(denied_networks)):
            return str(sockaddr[0])
    # Only a change of the settings would help; whoever made it can try the notice again.
    why = f"{host} is in a network that this console never connects to (MUSTER_DENIED_NETWORKS, or its own machine)."
    raise NotSent(why, is_final=True)


def _pool(scheme: str, host: str, address: str, port: int) -> urllib3.HTTPConnectionPool:
    given: dict[str, Any] = {"port": port, "timeout": TIMEOUT, "maxsize": 1}
    if scheme != "https":
        return urllib3.HTTPConnectionPool(address, **given)
    # The authorities of the machine's own store: a company's is among them.
    context = ssl.create_default_context()
    return urllib3.HTTPSConnectionPool(
        address, **given, server_hostname=host, assert_hostname=host, ssl_context=context
    )


def _answer(pool: urllib3.HTTPConnectionPool, path: str, body: bytes, headers: Mapping[str, str]) -> str:
    try:
        # A redirect would lead past the check of the address.
        answer = pool.urlopen(
            "POST", path, body=body, headers=headers, redirect=False, retries=False, preload_content=False
        )
        start = answer.read(ANSWER_BYTES, decode_content=False).decode(errors="replace")
        answer.close()
    except (HTTPError, OSError) as error:
        raise NotSent(f"It could not be delivered: {_without_pool(error)}"[:500]) from None
    finally:
        pool.close()
    said = f"{answer.status} {' '.join(start.split())}".strip()
    if answer.status not in _SUCCESS:
        raise NotSent(f"The receiver answered {said}"[:500], is_final=answer.status == _GONE)
    return said[:500]


def _without_pool(error: Exception) -> str:
    """Return what went wrong without the object it went wrong in."""
    return str(error).rpartition(": ")[2] or type(error).__name__
