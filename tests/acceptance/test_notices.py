"""Somebody is told that a run has failed: from the page of destinations to the receiver, and to the log."""

import base64
import hashlib
import hmac
import json
import re

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import violations
from tests.acceptance.test_main_job import run, send
from tests.support.receiver import posts_received
from tests.support.until import until


def test_a_webhook_is_told_of_a_failure_and_the_log_says_so(signed_in, console):
    page = signed_in
    with posts_received() as posts:
        page.goto(f"{console.url}/notifications/add/")
        page.get_by_label("Name").fill("chat")
        page.get_by_role("radio", name="Webhook").check()
        page.get_by_label("Address of the webhook").fill(posts.url)
        page.get_by_role("button", name="Add").click()
        page.get_by_role("link", name="chat", exact=True).click()
        secret = page.get_by_text(re.compile("^whsec_")).inner_text()

        page.goto(console.url)
        send(page, "echo oh; exit 3", "web-01", "web-02")
        page.get_by_text("Options").click()
        page.get_by_label("chat").check()
        page.get_by_label("When", exact=True).select_option("Only if not all succeeded")
        run(page)
        expect(page.locator("#run-rows").get_by_text("Failed")).to_have_count(2)
        until(
            lambda: page.reload() and page.locator("#run").get_by_text("chat: told").count(), within_s=120, every_s=0.3
        )
        number = page.locator("#run").get_attribute("data-run")

        headers, body = posts.got[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        made = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{made}"
        told = json.loads(body)["data"]
        assert (told["run"], told["status"], told["counts"]) == (int(number), "failed", {"failed": 2})
        assert {one["instance"] for one in told["not_succeeded"]} == {"web-01", "web-02"}

        page.goto(f"{console.url}/notifications/log/")
        row = page.locator("tr", has=page.get_by_role("link", name=f"Run {number}", exact=True))
        expect(row).to_contain_text("Sent")
        expect(row).to_contain_text("204")
        assert violations(page) == []
        assert len(posts.got) == 1
