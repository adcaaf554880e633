"""A console as it is started tells people and programs that a run has ended."""

import json

import pytest

from tests.support.console import running_console
from tests.support.receiver import mails_received, posts_received
from tests.support.until import until

pytestmark = pytest.mark.slow

ADD = """
from console.members.models import User
from console.notifications import services
admin = User.objects.get(username="admin")
services.add_destination(admin, name="chat", kind="webhook", url={url!r})
services.add_destination(admin, name="ops", kind="email", addresses=["ops@example.org"])
"""


def test_a_webhook_that_failed_once_and_a_mail_arrive_after_the_run():
    with posts_received() as posts, mails_received() as (port, mails):
        posts.statuses = [503, 204]
        with running_console(MUSTER_EMAIL_URL=f"smtp://127.0.0.1:{port}") as console:
            console.shell(ADD, url=posts.url)
            console.manage("run", "--on", ".", "--notify", "chat", "--notify", "ops", "echo out; true")
            # Each may be tried once more on a machine that is slow to answer, a minute later.
            until(lambda: mails and len(posts.got) >= 2, 240)
    first, second = posts.got[:2]
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    told = json.loads(second[1])["data"]
    assert (told["status"], told["counts"], told["sent_by"]) == ("succeeded", {"succeeded": 1}, "cli")
    assert mails[0]["To"] == "ops@example.org"
    assert "succeeded (1 succeeded): echo out; true" in mails[0]["Subject"].replace("\n", "")
