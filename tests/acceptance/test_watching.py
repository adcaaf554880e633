"""Watching a run: what was typed wrong, reload, Back, a second viewer, a dropped socket, a console that restarts."""

import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.conftest import PATIENCE_MS
from tests.acceptance.test_main_job import run, select, send
from tests.support.console import PASSWORD
from tests.support.until import until
from tests.support.visitor import Records

COUNTING = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo row $i; sleep 0.02; done"


def log_text(page):
    return page.locator("#log").text_content()


def rows_of(page):
    return [int(number) for number in re.findall(r"row (\d+)", log_text(page))]


def expect_all_rows(page):
    """A quiet, short log is all in the page, so that the browser's own search finds everything; while it is busy, only
    what can be seen is."""
    expect(page.locator("#log")).to_contain_text(re.compile(r"row 1\s.*row 400", re.DOTALL))
    assert rows_of(page) == list(range(1, 401))


def test_an_empty_command_is_refused_beside_the_editor(signed_in):
    page = signed_in
    send(page, "", "web-01")
    run(page)
    expect(page.locator("#send-command-error")).to_have_text("Enter a command.")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_wrong_option_keeps_the_text(signed_in):
    page = signed_in
    send(page, "echo kept", "web-01")
    page.get_by_text("Options").click()
    page.get_by_label("At a time").fill("0")
    run(page)
    expect(page.get_by_text(re.compile("Enter a number from 1 to 1000"))).to_be_visible()
    expect(page.locator(".cm-content")).to_have_text("echo kept")


def test_a_double_click_makes_one_run(signed_in, console):
    page = signed_in
    send(page, "echo pressed twice", "web-01")
    page.get_by_role("button", name=re.compile("^Run on")).dblclick()
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")
    made = "SELECT id FROM console_run WHERE command = 'echo pressed twice'"
    assert len(Records(console.folder).rows(made)) == 1


def test_reload_and_back_show_the_same_run_with_nothing_missing(signed_in):
    page = signed_in
    send(page, COUNTING, "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text("row 20")
    page.reload()
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")
    expect(page.locator("#log")).to_contain_text("row 400")
    expect_all_rows(page)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.go_back()
    expect(page.locator("#log")).to_contain_text("row 400")


def test_a_second_viewer_sees_the_same_and_may_stop(signed_in, second_viewer):
    page = signed_in
    send(page, "echo seen by both; sleep 300", "web-02")
    run(page)
    expect(page.locator("#log")).to_contain_text("seen by both")
    second_viewer.goto(page.url)
    expect(second_viewer.locator("#log")).to_contain_text("seen by both")
    second_viewer.locator("#stop-one").click()
    expect(page.locator("#run-rows")).to_contain_text("Stopped")
    expect(second_viewer.locator("#run-rows")).to_contain_text("Stopped")


def test_a_dropped_socket_loses_nothing_and_doubles_nothing(signed_in):
    page = signed_in
    page.add_init_script(
        "const Real = WebSocket; window.sockets = [];"
        "window.WebSocket = class extends Real { constructor(...a) { super(...a); window.sockets.push(this); } };"
    )
    page.reload()
    send(page, COUNTING, "web-03")
    run(page)
    for seen in ("row 10", "row 100", "row 200"):
        expect(page.locator("#log")).to_contain_text(seen)
        page.evaluate("window.sockets.at(-1).close()")
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")
    expect(page.locator("#log")).to_contain_text("row 400")
    expect_all_rows(page)


def test_what_was_on_its_way_does_not_put_a_former_filter_back(signed_in, remote_user):
    page, held, is_held = signed_in, [], []

    def connect(socket):
        def pass_on(message):
            if is_held and "run-rows" in str(message):
                held.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(pass_on)

    page.route_web_socket(re.compile("/ws/$"), connect)
    page.reload()
    select(page, "web-01", "web-02")
    send(page, "until [ -e ~/let-go ]; do sleep 0.1; done", "web-03")
    run(page)
    page.get_by_role("link", name=re.compile("^Running 3")).click()
    expect(page.locator("#run-rows[data-status=active] tr[data-i]")).to_have_count(3)
    is_held.append(True)
    Path(f"/home/{remote_user}/let-go").touch()
    until(lambda: page.evaluate("1") and held)
    page.get_by_role("link", name=re.compile("^All 3")).click()
    expect(page.locator("#run-rows[data-status=all] tr[data-i]")).to_have_count(3)
    is_held.clear()
    for socket, message in held:
        socket.send(message)
    expect(page.locator("#run-summary")).to_have_attribute("data-ended", "yes")
    expect(page.locator("#run-rows[data-status=all]").get_by_text("Succeeded")).to_have_count(3)


def test_an_answer_that_comes_late_does_not_put_a_former_state_back(signed_in, remote_user):
    page, late = signed_in, []
    select(page, "web-01")
    send(page, "until [ -e ~/go-on ]; do sleep 0.1; done", "web-02")
    run(page)
    expect(page.locator("#run-rows").get_by_text("Running")).to_have_count(2)
    page.route(re.compile(r"/runs/\d+/\?.*i=1"), lambda route: late.append((route, route.fetch())))
    page.locator("#open-1").click()
    until(lambda: page.evaluate("1") and late)
    Path(f"/home/{remote_user}/go-on").touch()
    expect(page.locator("#run-summary")).to_have_attribute("data-ended", "yes")
    [(route, answer)] = late
    route.fulfill(response=answer)
    expect(page).to_have_url(re.compile("i=1"))
    expect(page.locator("#run-opened[data-i='1']")).to_contain_text("Succeeded")


def test_output_is_text_whatever_it_holds(signed_in):
    page = signed_in
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script></hx-partial>"
    send(page, f"printf '%s\\n' '{nasty}'; printf '\\033[31mred\\033[0m\\n'; printf 'oh\\n' >&2", "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text(nasty)
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")
    assert page.locator("#log img, #log script, #run-rows img").count() == 0
    assert "\x1b" not in log_text(page)


def test_after_the_end_another_command_goes_to_the_same_instances(signed_in):
    page = signed_in
    send(page, "echo one", "web-01", "web-02")
    run(page)
    expect(page.locator("#run-rows").get_by_text("Succeeded")).to_have_count(2)
    first = page.url
    page.keyboard.press("c")
    expect(page.locator(".cm-content")).to_have_text("echo one")
    page.keyboard.press("Control+a")
    page.keyboard.type("echo two")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#log")).to_contain_text("two")
    expect(page.locator("#run-rows").get_by_text("Succeeded")).to_have_count(2)
    assert page.url != first


def test_a_failing_command_shows_its_exit_status_and_runs_again_where_it_failed(signed_in):
    page = signed_in
    send(page, "exit 7", "web-01", "web-02")
    run(page)
    expect(page.locator("#run-rows").get_by_text("Failed")).to_have_count(2)
    expect(page.locator("#run-opened")).to_contain_text("exit status 7")
    first = page.locator("#run").get_attribute("data-run")
    page.locator("#run summary").filter(has_text="Run again").click()
    page.get_by_role("link", name="On those that failed").click()
    run(page)
    expect(page.locator("#run")).not_to_have_attribute("data-run", first)
    expect(page.locator("#run-rows").get_by_text("Failed")).to_have_count(2)


def test_the_selection_survives_filter_reload_and_back(signed_in):
    page = signed_in
    select(page, "web-02")
    page.locator("#q").fill("web-03")
    expect(page.get_by_label("Select web-02")).to_have_count(0)
    page.locator("#q").fill("")
    expect(page.get_by_label("Select web-02", exact=True)).to_be_checked()
    page.reload()
    expect(page.get_by_label("Select web-02", exact=True)).to_be_checked()


@pytest.fixture
def without_scripts(browser, browser_context_args, console, fleet):
    context = browser.new_context(**browser_context_args, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{console.url}/sign-in/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    yield page
    context.close()


def test_without_javascript_one_can_filter_send_and_read_the_result(without_scripts):
    page = without_scripts
    page.locator("#q").fill("web-02")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="web-01", exact=True)).to_have_count(0)
    page.get_by_role("link", name="Send Command to web-02").click()
    page.get_by_label("Command", exact=True).fill("echo without scripts")
    page.get_by_role("button", name=re.compile("^Run")).click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/"))
    until(lambda: page.reload() and "Succeeded" in page.locator("#run-rows").inner_text(), within_s=90, every_s=0.3)
    expect(page.locator("body")).to_contain_text("without scripts")


def child_of(console, word):
    for pid in console.children():
        if word in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return pid
    raise AssertionError(f"no {word} process")


@contextmanager
def nobody_restarts(console):
    """For the block the supervisor stands still: who dies stays away until it was seen what that looks like."""
    console.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        console.process.send_signal(signal.SIGCONT)


@pytest.mark.outage
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_web_process_loses_nothing(signed_in, console, number):
    page = signed_in
    send(page, COUNTING, "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text("row 30")
    with nobody_restarts(console):
        os.kill(child_of(console, "web"), number)
        expect(page.get_by_text("Connection lost, reconnecting")).to_be_visible()
    expect(page.locator("#run-rows")).to_contain_text("Succeeded")
    expect_all_rows(page)


def test_signed_out_elsewhere_the_page_says_so_and_keeps_the_draft(signed_in, console):
    page = signed_in
    send(page, "echo a draft", "web-01")
    page.keyboard.press("Escape")
    everywhere = (
        "from console.models import User; u = User.objects.get(username='admin'); u.session_epoch += 1; u.save()"
    )
    console.manage("shell", "-v", "0", "-c", everywhere)
    page.get_by_role("link", name=re.compile("Sign in")).first.click()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("1 instance selected")).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator(".cm-content")).to_have_text("echo a draft")


def test_a_flood_keeps_the_page_usable_and_stops_at_once(signed_in):
    page = signed_in
    send(page, "yes the quick brown fox jumps over the lazy dog", "web-01")
    run(page)
    expect(page.locator("#log")).to_contain_text("lazy dog")
    # By now it is one.
    expect(page.locator("#log .ln").last).to_have_attribute("data-n", re.compile(r"^\d{5,}$"))
    # The button is drawn anew with every piece of news, which leaves a browser no two frames to find it standing still.
    page.keyboard.press("s")
    expect(page.locator("#run-rows")).to_contain_text("Stopped")
    expect(page.locator("#log")).to_contain_text("lazy dog")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
