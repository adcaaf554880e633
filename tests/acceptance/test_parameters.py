"""Parameters of a saved command in the browser: declared, asked for in the dialog, refused, sent, sent again."""

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import run, select

SECRET = "k4nary-of-a-parameter"
TEXT = "printf '<%s>' {{what}} \"{{token}}\" {{instance.name}}"


def test_a_saved_command_asks_for_its_parameters_in_the_dialog(signed_in, console):
    page = signed_in
    page.goto(f"{console.url}/saved/new/")
    page.locator("#id_name").fill("Say what")
    page.get_by_label("Shell, for Linux and macOS").fill(TEXT)
    page.get_by_text("what is asked for when it is sent").click()
    first, second = page.locator("fieldset.parameter").nth(0), page.locator("fieldset.parameter").nth(1)
    first.get_by_label("Name").fill("what")
    first.get_by_label("Pattern").fill("[^!]*")
    first.get_by_label("Required").check()
    # Enter saves, whatever button comes first.
    first.get_by_label("Name").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved.")
    expect(page.get_by_text("{{token}} is not declared")).to_be_visible()
    page.get_by_role("button", name="More rows").click()
    expect(page.locator("fieldset.parameter")).to_have_count(4)
    second.get_by_label("Name").fill("token")
    second.get_by_label("Type").select_option("secret")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Declared parameters")).to_contain_text("[^!]*")
    assert violations(page) == []

    page.goto(console.url)
    select(page, "web-01", "web-02")
    page.keyboard.press("c")
    page.get_by_label("Use a saved command").select_option("Say what")
    expect(page.get_by_text("of Say what, version 1")).to_be_visible()
    expect(page.locator(".cm-content")).to_contain_text("{{what}}")
    # However much is asked for, the button is in sight.
    page.locator("details.options > summary").last.click()
    expect(page.get_by_role("button", name="Run on 2 instances")).to_be_in_viewport()
    page.locator("[name=param_what]").fill("no!")
    page.locator("[name=param_token]").fill(SECRET)
    assert violations(page) == []
    # The draft has what was entered, but no secret.
    page.reload()
    expect(page.locator("[name=param_what]")).to_have_value("no!")
    expect(page.locator("[name=param_token]")).to_have_value("")
    page.keyboard.press("c")
    page.locator("[name=param_token]").fill(SECRET)
    run(page)
    expect(page.locator("#send-parameters [role=alert]")).to_contain_text("does not match the pattern")
    expect(page.locator("[name=param_what]")).to_have_value("no!")
    expect(page.locator("[name=param_token]")).to_have_value("")
    page.locator("[name=param_what]").fill("$(id) 'x\"")
    page.locator("[name=param_token]").fill(SECRET)
    run(page)
    expect(page.locator("#log")).to_contain_text("<$(id) 'x\"><***><web-01>")
    page.get_by_text("Show the whole command").click()
    expect(page.locator(".run__surroundings")).to_contain_text("token=hidden")
    assert SECRET not in page.content() + page.evaluate("JSON.stringify({...sessionStorage})")
    assert page.locator("[name=param_token]").input_value() == ""
    expect(page.locator(".cm-content")).to_contain_text("{{what}}")

    # What the form still holds is not what comes from the server.
    page.evaluate("document.querySelector('[name=param_what]').value = 'other'")
    page.get_by_role("link", name="Edit and send again").click()
    expect(page.locator("[name=param_what]")).to_have_value("$(id) 'x\"")
    expect(page.locator(".cm-content")).to_contain_text("{{what}}")
    page.get_by_role("button", name="Send it without parameters").click()
    expect(page.locator("[name=param_what]")).to_have_count(0)
    run(page)
    expect(page.locator("#log")).to_contain_text("<{{what}}><{{token}}>")
