"""Receivers of notices: an HTTP server that keeps what was posted, and a mail server that keeps what was sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from tests.support.sshd import free_port


@dataclass
class Posts:
    """Where to post, what came (headers, body), and what is answered: the statuses in turn, the last one for good."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [204])

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def posts_received() -> Iterator[Posts]:
    """Run an HTTP server on a loopback address for the block."""
    posts = Posts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = posts.next_status()
            self.send_response(status)
            if status in {301, 307}:
                self.send_header("Location", posts.url + "elsewhere")
            self.end_headers()
            if status >= 500:
                self.wfile.write(b"out of\norder")

        def log_message(self, *args):
            """Keep the tests' output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    posts.url = f"http://127.0.0.1:{server.server_port}/hook?token=x"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield posts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Mailbox(Message):
    def __init__(self, mails: list[EmailMessage]) -> None:
        super().__init__()
        self._mails = mails

    def handle_message(self, message):
        self._mails.append(message)


@contextmanager
def mails_received() -> Iterator[tuple[int, list[EmailMessage]]]:
    """Run a mail server on a loopback address for the block; give its port and what it got."""
    mails: list[EmailMessage] = []
    controller = Controller(_Mailbox(mails), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port, mails
    finally:
        controller.stop()
