"""How sessions and terminals end in a whole console: when, with which words, and with nothing left on the instance."""

import asyncio
import re
import signal
from contextlib import asynccontextmanager

import pytest

from console.sessions.services import SIGNED_OUT
from console.worker.terminals import LOST
from tests.support.console import PASSWORD, start_console
from tests.support.fleet import register
from tests.support.networks import link
from tests.support.processes import Part, console_in_parts, start_web, start_worker
from tests.support.room import WAIT_S, Room
from tests.support.sshd import running_sshd
from tests.support.terminal_page import FINAL_CODES, TerminalPage
from tests.support.visitor import Visitor

# They pass when the rows say so: a slow machine must not end anything.
LIMITS = {"MUSTER_SESSION_IDLE_S": "1800", "MUSTER_SESSION_GRACE_S": "240", "MUSTER_SESSION_AGE_S": "3600"}
IDLE = ("closed", "idle", "Closed: it was not used for 30 min (MUSTER_SESSION_IDLE_S).")
LEFT = ("closed", "detached", "Closed: no page showed it for 4 min (MUSTER_SESSION_GRACE_S).")
OLD = ("closed", "too_old", "Closed: it was open for 1 h (MUSTER_SESSION_AGE_S).")
# Of terminals that are looked at, for which a test has to wait.
QUIET_S = 10
QUIET = ("closed", "idle", "Closed: it was not used for 10 s (MUSTER_SESSION_IDLE_S).")
SHUT_DOWN = ("closed", "console_shutdown", "Closed: the console, or its worker that held it, was shut down.")
# The echo of what is typed is not what it prints.
PRINTING_EVERY_S = 0.5
PRINTING = b"while sleep 0.5; do echo It $((6*7)) prints; done\r"
PRINTED = b"It 42 prints\r\n"
HELD_UP = "echo begun; until [ -e {go} ]; do sleep 0.1; done; echo done"


@pytest.fixture(scope="module")
def room(console, sshd, remote_user):
    return Room(console, remote_user, register(console, sshd, remote_user, 9, net="127.9.2"))


@asynccontextmanager
async def looking_at(page):
    """Have a page live for the block; it does not come back after that, as one that was closed."""
    living = asyncio.get_running_loop().create_task(page.live())
    try:
        await page.when(lambda: page.is_writer, WAIT_S)
        yield page
    finally:
        living.cancel()
        await asyncio.wait([living])


def told(page):
    return "closed", page.ended["reason"], page.ended["message"]


async def is_over(page):
    await page.when(lambda: page.ended, WAIT_S)
    return told(page)


# ------------------------------------------------------------------ limits


async def not_used_and_at_work(room):
    """What is at work was used last before the other, which is closed as idle."""
    at_work, unused = await room.session(), await room.session()
    run = await room.send(at_work, HELD_UP.format(go="go-1"))
    room.backdate(1801, "last_used_at", sessions=[at_work, unused])
    assert await room.ended(unused) == IDLE
    await room.assert_told(unused)
    assert room.row(at_work)["state"] == "busy"
    (room.home / "go-1").touch()
    assert await room.over(run) == ("succeeded", "", "", b"begun\ndone\n")
    assert room.row(at_work)["reason"] == ""


async def too_old(room):
    """A command does not keep its session beyond its age, and says why it ended."""
    old = await room.session()
    run = await room.send(old, "echo begun; sleep 1000 & while :; do sleep 1; done")
    waits = await room.send_later(old, "echo late")
    room.backdate(3601, "opened_at", sessions=[old])
    assert await room.ended(old) == OLD
    await room.assert_told(old)
    why = f"Stopped with its session; nothing of it is left running. {OLD[2]}"
    # bash prints an empty line when it is interrupted.
    assert await room.over(run) == ("stopped", "session_closed", why, b"begun\n\n")
    status, reason, message, output = await room.over(waits)
    assert (status, reason, output) == ("skipped", "session_closed", b"")
    assert OLD[2] in message
    assert message.endswith("The command did not run.")


async def left_alone_or_not(room):
    """One without a page is closed in the end, one that is come back to in time is not; both print all the while."""
    alone, back = await room.terminal(), await room.terminal()
    for page in (alone, back):
        async with looking_at(page):
            await page.type(PRINTING)
            await page.until(PRINTED, within_s=WAIT_S)
        await room.when(lambda page=page: room.row(page.session)["state"] == "detached")
    # In another browser.
    again = TerminalPage(room.console, Visitor(room.console), back.session)
    again_living = asyncio.get_running_loop().create_task(again.live())
    await again.until(PRINTED, within_s=WAIT_S)
    await room.when(lambda: room.row(back.session)["state"] == "ready")
    room.backdate(241, "detached_at", sessions=[alone.session, back.session])
    assert await room.ended(alone.session) == LEFT
    await room.assert_told(alone.session)
    assert room.row(back.session)["state"] == "ready"
    again.shown.clear()
    await again.until(PRINTED, within_s=WAIT_S)
    again_living.cancel()


async def looked_at(room):
    """Looking is no use, printing is one; at its age a terminal ends even so."""
    prints, idle = await room.terminal(), await room.terminal()
    async with looking_at(prints), looking_at(idle):
        await prints.type(PRINTING)
        await prints.until(PRINTED, within_s=WAIT_S)
        for page in (prints, idle):
            room.change(page.session, idle_limit_s=QUIET_S)
        before = prints.shown.count(PRINTED)
        assert await is_over(idle) == QUIET
        await prints.when(lambda: (prints.shown.count(PRINTED) - before) * PRINTING_EVERY_S > 1.5 * QUIET_S, WAIT_S)
        room.backdate(3601, "opened_at", sessions=[prints.session])
        assert await is_over(prints) == OLD
    for page, how in ((idle, QUIET), (prints, OLD)):
        assert await room.ended(page.session) == how
        await room.assert_told(page.session)


async def test_each_limit_ends_what_it_is_for_and_nothing_else(sshd, remote_user, tmp_path):
    with console_in_parts(tmp_path, **LIMITS) as console:
        start_web(console)
        Part(console, "-m", "tests.support.hasty_worker", "use")
        room = Room(console, remote_user, register(console, sshd, remote_user, 7, net="127.9.1"))
        async with asyncio.TaskGroup() as tasks:
            for scene in (not_used_and_at_work, too_old, left_alone_or_not, looked_at):
                tasks.create_task(scene(room))


# ------------------------------------------------------------------ the console ends


async def test_an_orderly_end_of_the_console_is_told_and_leaves_nothing(sshd, remote_user, tmp_path):
    console = start_console(tmp_path)
    try:
        room = Room(console, remote_user, register(console, sshd, remote_user, 4, net="127.9.3"))
        ready, busy = await room.session(), await room.session()
        run = await room.send(busy, HELD_UP.format(go="go-2"))
        watched, detached = await room.terminal(), await room.terminal()
        async with looking_at(detached):
            await detached.type(PRINTING)
            await detached.until(PRINTED, within_s=WAIT_S)
        await room.when(lambda: room.row(detached.session)["state"] == "detached")
        async with looking_at(watched):
            await watched.type(PRINTING)
            await watched.until(PRINTED, within_s=WAIT_S)
            console.process.terminate()
            # The page is told before its socket goes, while the command still has time to end by itself.
            assert await is_over(watched) == SHUT_DOWN
            await watched.when(lambda: watched.code, WAIT_S)
        assert watched.code == 1000
        for session in (watched.session, detached.session, ready):
            assert await room.ended(session) == SHUT_DOWN
            await room.assert_told(session)
        assert (room.row(busy)["state"], console.process.poll()) == ("busy", None)
        (room.home / "go-2").touch()
        assert await room.over(run) == ("succeeded", "", "", b"begun\ndone\n")
        assert await room.ended(busy) == SHUT_DOWN
        assert await asyncio.to_thread(console.process.wait, WAIT_S) == 0
        console.stop()

        console = await asyncio.to_thread(start_console, tmp_path)
        room = Room(console, remote_user, room.instances)
        assert "Nothing is open." in room.visitor.get("/sessions/").body.decode()
        for session in (watched.session, detached.session, ready, busy):
            await room.assert_told(session)
        assert room.recorded(watched.session) == watched.shown.decode()
        assert room.recorded(detached.session).startswith(detached.shown.decode())
    finally:
        console.stop()


async def test_a_worker_that_is_ended_closes_what_it_holds_and_takes_nothing_more(stage, remote_user):
    room = Room(stage.console, remote_user, stage.instances, stage.visitor)
    first = start_worker(stage.console)
    busy, page = await room.session(), await room.terminal()
    run = await room.send(busy, HELD_UP.format(go="go-3"))
    async with looking_at(page):
        second = start_worker(stage.console)
        await room.when(lambda: len(room.records.rows("SELECT id FROM console_workerlease")) == 2)
        first.signal(signal.SIGTERM)
        assert await is_over(page) == SHUT_DOWN
    # The first is still there, for the command in it.
    later = await room.session()
    assert room.row(later)["worker"] != room.row(busy)["worker"]
    assert (room.row(busy)["state"], first.is_alive) == ("busy", True)
    (room.home / "go-3").touch()
    assert await room.over(run) == ("succeeded", "", "", b"begun\ndone\n")
    assert await room.ended(busy) == SHUT_DOWN
    assert await asyncio.to_thread(first.end) == 0
    assert room.row(later)["state"] == "ready"
    assert await asyncio.to_thread(second.end) == 0
    assert await room.ended(later) == SHUT_DOWN


# ------------------------------------------------------------------ the connection ends


async def test_a_connection_that_is_lost_is_told_and_nothing_is_left(room):
    session, page = await room.session(), await room.terminal()
    run = await room.send(session, "echo begun; sleep 1000")
    async with looking_at(page):
        await page.type(PRINTING)
        await page.until(PRINTED, within_s=WAIT_S)
        room.cut_off(page.session)
        room.cut_off(session)
        assert (await is_over(page))[1:] == ("connection_lost", LOST)
    status, reason, message, output = await room.over(run)
    assert (status, reason, output) == ("lost", "connection_lost", b"begun\n")
    # The shell may have noticed first.
    assert re.fullmatch(
        r"The connection was lost\. (It still ran \(process [\d, ]+\), and is ended with its session"
        r"|Nothing of it runs any more\. It ran at least in part)\.",
        message,
    )
    assert await room.ended(page.session) == ("broken", "connection_lost", LOST)
    assert await room.ended(session) == (
        "broken",
        "connection_lost",
        "The connection was lost, and the session with it.",
    )
    for one in (page.session, session):
        await room.assert_told(one)


async def test_an_instance_out_of_reach_is_told_with_what_nobody_knows(stage, remote_user):
    with link() as way, running_sshd(prefix=way.prefix) as server:
        (instance,) = register(stage.console, server, remote_user, 1, net=way.net)
        room = Room(stage.console, remote_user, [instance] * 2, stage.visitor)
        worker = Part(stage.console, "-m", "tests.support.hasty_worker", "contact")
        try:
            session, page = await room.session(), await room.terminal()
            run = await room.send(session, "echo begun; sleep 1000")
            async with looking_at(page):
                way.cut()
                assert (await is_over(page))[1:] == ("connection_lost", LOST)
            assert await room.over(run) == (
                "lost",
                "connection_lost",
                "The connection was lost. The instance could not be reached again, so it may still be running.",
                b"begun\n",
            )
            await room.when(lambda: room.row(session)["closed_at"])
        finally:
            worker.kill()
    row = room.row(session)
    assert (row["state"], row["reason"]) == ("broken", "connection_lost")
    assert row["message"].endswith("The instance was not reached to make sure that nothing of it goes on.")
    for one in (page.session, session):
        await room.assert_told(one)


# ------------------------------------------------------------------ somebody ends it


async def test_exit_and_close_end_the_shell_and_what_hangs_on_it(room):
    session, leaves, closes = await room.session(), await room.terminal(), await room.terminal()
    run = await room.send(session, "sleep 1000 & echo begun; sleep 1000")
    async with looking_at(leaves), looking_at(closes):
        await closes.type(b"sh -c 'sleep 1000 & echo $((6*7)) at work; exec sleep 1000'\r")
        await closes.until(b"42 at work\r\n", within_s=WAIT_S)
        for one in (session, closes.session):
            assert room.visitor.post(f"/sessions/{one}/close/").status == 302
        await leaves.type(b"exit 3\r")
        assert (await is_over(leaves))[1:] == ("exited", "The shell ended with exit status 3.")
        assert (await is_over(closes))[1:] == ("closed", "Closed by admin.")
    for one in (session, closes.session):
        assert await room.ended(one) == ("closed", "closed", "Closed by admin.")
    assert (await room.ended(leaves.session))[:2] == ("closed", "exited")
    why = "Stopped with its session; nothing of it is left running. Closed by admin."
    assert (await room.over(run))[:3] == ("stopped", "session_closed", why)


# ------------------------------------------------------------------ a right ends

PEOPLE = f"""
from console.members.models import User
from instances.access.models import Grant, Role
for name in ("leaves", "goes", "loses"):
    user = User(username=name)
    user.set_password({PASSWORD!r})
    user.save()
    Grant.objects.create(user=user, role=Role.OPERATOR)
"""
TAKE = """
from console.members import services as members
from console.members.models import User
from instances.access.models import Grant
members.deactivate(User.objects.get(username="admin"), member=User.objects.get(username="goes"))
Grant.objects.filter(user__username="loses").delete()
"""


async def test_who_signs_out_is_deactivated_or_loses_the_right_has_nothing_open_any_more(room):
    room.console.shell(PEOPLE)
    leaves, goes, loses = (room.as_seen_by(Visitor(room.console, name)) for name in ("leaves", "goes", "loses"))
    pages = [await one.terminal() for one in (leaves, goes, loses)]
    session = await goes.session()
    run = await goes.send(session, "echo begun; sleep 1000")
    async with looking_at(pages[0]), looking_at(pages[1]), looking_at(pages[2]):
        for page in pages:
            await page.type(PRINTING)
            await page.until(PRINTED, within_s=WAIT_S)
        leaves.visitor.post("/sign-out/")
        room.console.shell(TAKE)
        for page in pages:
            await page.when(lambda page=page: page.code in FINAL_CODES, WAIT_S)
    why = ("closed", "not_permitted", "Closed: {} may no longer have it.")
    assert await room.ended(pages[0].session) == ("closed", "closed", f"Closed by {SIGNED_OUT}.")
    for one, name in ((pages[1].session, "goes"), (pages[2].session, "loses"), (session, "goes")):
        assert await room.ended(one) == (*why[:2], why[2].format(name))
        await room.assert_told(one)
    assert (await room.over(run))[:2] == ("stopped", "session_closed")
    # Sent to sign in, unless the terminal's end was quicker.
    assert pages[0].code in {1000, 4401}
