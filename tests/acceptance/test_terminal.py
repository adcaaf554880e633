"""Terminals in a real browser, to a real sshd: drawn, pasted into, shared, and never misused by the instance."""

import hashlib
import pwd
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.test_accessibility import flaws
from tests.support.terminal_screen import Shown, drawn, paste, rows_on, told_size, type_line
from tests.support.until import until

PASTE = "".join(f"{number:05d} {'é…x漢' * 17}\n" for number in range(600))
# What programs need to be told: device attributes, status, cursor, modes, focus.
ANSWERS = re.compile(
    rb"(?:\x1b\[\?1;2c|\x1b\[>0;276;0c|\x1b\[0n|\x1b\[\??\d+;\d+R|\x1b\[\??\d+;[0-4]\$y|\x1b\[[IO])*", re.DOTALL
)
FORBIDDEN = [
    "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07",
    "\x1b]52;c;bHM=\x07",
    "\x1b]52;c;?\x07",
    "\x1bP$qm\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b[14t\x1b[18t\x1b[19t\x1b[20t\x1b[21t",
    "\x1b]0;reboot\r\x07\x1b[21t",
    "\x1b]4;1;?\x07\x1b]10;?\x07\x1b]11;?\x07\x1b]12;?\x07",
    "\x1b[2147483647S\x1b[2147483647L\x1b[2147483647b",
]
ASKED = ["\x1b[c", "\x1b[>c", "\x1b[5n", "\x1b[6n", "\x1b[?2004$p", "\x1b[?1004h\x1b[?1004l"]


@pytest.mark.sshd
def test_a_terminal_from_opening_to_exit(signed_in, remote_user, request):
    page = signed_in
    shown = Shown(page)
    rows = request.getfixturevalue("screen")
    type_line(
        page, "echo $((6*7)); printf '\\033[31mred\\033[38;2;9;99;9mtrue\\033[0;7mback\\033[0m\\033]0;other\\007\\n'"
    )
    expect(rows).to_contain_text("42")
    expect(page.get_by_text("The instance calls this: other")).to_be_visible()
    expect(page).to_have_title(re.compile("^web-01"))
    colours = {"red": "rgb(179, 38, 30)", "true": "rgb(9, 99, 9)", "back": "rgb(251, 251, 252)"}
    for word, colour in colours.items():
        cell = rows.get_by_text(word, exact=True).last
        assert cell.evaluate("(cell) => getComputedStyle(cell).color") == colour, word

    # One process from its word to its end: Ctrl+C is lost where a shell is just between two, or has not begun any.
    type_line(page, "sh -c 'echo sle''eps; exec sleep 100'")
    expect(rows).to_contain_text("sleeps")
    page.keyboard.press("Control+c")
    expect(rows).to_contain_text("^C")
    before = rows_on(page)
    # What programs are told is what the page shows.
    type_line(page, "clear; sh -c 'while sleep 0.1; do stty size; done'")
    page.set_viewport_size({"width": 900, "height": 600})
    until(lambda: rows_on(page) < before and told_size(page)[0] == rows_on(page), within_s=60)
    page.keyboard.press("Control+c")
    expect(rows).to_contain_text("^C")

    type_line(page, "vim -u NONE -N -n -R -c 'set number ruler' /etc/services")
    expect(rows).to_contain_text("1,1")
    page.keyboard.type("/443.tcp\nzt")
    expect(rows).to_contain_text(re.compile(r"\d+,[2-9]"))
    until(lambda: drawn(page) == shown.lines, within_s=60)
    type_line(page, ":q!")
    expect(rows).to_contain_text(re.compile(r"services'?\s*> \s*$"))

    # It draws once: the next time would be in minutes.
    type_line(page, "top -d 900")
    expect(rows).to_contain_text("%CPU")
    until(lambda: drawn(page) == shown.lines, within_s=60)
    page.keyboard.type("q")
    expect(rows).to_contain_text(re.compile(r"> \s*$"))

    type_line(page, "clear; echo rea''dy; cat > pasted; sha256sum pasted")
    expect(rows).to_contain_text("ready")
    paste(page, PASTE)
    page.keyboard.press("Control+d")
    expect(rows).to_contain_text(hashlib.sha256(PASTE.encode()).hexdigest())
    assert (Path(pwd.getpwnam(remote_user).pw_dir) / "pasted").read_text() == PASTE
    type_line(page, "clear; seq 1200 | sed s/$/th/")
    expect(rows).to_contain_text("1200th")
    page.keyboard.press("Control+Shift+F")
    page.keyboard.type("th")
    expect(page.locator("[data-terminal-hits]")).to_contain_text("of 1000 or more")
    page.keyboard.press("Control+a")
    page.keyboard.type("77th")
    expect(page.locator("[data-terminal-hits]")).to_have_text("1 of 12")
    page.keyboard.press("Escape")
    # Lines pasted at a prompt wait for Enter, whatever is hidden in them.
    type_line(page, "clear; bind 'set enable-bracketed-paste on'; echo rea''dy")
    expect(rows).to_contain_text(re.compile(r"ready\s*> "))
    paste(page, "echo one$((1+1))\necho two$((1+1))\x1b[201~\r")
    expect(rows).to_contain_text("echo two$((1+1))")
    assert "one2" not in rows.text_content()
    page.keyboard.press("Control+c")

    assert flaws(page) == []
    page.keyboard.press("Control+Shift+Space")
    expect(page.locator(".terminal__tools button:focus")).to_have_count(1)
    page.locator(".xterm-helper-textarea").focus()
    type_line(page, "exit 3")
    expect(page.get_by_text("The shell ended with exit status 3.")).to_be_visible()
    # What is said takes room above the screen, and its last lines are in sight all the same.
    bottom = "(element) => element.getBoundingClientRect().bottom"
    until(lambda: page.locator(".xterm-screen").evaluate(bottom) <= page.locator(".terminal__frame").evaluate(bottom))
    page.get_by_role("button", name="Open a new one").click()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()


@pytest.mark.sshd
def test_two_browsers_and_a_reload_and_a_lost_connection(signed_in, second_viewer, request):
    page, other = signed_in, second_viewer
    page.add_init_script(
        "const Real = WebSocket; window.sockets = [];"
        "window.WebSocket = class extends Real { constructor(...a) { super(...a); window.sockets.push(this); } };"
    )
    rows = request.getfixturevalue("screen")
    type_line(page, "seq 200; stty -echo; echo si''lent; cat")
    expect(rows).to_contain_text("silent")
    page.reload()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    expect(rows).to_contain_text("silent")
    keys = "".join(f"{number}," for number in range(60))
    for at, key in enumerate(keys):
        page.keyboard.type(key)
        if at in (20, 70, 110):
            page.evaluate("window.sockets.filter((one) => one.url.includes('terminals')).at(-1).close()")
    page.keyboard.press("Enter")
    expect(rows).to_contain_text(keys)

    other.goto(page.url)
    theirs = other.locator(".xterm-rows")
    expect(theirs).to_contain_text(keys)
    expect(other.get_by_text("Read-only", exact=True)).to_be_visible()
    type_line(other, "never sent")
    other.get_by_role("button", name="Take over").click()
    expect(other.get_by_text("Connected", exact=True)).to_be_visible()
    # Nothing was lost: what was typed before had arrived.
    expect(page.get_by_text("admin took over.", exact=True)).to_be_visible()
    type_line(page, "nor this")
    type_line(other, "from the second")
    expect(rows).to_contain_text("from the second")
    assert not re.search("never sent|nor this", rows.text_content())
    other.get_by_role("button", name="Close").click()
    other.get_by_role("button", name="Close terminal").click()
    expect(page.get_by_text(re.compile("Closed by admin"))).to_be_visible()


@pytest.mark.sshd
def test_nothing_an_instance_prints_makes_the_page_send_what_it_should_not(signed_in, remote_user, request):
    page = signed_in
    rows = request.getfixturevalue("screen")
    home = Path(pwd.getpwnam(remote_user).pw_dir)
    (home / "soup").write_bytes(soup(random.Random(5)))
    reader = 'while IFS= read -rsn1 key && [ "$key" != Q ]; do printf %s "$key"; done'
    type_line(page, f"stty raw -echo; cat soup; {reader} > got; stty sane; clear; echo got $((20+2))")
    expect(rows).to_contain_text("THE END")
    page.keyboard.type("Q")
    expect(rows).to_contain_text("got 22")
    got = (home / "got").read_bytes()
    assert got.startswith(b"\x1b[?1;2c\x1b[>0;276;0c\x1b[0n\x1b[")
    assert ANSWERS.fullmatch(got), got
    # Nothing of it is asked again when another page, or this one, shows what was printed.
    type_line(page, f"clear; echo rea''dy; {reader} > got; echo again $((30+3))")
    expect(rows).to_contain_text("ready")
    page.reload()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    page.keyboard.type("Q")
    expect(rows).to_contain_text("again 33")
    assert (home / "got").read_bytes() == b""
    assert page.locator(".xterm a").count() == 0
    type_line(page, "exit")
    expect(page.get_by_text("The shell ended with exit status")).to_be_visible()


def soup(dice):
    """Output as no program makes it: what must not be answered, what may be, and random sequences of all kinds."""
    parts = [*ASKED, *FORBIDDEN]
    for _ in range(3000):
        kind = dice.randrange(5)
        number = dice.choice([0, 1, 4, 6, 11, 18, 21, 52, 1000, 1004, 1049, 2004, 99_999_999])
        if kind == 0:
            parts.append(dice.choice(ASKED + FORBIDDEN))
        elif kind == 1:
            mark, final = dice.choice(["", "?", ">", "=", "!", "$"]), chr(dice.randrange(64, 127))
            parts.append(f"\x1b[{mark}{number};{number}{final}")
        elif kind == 2:
            parts.append(f"\x1b]{number};{dice.choice(['?', 'c;?', '1;?', 'ls'])}{dice.choice(chr(7) + chr(24))}")
        elif kind == 3:
            parts.append(f"\x1b{dice.choice('P_^X')}{dice.choice(['$qm', '+q544e', '1$r'])}\x1b\\")
        else:
            parts.append("".join(chr(dice.randrange(256)) for _ in range(8)))
    # Back to what a shell expects, whatever was left open.
    return "".join([*parts, "\x18\x1b\\\x1bc\x1b[?1004lTHE END\r\n"]).encode("latin-1")
