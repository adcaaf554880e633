"""First on one, then ask: two people watch, one continues, the other stops the rest."""

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import look, violations
from tests.acceptance.test_main_job import run, send


def test_first_on_one_then_ask_then_stop_the_rest(signed_in, second_viewer):
    ada, ben = signed_in, second_viewer
    send(ada, "echo rolled out", "web-01", "web-02", "web-03")
    ada.get_by_text("Options").click()
    ada.get_by_label("First on").fill("1")
    ada.get_by_label("Batch size").fill("34%")
    ada.get_by_label("Ask between batches").select_option("Yes")
    ada.get_by_label("At a time").fill("none")
    run(ada)
    expect(ada.get_by_text("Enter a number from 1 to 1000")).to_be_visible()
    ada.get_by_label("At a time").fill("50%")
    assert violations(ada) == []
    run(ada)
    bar = "1 of 1 succeeded. Go on with batch 2 of 3? 2 instances have not started."
    expect(ada.locator("#run-rollout")).to_contain_text(bar)
    expect(ada.locator("#run")).to_contain_text("50% = 1 at a time · first on 1, then asks · batches of 34%")
    expect(ada.locator("#run-rows").get_by_text("Queued batch 3")).to_be_visible()
    expect(ada).to_have_title("Answer? " + ada.locator("#run").get_attribute("data-title") + " · Muster")
    ben.goto(ada.url)
    expect(ben.locator("#run-rollout")).to_contain_text(bar)
    assert violations(ada) == []
    ada.get_by_role("button", name="Continue").click()
    for page in (ada, ben):
        expect(page.locator("#run-rollout")).to_contain_text("2 of 2 succeeded. Go on with batch 3 of 3?")
    look(ben, "dark", 390)
    assert violations(ben) == []
    assert not ben.evaluate("document.documentElement.scrollWidth > innerWidth")
    ben.get_by_role("button", name="Stop the rest").click()
    for page in (ada, ben):
        expect(page.locator("#run-rollout")).to_have_count(0)
        expect(page.locator("#run-summary")).to_contain_text("Partly succeeded")
        expect(page.locator("#run-rows").get_by_text("Skipped")).to_have_count(1)
    expect(ada).to_have_title(ada.locator("#run").get_attribute("data-title") + " · Muster")
