"""The whole fleet with real commands, sent as people send them."""

import asyncio
import os
import signal
import socket
import threading

import pytest
from channels.db import database_sync_to_async
from django.core.management import call_command
from django.db import connection

from console.demo import server, services
from console.runs.models import Invocation, Run
from instances.engine.ssh import WINDOW_BYTES, SSHTransport
from instances.engine.transport import Exit, Size
from instances.inventory.models import Instance
from instances.inventory.targets import target_of
from tests.console.demo.conftest import running_fleet
from tests.instances.engine.conftest import Recorder
from tests.support.sshd import marked_by
from tests.support.until import WITHIN_S, until

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
        try:
            until(lambda: Invocation.objects.filter(status="running").count() == 2)
            os.kill(os.getpid(), signal.SIGINT)
        finally:
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
    until(lambda: not left_by_the_fleet() and not answers(port))
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


async def test_what_is_held_back_when_a_command_ends_is_not_lost(fleet, monkeypatch):
    monkeypatch.setattr(server, "DRAIN_S", 0.1)
    instance = await database_sync_to_async(lambda: Instance.objects.get(name="web-01"))()
    connection = await SSHTransport().connect(await database_sync_to_async(target_of)(instance))
    shown = Recorder()
    # More than the window and what the server keeps of it: the rest is in the pipe when the command ends.
    size = WINDOW_BYTES + 100_000
    process = await connection.start(f"head -c {size} /dev/zero; exit 3", stdin=b"", sink=shown)
    shown.flow.pause()
    await asyncio.sleep(0.5)
    shown.flow.resume()
    await process.until(lambda: process.is_over and process.is_output_complete, WITHIN_S)
    connection.close()
    await connection.wait_closed()
    assert (len(shown.stdout), process.exit) == (size, Exit(status=3))


async def test_a_terminal_is_a_login_shell_at_home(fleet, settings):
    instance = await database_sync_to_async(lambda: Instance.objects.get(name="web-01"))()
    target = await database_sync_to_async(target_of)(instance)
    connection = await SSHTransport().connect(target)
    shown = Recorder()
    terminal = await connection.open_terminal(Size(91, 27), sink=shown)
    terminal.write(b"stty size; echo ${PWD##*/} $TERM; tty; exit 5\r")
    await shown.until(b"27 91\r\n")
    await shown.until(b"web-01 xterm-256color\r\n")
    await shown.until(b"/dev/pts/")
    await terminal.until(lambda: terminal.is_over, WITHIN_S)
    assert terminal.exit == Exit(status=5)
    hung_up = await connection.open_terminal(Size(80, 24), sink=Recorder())
    hung_up.write(b"exec sleep 65\r")
    connection.close()
    await connection.wait_closed()
    await asyncio.to_thread(until, lambda: not left_by_the_fleet())
