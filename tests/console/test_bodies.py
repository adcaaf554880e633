"""What the web server takes of a request's body, in a process of its own: Twisted's reactor can be started once."""

import http.client
import os
import subprocess
import sys
from contextlib import closing

import pytest

from tests.support.console import ROOT
from tests.support.sshd import free_port

pytestmark = pytest.mark.slow
SERVE = """
import os, sys
from console import server

async def application(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})

def may_bring_more(cookies):
    if cookies.get("session") == "broken":
        raise ValueError
    return cookies.get("session") == "ana's"

server.Server(
    application,
    bodies=server.Bodies(1000, 5000, may_bring_more),
    endpoints=[f"tcp:port={sys.argv[1]}:interface=127.0.0.1"],
    signal_handlers=True,
    ready_callable=lambda: os.write(1, b"ready"),
).run()
"""


@pytest.fixture(scope="module")
def port():
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], cwd=ROOT, stdout=subprocess.PIPE)
    assert os.read(process.stdout.fileno(), 5) == b"ready"
    yield port
    process.terminate()
    process.wait(20)
    process.stdout.close()


def post(port, body, *, cookie="", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", "/", body, {"Cookie": f'other={{"a": [1]}}; session={cookie}', **headers})
        with connection.getresponse() as response:
            return response.status, response.read()


def test_a_visitor_brings_little_and_who_is_signed_in_up_to_a_file(port):
    assert post(port, b"x" * 1000) == (200, b"1000")
    assert post(port, b"x" * 5000, cookie="ana's") == (200, b"5000")
    for size, cookie, says in (
        (1001, "", b"Sign in again"),
        (1001, "made up", b"Sign in again"),
        (5001, "ana's", b"more than the console takes"),
        (5_000_000, "ana's", b"more than the console takes"),
    ):
        status, said = post(port, b"x" * size, cookie=cookie)
        assert status == 413
        assert says in said


def test_a_body_of_no_announced_length_is_counted_too(port):
    parts = [b"x" * 900] * 2
    assert post(port, iter(parts), cookie="ana's") == (200, b"1800")
    assert post(port, iter(parts))[0] == 413
    assert post(port, iter(parts * 5), cookie="ana's")[0] == 413


def test_without_an_answer_who_it_is_it_is_not_taken_and_the_server_goes_on(port):
    assert post(port, b"x" * 1001, cookie="broken")[0] == 503
    assert post(port, b"x") == (200, b"1")


def test_forms_are_left_to_django(port):
    # Twisted answers 400 to this one when it looks for forms, which takes ten times its length of memory.
    headers = {"Content-Type": "multipart/form-data; boundary=none"}
    assert post(port, b"no form", **headers) == (200, b"7")
