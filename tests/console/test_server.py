"""The web server, in a process of its own: Twisted's reactor can be started once."""

import http.client
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.support.console import ROOT
from tests.support.sshd import free_port

SERVE = """
import sys
from console import server

async def application(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
    raise ValueError("broken in the middle")

server.Server(application, endpoints=[f"tcp:port={sys.argv[1]}:interface=127.0.0.1"], signal_handlers=True).run()
"""


@pytest.fixture
def port():
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(20)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request("GET", "/")
        with connection.getresponse() as response:
            return response.read()


@pytest.mark.slow
def test_an_answer_that_fails_in_the_middle_is_broken_off_every_time(port):
    ends_at = time.monotonic() + 20
    while not answers(port):
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead) as broken:
            get(port)
        assert broken.value.partial == b"0123456789"
