"""What people see of output that retention removed, also while they look at it."""

import dataclasses
import io
import json
import struct
import threading
from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.urls import reverse

from console.runs import consumers, output, retention, viewing
from console.runs.models import Invocation, Output, OutputKind, Run
from console.runs.terminal_view import TerminalView
from tests.support import factories
from tests.support.runs import ended_run
from tests.support.sockets import PatientSocket

RECORD = struct.Struct(">BIQI")
DATA = bytes(range(256)) * 4096


def remove_output():
    for _ in retention.carry_out(retention.plan(retention.Limits(days=0, output_bytes=1)), actor=None):
        pass


def remove_run(run):
    list(retention.carry_out(retention.Plan(runs=(run.pk,)), actor=None))


def records(frame):
    """The records of a frame as (kind, offset, bytes)."""
    while frame:
        kind, _, offset, length = RECORD.unpack_from(frame)
        yield kind, offset, frame[RECORD.size : RECORD.size + length]
        frame = frame[RECORD.size + length :]


def opened(run, start=0):
    look, _ = viewing.open_output(run.actor, run.pk, 0, channel=1, start=start)
    return look


def gap(size):
    return struct.pack(">Q", size)


# ------------------------------------------------------------------ the socket


@pytest.mark.django_db
def test_removed_output_is_one_counted_gap_and_then_the_end():
    run = ended_run(output=DATA)
    digest = run.invocations.get().sha256
    remove_output()
    look = opened(run)
    frame, end = look.news()
    assert list(records(frame)) == [(OutputKind.GAP, 0, gap(len(DATA)))]
    assert end is None
    frame, end = look.news()
    assert (frame, end["type"], end["size"], end["sha256"]) == (b"", "ended", len(DATA), digest)


@pytest.mark.django_db
def test_what_a_viewer_has_not_got_yet_becomes_a_gap():
    run = ended_run(output=DATA)
    look = opened(run)
    first, _ = look.news()
    shown = b"".join(data for _, _, data in records(first))
    assert DATA.startswith(shown)
    assert 0 < len(shown) < len(DATA)
    remove_output()
    assert list(records(look.news()[0])) == [(OutputKind.GAP, len(shown), gap(len(DATA) - len(shown)))]
    assert look.news()[1]["type"] == "ended"


@pytest.mark.django_db
def test_one_who_has_all_of_it_is_sent_nothing_more():
    run = ended_run()
    look = opened(run)
    look.news()
    remove_output()
    assert look.news()[0] == b""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("whole_run", [False, True])
def test_removing_while_it_is_read_shows_an_exact_prefix_and_a_gap(monkeypatch, whole_run):
    monkeypatch.setattr(retention, "BATCH_ROWS", 1)
    monkeypatch.setattr(viewing, "FRAME_BYTES", 1)
    run = ended_run(output=DATA)
    look = opened(run)
    begun = threading.Event()

    def prune():
        begun.wait(10)
        remove_run(run) if whole_run else remove_output()
        connection.close()

    thread = threading.Thread(target=prune)
    thread.start()
    shown, missing, end = b"", 0, None
    while end is None:
        try:
            frame, end = look.news()
        except Invocation.DoesNotExist:
            assert whole_run
            break
        begun.set()
        for kind, offset, data in records(frame):
            assert offset == len(shown) + missing
            if kind == OutputKind.GAP:
                missing += struct.unpack(">Q", data)[0]
            else:
                assert missing == 0
                shown += data
    thread.join()
    assert DATA.startswith(shown)
    assert whole_run or len(shown) + missing == len(DATA)


@pytest.fixture
def _live(monkeypatch):
    monkeypatch.setattr(consumers.members, "session_is_live", lambda *_: True)


async def connected(viewer):
    page = PatientSocket(consumers.ViewerConsumer.as_asgi(), "/ws/")
    page.scope |= {"user": viewer, "session": SimpleNamespace(session_key="any")}
    assert (await page.connect())[0]
    return page


async def hear(page, wanted):
    """What the page is sent up to the first text with these words."""
    while True:
        message = await page.receive_output()
        assert message["type"] == "websocket.send"
        if wanted in message.get("text", ""):
            return message["text"]


@pytest.fixture
def run():
    run = ended_run(output=DATA)
    # Known before the loop runs: a viewer's account is not looked up there.
    assert run.actor
    return run


@pytest.mark.usefixtures("_live")
@pytest.mark.django_db(transaction=True)
async def test_a_page_that_watches_learns_that_the_output_was_removed(run):
    page = await connected(run.actor)
    await page.send_json_to({"type": "watch", "run": run.pk})
    await page.send_json_to({"type": "open", "run": run.pk, "i": 0, "from": 0})
    assert "removed by retention" not in await hear(page, 'id="run-opened"')
    await database_sync_to_async(remove_output)()
    assert "removed by retention on" in await hear(page, 'id="run-opened"')
    await page.disconnect()


@pytest.mark.usefixtures("_live")
@pytest.mark.django_db(transaction=True)
async def test_a_viewer_of_a_run_that_is_removed_is_told_and_stays_connected(run):
    # Else all is sent and done with before it can be removed.
    await run.invocations.aupdate(status="running")
    page = await connected(run.actor)
    await page.send_json_to({"type": "open", "run": run.pk, "i": 0, "from": 0})
    await hear(page, "opened")
    await database_sync_to_async(remove_run)(run)
    assert json.loads(await hear(page, "error"))["code"] == "gone"
    await page.send_json_to({"type": "watch", "run": run.pk})
    assert json.loads(await hear(page, "error"))["code"] == "gone"
    other = await database_sync_to_async(ended_run)()
    await page.send_json_to({"type": "open", "run": other.pk, "i": 0, "from": 0})
    await hear(page, "ended")
    await page.disconnect()


# ------------------------------------------------------------------ pages


@pytest.fixture
def removed(client):
    run = ended_run(output=b"secret words\n" * 10)
    remove_output()
    client.force_login(run.actor)
    return run


@pytest.mark.django_db
def test_the_page_says_since_when_and_keeps_the_rest(client, removed):
    row = removed.invocations.get()
    text = client.get(reverse("run", args=[removed.pk])).content.decode()
    day = f"{row.output_removed_at.day} {row.output_removed_at:%B %Y}"
    assert f"Output removed by retention on {day}." in text
    assert row.sha256 in text
    assert 'id="download"' not in text
    assert "[130 bytes were removed by retention]" in text


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-4"}])
def test_a_download_is_410_with_the_reason(client, removed, headers):
    answer = client.get(reverse("download", args=[removed.pk, 0]), headers=headers)
    assert answer.status_code == 410
    assert "was removed by retention on" in answer.content.decode()


@pytest.mark.django_db
def test_a_download_of_a_run_that_was_removed_is_404(client, removed):
    remove_run(removed)
    assert client.get(reverse("download", args=[removed.pk, 0])).status_code == 404
    assert client.get(reverse("run", args=[removed.pk])).status_code == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("start", "stop"), [(0, len(DATA)), (100_000, 300_001)])
def test_a_download_that_has_begun_comes_to_its_end(start, stop):
    run = ended_run(output=DATA)
    body = output.stored_bytes(run.invocations.get(), start, stop)
    got = next(body)
    left = []

    def prune():
        remove_output()
        left.append(Output.objects.count())
        connection.close()

    thread = threading.Thread(target=prune)
    thread.start()
    thread.join()
    got += b"".join(body)
    assert left == [0]
    assert got == DATA[start:stop]


@pytest.mark.django_db
@pytest.mark.parametrize("remove", [lambda run: remove_output(), remove_run])
def test_a_download_that_comes_too_late_is_refused_before_its_first_byte(remove):
    run = ended_run(output=DATA)
    invocation = run.invocations.get()
    remove(run)
    with pytest.raises(output.OutputRemoved):
        output.stored_bytes(invocation, 0, len(DATA))


@pytest.mark.django_db
def test_the_history_says_how_long_runs_are_kept(client, settings):
    client.force_login(factories.UserFactory())
    for days, words in [(90, "Runs are kept 90 days<"), (1, "Runs are kept 1 day<"), (0, "Runs are kept for ever<")]:
        settings.ENV = dataclasses.replace(settings.ENV, retention_days=days)
        assert words in client.get(reverse("runs")).content.decode()


# ------------------------------------------------------------------ the terminal


@pytest.mark.django_db
def test_a_terminal_counts_what_is_missing():
    run = ended_run(output=b"x" * 1000)
    remove_output()
    out, err = io.BytesIO(), io.BytesIO()
    assert TerminalView(Run.objects.get(pk=run.pk), stdout=out, stderr=err).draw()
    assert out.getvalue() == b""
    assert b": 1000 bytes were not kept" in err.getvalue()


@pytest.mark.django_db(transaction=True)
async def test_a_download_is_sent_row_by_row_and_never_held_whole(run, async_client):
    await async_client.aforce_login(run.actor)
    answer = await async_client.get(reverse("download", args=[run.pk, 0]), headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.is_async) == (206, True)
    pieces = [piece async for piece in answer.streaming_content]
    assert b"".join(pieces) == DATA[10:]
    assert max(map(len, pieces)) < len(DATA) / 2
