"""From an empty console to a trusted instance, by hand: every step a newcomer takes."""

import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.conftest import PASSWORD, sign_in
from tests.support.console import running_console


@pytest.fixture(scope="module")
def empty_console():
    with running_console() as running:
        yield running


@pytest.mark.sshd
def test_from_an_empty_console_to_the_first_output(page, empty_console, sshd, remote_user):
    sign_in(page, empty_console)
    expect(page.get_by_text("There are no instances yet")).to_be_visible()

    page.get_by_role("link", name="Add an instance").first.click()
    page.get_by_label("Name", exact=True).fill("web-01")
    page.get_by_label("Address").fill(f"127.4.0.1:{sshd.port}")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("It has no credential").first).to_be_visible()

    page.get_by_role("link", name="add one").click()
    page.get_by_label("Name", exact=True).fill("deploy key")
    page.get_by_label("User name", exact=True).fill(remote_user)
    page.get_by_label("Private key").first.check()
    page.locator("textarea[name=key]").fill(sshd.user_key.decode())
    page.get_by_role("button", name="Add credential").click()

    page.goto(empty_console.url)
    page.get_by_role("link", name="web-01", exact=True).click()
    accepted = sshd.accepted
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text(re.compile("host key is not trusted yet"))).to_be_visible()
    assert sshd.accepted == accepted

    page.get_by_role("link", name="Review its host key").click()
    expect(page.get_by_text(sshd.host_key.fingerprint)).to_be_visible()
    page.get_by_label("Select the key of web-01").check()
    page.get_by_role("button", name="Trust selected").click()

    page.goto(empty_console.url)
    page.get_by_role("link", name=re.compile("Send Command")).first.click()
    page.keyboard.type("id -un")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#log")).to_contain_text(remote_user)
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")


def test_a_wrong_password_is_told_without_saying_which_part_was_wrong(page, empty_console):
    page.goto(f"{empty_console.url}/sign-in/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("not " + PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url(re.compile("/sign-in/"))
