"""The web server, in a process of its own: Twisted's reactor can be started once."""

import http.client
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.console import ROOT
from tests.support.sshd import free_port
from tests.support.until import WITHIN_S, until

SERVE = """
import sys
from console import server

async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": int(scope["path"].strip("/"))})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
    raise ValueError("broken in the middle")

server.Server(application, endpoints=[f"tcp:port={sys.argv[1]}:interface=127.0.0.1"], signal_handlers=True).run()
"""


@pytest.fixture(scope="module")
def port():
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)
    until(lambda: answers(port))
    yield port
    process.terminate()
    process.wait()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    with closing(connection):
        connection.request("GET", "/")
        with connection.getresponse() as response:
            return response.read()


@pytest.mark.slow
def test_an_answer_that_fails_in_the_middle_is_broken_off_every_time(port):
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead) as broken:
            get(port)
        assert broken.value.partial == b"0123456789"


@pytest.mark.slow
def test_a_page_is_told_every_code_that_sends_it_back_or_away(port):
    for code in (1000, 1011, 1012, 1013, 4404):
        with connect(f"ws://127.0.0.1:{port}/{code}") as socket:
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=WITHIN_S)
            assert closed.value.rcvd.code == code
