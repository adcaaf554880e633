"""Import and jump hosts in a browser: the preview reads well, and names are offered while one types."""

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import flaws

TABLE = "name,address,via,role\ngate,10.7.0.1,,\nfar-db,10.7.0.2,gate,db\nagain,10.7.0.1,,\nwrong,ho st,,\n"


def test_an_import_is_previewed(signed_in, console, tmp_path):
    page = signed_in
    file = tmp_path / "hosts.csv"
    file.write_text(TABLE)
    page.goto(console.url + "/instances/import/")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Show what this adds").click()
    expect(page.get_by_role("button", name="Add 2 instances, leave out 1")).to_be_visible()
    expect(page.get_by_role("row", name="far-db")).to_contain_text("gate")
    expect(page.get_by_role("textbox", name="Or its text")).to_have_value(TABLE)
    page.get_by_text("1 line names what is there already").click()
    expect(page.get_by_text("again, 10.7.0.1")).to_be_visible()
    assert flaws(page) == []


def test_jump_hosts_are_offered_while_one_types(signed_in, console):
    page = signed_in
    page.goto(console.url + "/instances/add/")
    page.get_by_label("Reached through").press_sequentially("b-02")
    expect(page.locator("#jump-hosts option[value='web-02']")).to_be_attached()
    expect(page.locator("#jump-hosts option[value='web-01']")).to_have_count(0)
