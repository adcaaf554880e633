"""A script file in the browser, with variables of which one is secret."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_main_job import run, select

SECRET = "k4nary-in-the-browser"
SCRIPT = (
    b'#!/usr/bin/env python3\nimport os, sys\nprint("got", sys.argv[1:], os.environ["PLAIN"], os.environ["TOKEN"])\n'
)
DROP = """([text, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(text)], name));
  const place = document.querySelector("#send-form .cm-content");
  for (const kind of ["dragover", "drop"])
    place.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}));
}"""


def opened(page):
    select(page, "web-01")
    page.keyboard.press("c")
    expect(page.locator(".cm-content")).to_be_visible()


def test_a_chosen_file_runs_with_its_variables_and_no_secret_stays_in_the_page(signed_in):
    page = signed_in
    opened(page)
    page.get_by_label("Script file").set_input_files({"name": "say.py", "mimeType": "text/plain", "buffer": SCRIPT})
    expect(page.locator(".cm-content")).to_contain_text("import os, sys")
    expect(page.locator("[data-script-name]")).to_have_text("From say.py.")
    page.locator("details.options > summary").click()
    page.get_by_label("Variables", exact=True).fill("PLAIN=in the clear")
    page.get_by_label("Secret variables").fill(f"TOKEN={SECRET}")
    page.get_by_label("Arguments").fill("--one\ntwo words")
    kept = page.evaluate("JSON.stringify({...sessionStorage})")
    assert "in the clear" in kept
    assert SECRET not in kept
    run(page)
    expect(page.locator("#log")).to_contain_text("got ['--one', 'two words'] in the clear ***")
    expect(page.locator("#run .run__meta")).to_contain_text("say.py")
    assert SECRET not in page.content()
    assert page.locator("[name=secret_environment]").input_value() == ""
    page.get_by_role("link", name="Edit and send again").click()
    expect(page.get_by_label("Secret variables")).to_have_value("TOKEN=\n")
    expect(page.get_by_label("Arguments")).to_have_value("--one\ntwo words\n")
    expect(page.locator("[data-script-name]")).to_have_text("From say.py.")
    page.locator(".cm-content").click()
    page.keyboard.type("x")
    expect(page.locator("[data-script-name]")).to_be_hidden()
    run(page)
    expect(page.get_by_text("Enter a value for TOKEN.")).to_be_visible()


def test_a_file_dropped_onto_the_editor_is_its_text_and_a_binary_one_is_refused(signed_in):
    page = signed_in
    opened(page)
    page.evaluate(DROP, [list(b"echo dropped-$((1+1))\n"), "drop.sh"])
    expect(page.locator(".cm-content")).to_have_text(re.compile("^echo dropped-"))
    page.evaluate(DROP, [list(b"\x7fELF\0"), "a.out"])
    expect(page.locator("#send-script-error")).to_contain_text("binary file")
    expect(page.locator("[data-script-name]")).to_have_text("From drop.sh.")
    run(page)
    expect(page.locator("#log")).to_contain_text("dropped-2")
    expect(page.locator("#run .run__meta")).to_contain_text("drop.sh")
