"""The whole fleet with real commands, sent as people send them."""

import os
import signal
import socket
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connection

from console.demo import server, services
from console.runs.models import Invocation, Run
from tests.console.demo.conftest import running_fleet
from tests.support.sshd import marked_by

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path, settings):
    settings.DATA_DIR = tmp_path


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        call_command("run", *arguments)
    return ended.value.code


def left_by_the_fleet():
    return marked_by(server.MARKER, str(services.folder()))


def test_a_command_runs_on_all_of_them_each_in_its_own_home(fleet, capfdbinary):
    assert status_of("--filter", "group:Demo", "echo $HOSTNAME ${PWD##*/}; echo e >&2") == 0
    out, err = capfdbinary.readouterr()
    assert sorted(out.decode().splitlines()) == sorted(f"{name}: {name} {name}" for name in services.FLEET)
    assert err.count(b": e\n") == 12


def test_exit_statuses_signals_and_streams_are_exact(fleet, capfdbinary):
    assert status_of("--on", "web-01", "head -c 300000 /dev/zero; exit 3") == 3
    assert capfdbinary.readouterr().out == bytes(300000)
    assert status_of("--on", "web-01", "kill -KILL $$") == 137


def test_stop_ends_what_ignores_it_and_what_left_the_session(fleet):
    def stop():
        ends_at = time.monotonic() + 20
        while Invocation.objects.filter(status="running").count() < 2 and time.monotonic() < ends_at:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        connection.close()

    thread = threading.Thread(target=stop)
    thread.start()
    assert status_of("--on", "web-01", "--on", "db-01", "trap '' TERM; setsid sleep 63 & sleep 64") == 130
    thread.join()
    assert set(Run.objects.get().invocations.values_list("status", flat=True)) == {"stopped"}
    assert left_by_the_fleet() == []


def test_removing_ends_what_runs_and_closes_the_ports(fleet, actor):
    assert status_of("--on", "web-01", "sleep 65 >/dev/null 2>&1 & echo started") == 0
    assert len(left_by_the_fleet()) == 1
    port = services.instances().get(name="web-01").port
    services.remove(actor)
    ends_at = time.monotonic() + 10
    while (left_by_the_fleet() or answers(port)) and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert left_by_the_fleet() == []
    assert not answers(port)
    assert not services.folder().exists()


def test_a_restarted_fleet_is_at_the_same_places(actor, capfdbinary):
    services.register(actor)
    for _ in range(2):
        with running_fleet():
            assert status_of("--on", "cache-01", "echo here") == 0
    assert capfdbinary.readouterr().out == b"here\nhere\n"
    services.remove(actor)


def answers(port):
    try:
        socket.create_connection((server.ADDRESS, port), 1).close()
    except OSError:
        return False
    return True
