"""When the kernel's count of tries says that a machine does not answer; a cut network is in tests/acceptance."""

import socket
from typing import Any

import pytest

from instances.engine.ssh_process import Client


class Sock:
    """What the kernel says of a connection."""

    def __init__(self, tries: int) -> None:
        # Of struct tcp_info: the state, how congested it is, how often in a row something was sent again.
        self.info = bytes([1, 0, tries])

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        assert (level, option, length) == (socket.IPPROTO_TCP, socket.TCP_INFO, 3)
        return self.info


def client_on(sock: Any) -> Client:
    client = Client()
    client.sock = sock
    return client


@pytest.mark.parametrize(("tries", "is_unanswered"), [(0, False), (4, False), (5, True), (9, True)])
def test_a_machine_that_leaves_five_tries_unanswered_does_not_answer(tries: int, is_unanswered: bool) -> None:
    assert client_on(Sock(tries)).is_unanswered == is_unanswered


def test_behind_a_jump_host_it_is_known_of_the_way_to_the_first_one() -> None:
    behind, last = Client(), Client()
    behind.before, last.before = client_on(Sock(5)), behind
    assert last.is_unanswered
    behind.before = client_on(Sock(0))
    assert not last.is_unanswered


def test_nothing_is_known_of_a_socket_that_is_gone() -> None:
    assert not Client().is_unanswered
    with socket.socket() as gone:
        client = client_on(gone)
    assert not client.is_unanswered
