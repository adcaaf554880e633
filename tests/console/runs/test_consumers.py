from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async

from console.runs import consumers, queue
from console.runs.models import OutputKind
from console.worker import writer
from tests.support import factories, runs
from tests.support.sockets import PatientSocket

pytestmark = pytest.mark.django_db(transaction=True)


def run_with_output(data):
    """Return somebody and a run whose only invocation has printed this and still runs."""
    actor = factories.UserFactory()
    run = runs.send(actor=actor)
    (claim,) = queue.claim(runs.enlisted_worker(), slots=1)
    journal = runs.journal_of(claim)
    journal.write(OutputKind.STDOUT, data)
    writer.commit([(journal, journal.take())])
    return actor, run


async def opened(actor, run):
    page = PatientSocket(consumers.ViewerConsumer.as_asgi(), "/ws/")
    page.scope |= {"user": actor, "session": SimpleNamespace(session_key="any")}
    assert (await page.connect())[0]
    await page.send_json_to({"type": "open", "run": run.pk, "i": 0, "from": 0})
    channel = (await page.receive_json_from())["ch"]
    return page, channel


@pytest.fixture(autouse=True)
def _signed_in(monkeypatch):
    monkeypatch.setattr(consumers.members, "session_is_live", lambda *_: True)


async def test_who_never_says_what_arrived_is_sent_away(monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    monkeypatch.setattr(consumers, "ACK_WITHIN_S", 0.3)
    page, _ = await opened(*await database_sync_to_async(run_with_output)(b"hello"))
    assert (await page.receive_from()).endswith(b"hello")
    assert (await page.receive_output()) == {"type": "websocket.close", "code": consumers.TOO_SLOW}


async def test_who_says_what_arrived_stays(monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_S", 0.05)
    page, channel = await opened(*await database_sync_to_async(run_with_output)(b"hello"))
    assert (await page.receive_from()).endswith(b"hello")
    await page.send_json_to({"type": "ack", "ch": channel, "upto": 5})
    # Answered after what was said before it: from now on who has not said what arrived is sent away at once.
    await page.send_json_to({"type": "unheard of"})
    assert (await page.receive_json_from())["type"] == "error"
    monkeypatch.setattr(consumers, "ACK_WITHIN_S", -1.0)
    looks = []
    monkeypatch.setattr(consumers.members, "session_is_live", lambda *_: looks.append("live") or True)
    # The third begins after the second was through.
    while len(looks) < 3:
        assert await page.receive_nothing(timeout=0.05)
    await page.disconnect()


NONSENSE = {
    "blank": " ",
    "cut": "{",
    "list": "[]",
    "number": "7",
    "nothing": '{"type": "nothing"}',
    "word": '{"type": "open", "run": "x"}',
    "infinity": '{"type": "watch", "run": Infinity}',
    "huge": '{"type": "watch", "run": 1, "page": 1e400}',
    "deep": "[" * 30_000,
    "long": '{"type": "watch", "run": 1, "status": "' + "x" * consumers.MAX_MESSAGE_BYTES + '"}',
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_answered_not_obeyed(said):
    page = PatientSocket(consumers.ViewerConsumer.as_asgi(), "/ws/")
    actor = await database_sync_to_async(factories.UserFactory)()
    page.scope |= {"user": actor, "session": SimpleNamespace(session_key="any")}
    assert (await page.connect())[0]
    await page.send_to(text_data=said)
    assert (await page.receive_json_from())["type"] == "error"
    await page.disconnect()


async def watched(actor, run):
    page = PatientSocket(consumers.ViewerConsumer.as_asgi(), "/ws/")
    page.scope |= {"user": actor, "session": SimpleNamespace(session_key="any")}
    assert (await page.connect())[0]
    await page.send_json_to({"type": "watch", "run": run.pk})
    assert "run-summary" in await page.receive_from()
    return page


async def test_what_a_page_asks_for_does_not_wait_for_the_next_status(monkeypatch):
    monkeypatch.setattr(consumers, "STATUS_GAP_S", 30)
    actor, run = await database_sync_to_async(run_with_output)(b"hello")
    page = await watched(actor, run)
    await page.send_json_to({"type": "open", "run": run.pk, "i": 0, "from": 0})
    assert (await page.receive_json_from())["type"] == "opened"
    assert (await page.receive_from()).endswith(b"hello")
    await page.disconnect()


async def test_a_status_that_was_held_back_is_sent_when_it_is_due(monkeypatch):
    monkeypatch.setattr(consumers, "STATUS_GAP_S", 0.3)
    monkeypatch.setattr(consumers, "LOOK_AGAIN_S", 30)
    actor, run = await database_sync_to_async(run_with_output)(b"hello")
    page = await watched(actor, run)

    def news():
        run.invocations.update(last_line="changed", revision=queue.next_revision(run))

    await database_sync_to_async(news)()
    await page.send_json_to({"type": "unheard of"})
    assert (await page.receive_json_from())["type"] == "error"
    assert "changed" in await page.receive_from()
    await page.disconnect()
