"""Terminals through a whole console to a real sshd: nothing typed is lost or doubled, and every end is told."""

import asyncio
import functools
import hashlib
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.console import ROOT
from tests.support.fleet import register
from tests.support.shell_terminal import shell_terminal
from tests.support.terminal_page import TerminalPage
from tests.support.until import until
from tests.support.visitor import Records, Visitor

# Lines far below the 4,096 bytes that the kernel takes of one without a program that reads keystrokes.
PASTE = "".join(f"{number:06d} {'é…x' * 18}\n" for number in range(1200)).encode()


@pytest.fixture(scope="module")
def instances(console, sshd, remote_user):
    return register(console, sshd, remote_user, 4, net="127.8.0")


@pytest.fixture
def open_page(console, instances):
    """Open a terminal and return a page of it, whose task lives as long as the test."""

    def open_one(instance=0, **how):
        visitor = Visitor(console)
        answer = visitor.post(f"/instances/{instances[instance]}/terminal/")
        session = int(answer.headers["Location"].strip("/").split("/")[-1])
        return TerminalPage(console, visitor, session, **how)

    return open_one


def home_of(account):
    return Path(pwd.getpwnam(account).pw_dir)


async def test_a_terminal_is_a_login_shell_of_the_size_of_the_page(open_page):
    page = open_page(columns=101, rows=31)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"stty size; echo $TERM $0; tty\r")
        await page.until(b"31 101", b"xterm-256color -", b"/dev/pts/")
        await page.say(type="resize", columns=77, rows=22)
        await page.type(b"clear; stty size\r")
        await page.until(b"22 77")
        # Before it has the terminal, Ctrl+C is the shell's, which does not mind it.
        await page.type(b"sh -c 'echo $((6*8)); exec sleep 1000'\r")
        await page.until(b"48\r\n")
        await page.type(b"\x03")
        await page.until(b"^C")
        await page.type(b"echo $((6*7))\r")
        await page.until(b"42\r\n")
        await page.type(b"exit 3\r")
        await page.when(lambda: page.ended)
    assert page.ended["exit_status"] == 3
    assert page.ended["message"] == "The shell ended with exit status 3."


async def test_what_is_printed_last_reaches_a_slow_page_and_the_recording(open_page, console):
    page = open_page(2, acknowledges=False)
    records = Records(console.folder)

    def row():
        return records.rows("SELECT state FROM console_session WHERE id = ?", page.session)[0]

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"seq 150000; echo the la''st; exit\r")
        # Held back by the page, the shell cannot end but with its output on the way.
        await asyncio.to_thread(until, lambda: row()["state"] == "closed")
        page.acknowledges = True
        await page.say(type="ack", upto=page.offset)
        await page.when(lambda: page.ended)
    assert bytes(page.shown).endswith((b"the last\r\n", b"the last\r\nlogout\r\n"))
    (recording,) = records.rows("SELECT id FROM console_recording WHERE session_id = ?", page.session)
    assert b"the last\\r\\n" in page.visitor.get(f"/recordings/{recording['id']}/download").body


async def test_a_paste_survives_a_killed_web_process_and_lost_connections(open_page, console, remote_user):
    page = open_page(1)
    path = home_of(remote_user) / "pasted"
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"stty -echo; echo si''lent; cat > pasted; sha256sum pasted\r")
        await page.until(b"silent\r\n")
        size = len(PASTE) // 4 + 1
        pieces = [PASTE[start : start + size] for start in range(0, len(PASTE), size)]
        kill_web = functools.partial(os.kill, console.child("web"), signal.SIGKILL)
        # Each with what was just sent on its way, and nothing of it acknowledged.
        for times, (piece, cut) in enumerate(zip(pieces, (page.cut, page.cut, kill_web), strict=False), 2):
            await page.type(piece)
            cut()
            await attached(page, times)
        await page.type(pieces[3])
        await page.type(b"\x04")
        await page.until(hashlib.sha256(PASTE).hexdigest().encode(), within_s=60)
        assert path.read_bytes() == PASTE
        assert page.connections == 4
        await page.type(b"exit\r")
        await living


async def test_another_browser_sees_what_was_there_and_takes_over(open_page):
    first = open_page(2)
    async with asyncio.TaskGroup() as tasks:
        living = [tasks.create_task(first.live())]
        await first.when(lambda: first.is_writer)
        await first.type(b"for i in $(seq 300); do echo line $i; done\r")
        await first.until(b"line 300\r")
        second = TerminalPage(first.console, first.visitor, first.session)
        living.append(tasks.create_task(second.live()))
        await second.until(b"line 1\r", b"line 300\r")
        # The prompt may have come to one of them alone.
        await asyncio.to_thread(until, lambda: bytes(second.shown) == bytes(first.shown))
        assert not second.is_writer
        await second.type(b"echo from the second\r")
        await second.say(type="take_over")
        await second.when(lambda: second.is_writer)
        await first.when(lambda: not first.is_writer)
        assert {"type": "viewers", "names": ["admin"]} in first.told
        await second.type(b"echo taken $((20+3))\r")
        await first.until(b"taken 23")
        await second.type(b"exit\r")
        await first.when(lambda: first.ended)
    # What was typed before it might was never sent.
    assert b"from the second" not in first.shown


def test_a_terminal_in_a_shell_is_left_and_come_back_to(console, instances, remote_user):
    name = f"{remote_user}-127.8.0-4"
    with shell_terminal(console, "attach", name, columns=101, rows=31) as first:
        first.until(b"Recorded. Enter ~ ? for help.]", b"$ ")
        first.type(b"stty size; echo $((6*7))\r")
        first.until(b"31 101\r\n42\r\n")
        first.type(b"until stty size | grep '22 77'; do sleep 0.05; done\r")
        first.resize(77, 22)
        first.until(b"\r22 77\r\n")
        first.type(b"sh -c 'echo it $((50+8)) sleeps; exec sleep 1000'\r")
        first.until(b"it 58 sleeps\r\n")
        first.type(b"\x03")
        first.until(b"^C")
        first.type(b"echo $((40+3))\r")
        first.until(b"43\r\n")
        assert first.is_raw
        first.type(b"\r~.")
        assert first.ended() == 0
        assert b"which stays open." in first.shown
        assert first.is_as_it_was
    with shell_terminal(console, "attach", name, columns=77, rows=22) as second:
        second.until(b"42\r\n", b"43\r\n")
        second.type(b"exit 3\r")
        assert second.ended() == 3
        assert b"The shell ended with exit status 3." in second.shown
        assert second.is_as_it_was


async def test_a_storm_of_sizes_ends_with_the_last(open_page):
    page = open_page(3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(page.live())
        await page.when(lambda: page.is_writer)
        await page.type(b"top\r")
        await page.until(b"PID")
        for number in range(300):
            await page.say(type="resize", columns=60 + number % 90, rows=10 + number % 50)
        await page.say(type="resize", columns=97, rows=33)
        page.shown.clear()
        await page.type(b"q")
        # Before its prompt top would take what is typed, and throw it away.
        await page.until(b"$ ")
        await page.type(b"stty size; exit\r")
        await page.until(b"33 97\r\n")
        await page.when(lambda: page.ended)


async def attached(page, times):
    """Wait until a page was shown the terminal this often."""
    await page.when(lambda: sum(one["type"] == "attached" for one in page.told) == times, 60)


def test_half_a_minute_without_a_network_in_a_browser():
    """In a process of its own, long before the others in browsers, which stop loading when a network comes or goes."""
    file = "tests/acceptance/test_terminal_faults.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "alone", file]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "1 passed" in done.stdout
