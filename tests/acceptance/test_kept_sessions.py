"""Sessions on a real sshd as the browser shows them: what stays, what is counted, and how each ended is told."""

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.conftest import sign_in
from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import select
from tests.acceptance.test_sessions import send_to_chosen
from tests.support.console import running_console
from tests.support.fleet import register
from tests.support.sshd import ordinary_user
from tests.support.visitor import Records

# Besides those that work: one with a user name that nobody has there, and one that says that it runs Windows.
MORE = """
from console.members.models import User
from instances.credentials import services as credentials
from instances.credentials.models import CredentialKind
from instances.inventory.models import Instance
usual, other = Instance.objects.order_by("pk")[:2]
usual.name, other.name = "web-01", "web-02"
usual.save()
other.save()
wrong = credentials.add_credential(User.objects.get(username="admin"), name="wrong", kind=CredentialKind.KEY,
                                   user_name="nobody-there", secret={key!r}, passphrase="")
third, fourth = Instance.objects.order_by("pk")[2:]
third.name, third.credential, fourth.name, fourth.os = "refusing", wrong, "win-01", "windows"
third.save()
fourth.save()
"""


@pytest.fixture(scope="module")
def account():
    with ordinary_user("mustersessacc") as name:
        yield name


@pytest.fixture(scope="module")
def small(sshd, account):
    """A console where one person may have three sessions open, two of them on one instance."""
    with running_console(MUSTER_SESSIONS_PER_USER="3", MUSTER_SESSIONS_PER_INSTANCE="2") as console:
        register(console, sshd, account, 4, net="127.11.0")
        console.manage("shell", "-v", "0", "-c", MORE.format(key=sshd.user_key.decode()))
        yield console


def live(page):
    return page.locator("#sessions tbody tr").filter(has=page.locator(".pick-session"))


def ended(page):
    return page.get_by_role("region", name="Ended in the last hour").locator("tbody tr")


def open_on_selected(page):
    page.locator("summary").filter(has_text=re.compile("^More$")).click()
    page.get_by_role("button", name="Open session…").click()


def open_on(page, console, name):
    """Go to the form that opens a session on this instance, by way of its page."""
    page.goto(console.url)
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="Open session", exact=True).click()


def run_in(page, console, name, command):
    """Send a command to the session of this name; return its status, what is said of it, and its output."""
    page.goto(f"{console.url}/sessions/")
    live(page).filter(has_text=name).locator(".pick-session").check()
    send_to_chosen(page, command)
    expect(page.locator("#run-summary")).to_have_attribute("data-ended", "yes")
    # The row may be a moment behind the summary.
    opened = page.locator("#run-opened")
    expect(opened.locator("#sha256")).to_be_visible()
    return opened.locator(".bar").first


def test_five_commands_sign_in_once_and_a_lost_connection_is_told(page, small, sshd, account):
    def accepted():
        return sshd.log().count(f"Accepted publickey for {account} ")

    sign_in(page, small)
    before = accepted()
    open_on(page, small, "web-02")
    page.get_by_label("Name").fill("kept")
    page.get_by_role("button", name="Open on 1 instance").click()
    row = live(page).filter(has_text="kept")
    expect(row).to_contain_text("Ready")
    # Name, instance, state, owner.
    expect(row).to_contain_text(re.compile(r"kept.*web-02.*Ready.*admin.*Session bash", re.DOTALL))

    log = page.locator("#log")
    first = "greet() { echo hello-$1; }; alias today='echo an-alias'; export PLACE=here; cd /usr; exact='a  b'"
    expect(run_in(page, small, "kept", first)).to_contain_text("Succeeded")
    run_in(page, small, "kept", 'today; greet you; echo "$exact"; sh -c "echo $PLACE in $PWD"')
    for line in ("an-alias", "hello-you", "a  b", "here in /usr"):
        expect(log.get_by_text(line, exact=True)).to_be_visible()
    expect(run_in(page, small, "kept", "(exit 3)")).to_contain_text("exit status 3")
    expect(run_in(page, small, "kept", "greet never; if")).to_contain_text("exit status 2")
    expect(log).to_contain_text("syntax error")
    expect(log).not_to_contain_text("hello-never")
    expect(run_in(page, small, "kept", "greet again")).to_contain_text("exit status 0")
    expect(log).to_contain_text("hello-again")
    last = page.url
    assert accepted() - before == 1

    page.goto(f"{small.url}/sessions/")
    expect(row).to_contain_text("Ready")
    os.kill(_server_of(small, "kept"), signal.SIGTERM)
    # The page is not loaded again.
    why = "The connection was lost, and the session with it."
    expect(ended(page).filter(has_text="kept")).to_contain_text(f"Broken {why}")
    expect(row).to_have_count(0)
    page.goto(last)
    page.locator("summary", has_text="Run again").click()
    page.get_by_role("link", name="In all sessions").click()
    expect(page.locator("#send-sessions li")).to_contain_text(f"will be skipped: The session kept has ended. {why}")
    page.get_by_role("button", name="Run in 1 session").click()
    expect(page.locator("#run-opened")).to_contain_text(f"The session kept has ended. {why} The command did not run.")
    expect(page.locator("#run-rows").get_by_text("Skipped", exact=True)).to_be_visible()


def _server_of(console, name):
    """The process of sshd that holds the connection of this session."""
    (row,) = Records(console.folder).rows("SELECT remote_pid FROM console_session WHERE name = ?", name)
    status = Path(f"/proc/{row['remote_pid']}/status").read_text()
    return int(re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)[1])


def test_limits_windows_and_what_cannot_be_opened_are_told(page, small):
    sign_in(page, small)
    select(page, "web-01", "web-02", "refusing", "win-01")
    open_on_selected(page)
    form = page.locator("main")
    expect(form).to_contain_text("1 of them runs Windows: what is opened there is PowerShell; Bat is not offered")
    expect(form).to_contain_text("You have 0 of 3 sessions and terminals open; each instance takes 2.")
    page.get_by_label("Name").fill("too-many")
    page.get_by_role("button", name="Open on 4 instances").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "You have 0 of 3 sessions and terminals open; 4 more are too many."
    )
    expect(page.get_by_label("Name")).to_have_value("too-many")

    page.goto(small.url)
    page.get_by_label("Select web-02", exact=True).uncheck()
    open_on_selected(page)
    page.get_by_label("Name").fill("first")
    page.get_by_role("button", name="Open on 3 instances").click()
    expect(live(page).filter(has_text="web-01")).to_contain_text("Ready")
    refused = ended(page).filter(has_text="refusing")
    expect(refused).to_contain_text("Broken The instance refused the user name or credential")
    expect(refused).to_contain_text("never")
    # There is no PowerShell: what the machine answered is told.
    expect(ended(page).filter(has_text="win-01")).to_contain_text("It answered:")
    assert violations(page) == []

    open_on(page, small, "web-01")
    page.get_by_label("Name").fill("second")
    page.get_by_role("button", name="Open on 1 instance").click()
    expect(live(page).filter(has_text="Ready")).to_have_count(2)
    open_on(page, small, "web-01")
    expect(form).to_contain_text("2 sessions are open on it already; more are not allowed (close one first).")
    expect(page.get_by_role("button", name="Open", exact=True)).to_be_disabled()

    page.goto(f"{small.url}/sessions/")
    page.get_by_label("Choose all on this page").check()
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_text("2 sessions are being closed.")).to_be_visible()
    expect(ended(page).filter(has_text="Closed by admin.")).to_have_count(2)
