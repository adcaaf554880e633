import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.console import PASSWORD, Console, running_console
from tests.support.sshd import Sshd, ordinary_user, running_sshd
from tests.support.terminal_screen import terminal_on

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
# A refused form answers 422, and a browser logs every 4xx; the pages themselves must log nothing.
EXPECTED_CONSOLE = ("status of 422",)
# What a browser logs while the console is down, or dies over a request; only tests marked ``outage`` bring that about.
OUTAGE_CONSOLE = ("WebSocket connection to", "htmx:ws:error", "net::ERR_CONNECTION_", "net::ERR_EMPTY_RESPONSE")

# Not how quick it is to be: two cores may be busy with other tests.
PATIENCE_MS = 90_000
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items):
    for item in items:
        if "acceptance" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    switches = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --process-per-site"
    )
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": switches.split()}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args):
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def context(browser: Browser, browser_context_args: dict[str, Any]) -> Iterator[BrowserContext]:
    """What the pages of all tests are opened in, one test's after the other's.

    A page of this site stays open, and with it the process that draws them: a new one reads and compiles every script
    anew, which costs more than most tests.
    """
    context = browser.new_context(**browser_context_args)
    keeper = context.new_page()
    keeper.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
    keeper.goto("http://127.0.0.1/")
    yield context
    context.close()


# Cookies are taken away; this is for what else a browser keeps. A tab's name stays with it from page to page.
FORGETS = """
if (location.protocol === "http:" && !window.name) {
  localStorage.clear();
  window.name = "begun";
}
"""


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a browser that remembers nothing.

    Its test fails on any console error, page error or violation of the content security policy.
    """
    context.clear_cookies()
    page = context.new_page()
    page.add_init_script(FORGETS)
    try:
        yield from watched(page, OUTAGE_CONSOLE if request.node.get_closest_marker("outage") else ())
    finally:
        page.close()


def watched(page: Page, also_expected: tuple[str, ...] = ()) -> Iterator[Page]:
    bad: list[str] = []
    page.on("pageerror", lambda error: bad.append(f"page error: {error}"))
    page.on("console", lambda message: _note(bad, message, EXPECTED_CONSOLE + also_expected))
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation',"
        " e => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.target.outerHTML))"
    )
    page.set_default_timeout(PATIENCE_MS)
    yield page
    assert not bad, bad


def _note(bad, message, expected):
    if message.type == "error" and not any(known in message.text for known in expected):
        bad.append(f"console: {message.text} {message.location}")


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def remote_user() -> Iterator[str]:
    with ordinary_user("musteracc") as name:
        yield name


@pytest.fixture(scope="session")
def console() -> Iterator[Console]:
    with running_console() as running:
        yield running


@pytest.fixture(scope="session")
def fleet(console: Console, sshd: Sshd, remote_user: str) -> list[str]:
    """Three instances that are reached through the one sshd, with a credential and trusted host keys."""
    script = SEED.format(key=sshd.user_key.decode(), user=remote_user, port=sshd.port, host_key=sshd.host_key.line)
    return console.manage("shell", "-v", "0", "-c", script).split()


SEED = """
from console.members.models import User
from instances.credentials import services as credentials
from instances.credentials.models import CredentialKind
from instances.engine.types import HostKey as Presented
from instances.host_keys import services as host_keys
from instances.inventory import services as inventory
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
key = credentials.add_credential(admin, name="fleet", kind=CredentialKind.KEY, user_name={user!r}, secret={key!r},
                                 passphrase="")
for number in range(1, 4):
    Instance.objects.create(name=f"web-{{number:02}}", address=f"127.3.0.{{number}}", port={port}, credential=key)
for instance in Instance.objects.all():
    row = host_keys.note_presented(instance, Presented.parse({host_key!r}))
    host_keys.trust(admin, host_keys=[row])
    print(instance.name)
"""


@pytest.fixture
def signed_in(page: Page, console: Console, fleet: list[str]) -> Page:
    """A page on the dashboard, signed in as the administrator, with the fleet in the list."""
    sign_in(page, console)
    return page


# What a browser keeps of a sign-in, by console and name: a person does not sign in for each thing they do either.
_kept: dict[tuple[str, str], list[Any]] = {}


def sign_in(
    page: Page, console: Console, name: str = "admin", password: str = PASSWORD, *, is_kept: bool = True
) -> None:
    """Go to the instances as this person: through the sign-in page, unless a session is kept and still good."""
    page.context.add_cookies(_kept.get((console.url, name), []) if is_kept else [])
    page.goto(f"{console.url}/")
    if "/sign-in/" in page.url:
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{console.url}/")
        if is_kept:
            _kept[console.url, name] = page.context.cookies()
    expect(page.get_by_role("heading", name="Instances")).to_be_visible()
    # Faster than any hand: a tick followed by a filter before the scripts run is lost with the list.
    expect(page.locator("html[data-scripts]")).to_have_count(1)


@pytest.fixture
def screen(signed_in: Page) -> Iterator[Locator]:
    """The rows of a terminal that is open on web-01, once it is asked for."""
    with terminal_on(signed_in, "web-01") as rows:
        yield rows


@pytest.fixture
def second_viewer(browser: Browser, browser_context_args, console: Console) -> Iterator[Page]:
    """Another browser, signed in as the same person."""
    context = browser.new_context(**browser_context_args)
    for page in watched(context.new_page()):
        sign_in(page, console, is_kept=False)
        yield page
    context.close()
