"""Mixed selections in a browser: an editor per OS family, and a page that leads to both runs."""

import re

import pytest
from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import run, select

SEED = """
from console.members.models import User
from console.saved_commands import services
from console.saved_commands.content import Content, Details
from instances.models import Instance
Instance.objects.create(name='win-01', address='10.9.9.8', os='windows')
both = Content(text='uname', windows_type='bat', windows_text='ver', options={'windows_directory': '/w'})
services.keep(User.objects.get(username='admin'), details=Details('which'), content=both)
"""
FORGET = "from instances.models import Instance; Instance.objects.filter(name='win-01').delete()"


@pytest.fixture(scope="module", autouse=True)
def windows(console, fleet):
    """A Windows instance in the list, and a saved command with a text for each family."""
    console.manage("shell", "-v", "0", "-c", SEED)
    yield
    console.manage("shell", "-v", "0", "-c", FORGET)


@pytest.fixture
def page(signed_in):
    return signed_in


def editor(page, name):
    return page.get_by_role("textbox", name=name, exact=True)


def test_a_mixed_selection_has_two_editors_and_makes_two_runs(page):
    select(page, "web-01", "win-01")
    page.keyboard.press("c")
    page.keyboard.type("uname")
    expect(page.get_by_role("heading", name="Linux and macOS (1)")).to_be_visible()
    expect(page.get_by_role("heading", name="Windows (1)")).to_be_visible()
    expect(page.locator("#send-skipped")).to_have_count(0)
    expect(page.locator("[name=windows_type]:checked")).to_have_value("powershell")
    run(page)
    expect(page.locator("#send-windows-error")).to_contain_text("Enter a command, or leave these instances out.")
    expect(editor(page, "Command")).to_have_text("uname")
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert violations(page) == []
    editor(page, "Command for Windows").click()
    page.keyboard.type("hostname")
    run(page)
    expect(page.locator("#log")).to_contain_text("Linux")
    expect(page.locator("#run-rows")).not_to_contain_text("win-01")
    page.get_by_role("link", name=re.compile(r"^run \d+$")).click()
    expect(page.locator("#run .run__meta")).to_contain_text("PowerShell")
    expect(page.locator("#run-rows")).to_contain_text("win-01")
    expect(page.locator("#run-rows")).not_to_contain_text("web-01")


def test_one_family_is_left_out_on_purpose(page):
    select(page, "web-01", "win-01")
    page.keyboard.press("c")
    page.keyboard.type("echo alone")
    page.locator("[name=leave_out_windows]").check()
    run(page)
    expect(page.locator("#log")).to_contain_text("alone")
    expect(page.get_by_text("Sent together")).to_have_count(0)


def test_each_family_offers_its_own_command_types(page):
    select(page, "win-01")
    page.keyboard.press("c")
    types = page.locator("[data-types] label:visible")
    expect(types).to_have_text(["Bat", "PowerShell"])
    expect(page.locator("[name=command_type]:checked")).to_have_value("powershell")
    page.keyboard.press("Escape")
    page.get_by_label("Select win-01", exact=True).uncheck()
    select(page, "web-01")
    page.keyboard.press("c")
    expect(types).to_have_text(["Shell"])


def test_a_saved_command_fills_in_the_text_of_each_family_that_is_selected(page):
    select(page, "win-01")
    page.keyboard.press("c")
    page.get_by_label("Use a saved command").select_option("which")
    expect(editor(page, "Command")).to_have_text("ver")
    expect(page.locator("[name=command_type]:checked")).to_have_value("bat")
    expect(page.locator("[name=working_directory]")).to_have_value("/w")
    page.get_by_role("button", name="Close", exact=True).first.click()
    select(page, "web-01")
    page.keyboard.press("c")
    page.get_by_label("Use a saved command").select_option("which")
    expect(editor(page, "Command")).to_have_text("uname")
    expect(editor(page, "Command for Windows")).to_have_text("ver")
    expect(page.locator("[name=windows_type]:checked")).to_have_value("bat")
    expect(page.get_by_role("button", name="Run on 2 instances")).to_be_visible()
