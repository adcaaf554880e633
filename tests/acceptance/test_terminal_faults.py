"""Terminals in a real browser while something goes wrong: the web process dies, the network is gone, sizes storm."""

import hashlib
import os
import pwd
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.test_watching import child_of, nobody_restarts
from tests.support.fleet import register
from tests.support.networks import link
from tests.support.sshd import running_sshd
from tests.support.terminal_screen import Shown, drawn, paste, rows_on, terminal_on, told_size, type_line
from tests.support.until import until

pytestmark = [pytest.mark.outage, pytest.mark.sshd]
PASTE = "".join(f"{number:06d} {'é…x漢' * 17}\n" for number in range(1000))
# What leaves a page before the first of it is acknowledged.
IN_FLIGHT = 64 * 1024
DOWN_S = 30
FINAL = {"width": 1111, "height": 707}
# None of them has as many rows as the final one; some are as low as a telephone on its side.
STORM = [{"width": 500 + 61 * step % 900, "height": 390 + 23 * step % 230} for step in range(48)]
PROGRAMS = {
    # It draws once and after each change of size: the next time would be in minutes.
    "top": ("top -d 900", "%CPU", "q"),
    "vim": ("vim -u NONE -N -n -R -c 'set number ruler' /etc/services", "1,1", ":q!\n"),
}


@pytest.fixture
def home(remote_user):
    return Path(pwd.getpwnam(remote_user).pw_dir)


def holds(path, text):
    return path.exists() and path.read_text() == text


def test_a_paste_whose_web_process_is_killed_arrives_whole_and_once(signed_in, console, home, request):
    page = signed_in
    shown = Shown(page)
    rows = request.getfixturevalue("screen")
    type_line(page, "stty -echo; echo si''lent; cat > pasted; sha256sum pasted; stty sane")
    expect(rows).to_contain_text("silent")
    type_line(page, "before")
    until(lambda: holds(home / "pasted", "before\n"), within_s=90)
    typed = shown.typed
    # In the middle for certain: of a process that stands still nothing comes back, and the rest stays in the page.
    web = child_of(console, "web")
    os.kill(web, signal.SIGSTOP)
    paste(page, PASTE)
    until(lambda: rows.count() and shown.typed > typed, within_s=60)
    with nobody_restarts(console):
        os.kill(web, signal.SIGKILL)
        expect(page.get_by_text("Reconnecting…", exact=True)).to_be_visible()
        assert typed < shown.typed <= typed + IN_FLIGHT < len(PASTE.encode())
        # While nobody answers.
        meanwhile = "".join(f"{number}," for number in range(40))
        type_line(page, meanwhile)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    type_line(page, "and after")
    page.keyboard.press("Control+d")
    whole = f"before\n{PASTE}{meanwhile}\nand after\n".encode()
    expect(rows).to_contain_text(hashlib.sha256(whole).hexdigest(), timeout=120_000)
    assert (home / "pasted").read_bytes() == whole
    assert shown.times("attached") == 2
    type_line(page, "exit")
    expect(page.get_by_text("The shell ended with exit status 0.")).to_be_visible()


@pytest.mark.alone
def test_half_a_minute_without_a_network_costs_time_and_nothing_else(
    signed_in, console, remote_user, home, far_instance
):
    page, shown = signed_in, Shown(signed_in)
    way, name = far_instance
    page.reload()
    with terminal_on(page, name) as rows:
        type_line(page, "echo rea''dy; cat > through; echo le''ft $((40+2))")
        # Before that the shell has the terminal, and echoes what is typed by itself.
        expect(rows).to_contain_text("ready")
        type_line(page, "before")
        until(lambda: holds(home / "through", "before\n"), within_s=90)
        way.cut()
        for number in range(DOWN_S):
            type_line(page, str(number))
            page.wait_for_timeout(1000)
        expect(page.get_by_text("No answer", exact=True)).to_be_visible()
        expect(page.get_by_text("The instance does not answer. What is typed is sent when it does.")).to_be_visible()
        way.mend()
        type_line(page, "after")
        page.keyboard.press("Control+d")
        expect(rows).to_contain_text("left 42", timeout=120_000)
        typed = ["before", *map(str, range(DOWN_S)), "after"]
        assert (home / "through").read_text() == "".join(f"{line}\n" for line in typed)
        # Echoed once each, in order, and nothing else.
        expect(rows).to_contain_text(re.compile(r"left 42\s*> \s*$"))
        expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        expect(page.get_by_text("does not answer")).to_have_count(0)
        lines = drawn(page)
        assert lines[1 : len(typed) + 4] == ["ready", *typed, "left 42", ">"]
        assert lines == shown.lines
        assert shown.times("attached") == 1
        type_line(page, "exit")
        expect(page.get_by_text("The shell ended with exit status 0.")).to_be_visible()


@pytest.fixture
def far_instance(console, fleet, remote_user):
    """The way to an instance in a network of its own, and its name; the console forgets it in the end."""
    with link() as way, running_sshd(prefix=way.prefix) as server:
        (number,) = register(console, server, remote_user, 1, net=way.net)
        yield way, f"{remote_user}-{way.net}-1"
        console.manage("shell", "-v", "0", "-c", FORGET.format(number=number))


FORGET = """
from console.members.models import User
from instances.inventory import services
from instances.inventory.models import Instance
services.delete_instances(User.objects.get(username="admin"), instances=Instance.objects.filter(pk={number}))
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_storm_of_sizes_ends_with_the_last_one_drawn(signed_in, request, program):
    page = signed_in
    shown = Shown(page)
    rows = request.getfixturevalue("screen")
    command, word, leave = PROGRAMS[program]
    page.set_viewport_size(FINAL)
    until(lambda: rows_on(page) < 40, within_s=60)
    type_line(page, "clear; stty size")
    until(lambda: told_size(page) != (0, 0), within_s=60)
    rows_then, columns_then = told_size(page)
    page.set_viewport_size({"width": 700, "height": 390})
    until(lambda: rows_on(page) < rows_then - 5, within_s=60)

    type_line(page, command)
    expect(rows).to_contain_text(word)
    for step, viewport in enumerate(STORM):
        had = shown.times("size")
        page.set_viewport_size(viewport)
        if step % 8 == 7:
            # Most are over before the page asks for them; not these.
            until(lambda had=had: rows_on(page) and shown.times("size") > had, within_s=60)
    assert shown.times("size") >= len(STORM) // 8
    page.set_viewport_size(FINAL)
    until(lambda: rows_on(page) == rows_then and drawn(page) == shown.lines, within_s=60)
    assert any(word in line for line in drawn(page))

    page.keyboard.type(leave)
    expect(rows).to_contain_text(re.compile(r"> \s*$"))
    type_line(page, f"clear; stty size; printf 'x%.0s' $(seq {columns_then + 1}); echo")
    expect(rows).to_contain_text(re.compile(r"xx> \s*$"))
    assert told_size(page) == (rows_then, columns_then)
    # A line as wide as the page, and one letter on the next.
    assert [line for line in drawn(page) if set(line) == {"x"}] == ["x" * columns_then, "x"]
