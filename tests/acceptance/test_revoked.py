"""A right that is taken away while its owner looks on."""

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import sign_in
from tests.acceptance.test_main_job import run, send
from tests.support.console import PASSWORD, running_console
from tests.support.until import until

SEED = f"""
from console.members.models import User
from console.runs import services
from instances.access.models import Grant, Group, Role
from instances.inventory.models import Instance
group = Group.objects.create(name="theirs")
guest = User(username="guest")
guest.set_password({PASSWORD!r})
guest.save()
Grant.objects.create(user=guest, role=Role.OPERATOR, group=group)
for name in ("lent", "kept"):
    Instance.objects.create(name=name, address="127.3.9.9", port=9, group=group)
lent = Instance.objects.get(name="lent")
print(services.send_command(guest, instances=[lent], command="true", request_key="seed").pk)
"""
TAKE = "from instances.inventory.models import Instance; Instance.objects.filter(name='lent').update(group=None)"


@pytest.fixture(scope="module")
def console():
    """A console of its own: the others' filters and pages must not see these instances."""
    with running_console() as running:
        yield running


def test_who_may_no_longer_see_a_run_is_told_so_once_and_goes_on_with_another(page: Page, console):
    number = console.manage("shell", "-v", "0", "-c", SEED).strip()
    opened, frames = [], []

    def note(socket):
        opened.append(socket.url)
        socket.on("framereceived", lambda frame: frames.append(str(frame)))

    page.on("websocket", note)
    sign_in(page, console, "guest")
    page.goto(f"{console.url}/runs/{number}/")
    expect(page.locator("#run-rows")).to_contain_text("lent")
    expect(page.locator("#run-rows")).to_contain_text("Unreachable")
    # Only who was shown the run by the socket is told that it may no longer be seen.
    until(lambda: page.evaluate("1") and any("run-summary" in frame for frame in frames), within_s=90)
    before = len(opened)

    console.manage("shell", "-v", "0", "-c", TAKE)
    expect(page.locator("#connection")).to_contain_text("You may no longer see this run.")
    expect(page.locator("#connection").get_by_role("link", name="Reload")).to_be_visible()
    # htmx keeps a connection as long as it means to open it again.
    page.wait_for_function("() => !document.querySelector('#socket')._htmx.ws.connection")
    assert len(opened) == before

    page.locator("#run-close").click()
    send(page, "true", "kept")
    run(page)
    expect(page.locator("#run-rows")).to_contain_text("kept")
    expect(page.locator("#run-rows")).to_contain_text("Unreachable")
    until(lambda: page.locator("#connection").inner_text() == "" and len(opened) == before + 1, within_s=90)
