from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async

from console.runs import consumers, queue, viewing
from console.runs.presentation import run_view
from instances.access.models import Grant, Role
from tests.support import factories, runs
from tests.support.sockets import PatientSocket


def viewer_and_run():
    group = factories.GroupFactory()
    viewer = factories.UserFactory(role=Role.VIEWER, role_group=group)
    return viewer, runs.send(instances=[factories.InstanceFactory(group=group)])


@pytest.mark.django_db
def test_output_may_be_seen_as_long_as_the_grant_is_there():
    viewer, run = viewer_and_run()
    invocation = run.invocations.get()
    assert viewing.may_see(viewer, invocation.pk)
    Grant.objects.filter(user=viewer).delete()
    assert not viewing.may_see(viewer, invocation.pk)


def watched(run, page=1, status="all", **look):
    return viewing.Watching(run.actor, run.pk, status, page, **look)


def changed(run, ordinal):
    """Note news about one invocation, as the writer does."""
    run.invocations.filter(ordinal=ordinal).update(status="running", revision=queue.next_revision(run))
    queue.refresh_counts(run)


@pytest.mark.django_db
def test_only_rows_on_the_viewers_page_are_sent():
    run = runs.send(120)
    looks = [watched(run, page) for page in (1, 2)]
    for look in looks:
        look.news()
    changed(run, 3)
    first, second = (look.news() for look in looks)
    assert f"""hx-target="#run[data-run='{run.pk}'] #i-3\"""" in first
    assert "#i-" not in second
    assert "#run-summary" in second
    assert looks[0].news() == ""


@pytest.mark.django_db
def test_no_frame_has_more_than_a_page_of_rows():
    run = runs.send(120)
    assert watched(run).news().count("<hx-partial") <= 50 + 2
    look = watched(run, page=99)
    look.news()
    assert look.row_ids == tuple(range(100, 120))


@pytest.mark.django_db
def test_rows_find_their_place_only_under_the_filter_and_on_the_page_that_were_asked_for():
    """Who has chosen another filter meanwhile is not put back by a frame that was on its way."""
    run = runs.send(60)
    look = watched(run, page=2, status="queued")
    look.news()
    changed(run, 0)
    place = f"""<hx-partial hx-target="#run[data-run='{run.pk}'] #run-rows[data-status='queued'][data-page='{{}}']\""""
    assert place.format(2) in look.news()
    for ordinal in range(1, 12):
        changed(run, ordinal)
    # There is no page 2 any more, and page 1 takes its place.
    frame = look.news()
    assert place.format(2) in frame
    assert 'data-status="queued" data-page="1"' in frame


@pytest.mark.django_db
def test_the_same_rows_are_told_how_many_match_and_on_how_many_pages():
    run = runs.send(52)
    drawn = {"status": "queued", "row_ids": tuple(range(50))}
    assert " #rows-pager[" in watched(run, **drawn).news()
    look = watched(run, **drawn, matching=52)
    assert "#rows-pager" not in look.news()
    changed(run, 51)
    frame = look.news()
    assert 'id="rows-shown"' in frame
    assert "50 of 51" in frame
    # What is entered there stays.
    assert 'id="rows-pager"' not in frame
    changed(run, 50)
    frame = look.news()
    assert 'id="rows-pager"' in frame
    assert 'id="rows-shown"' not in frame


@pytest.mark.django_db
def test_rows_that_changed_between_the_request_and_the_watch_are_sent():
    run = runs.send(3)
    changed(run, 1)
    frame = watched(run, status="queued", row_ids=(0, 1, 2)).news()
    assert " #run-rows[" in frame
    assert 'id="i-1"' not in frame
    # As they are drawn already, they are not.
    assert " #run-rows[" not in watched(run, status="queued", row_ids=(0, 2)).news()
    assert " #run-rows[" not in watched(run, row_ids=(0, 1, 2)).news()


@pytest.mark.django_db
def test_rows_that_change_while_the_news_is_gathered_are_sent(monkeypatch):
    """The run is read before its rows: they can be newer than its revision."""
    run = runs.send(3)
    look = watched(run, status="queued", row_ids=(0, 1, 2))

    def late(*args, **kwargs):
        monkeypatch.undo()
        changed(run, 1)
        return run_view(*args, **kwargs)

    monkeypatch.setattr(viewing, "run_view", late)
    frames = look.news() + look.news()
    assert " #run-rows[" in frames
    assert 'id="i-1"' not in frames


@pytest.mark.django_db
def test_what_is_open_is_not_guessed_from_the_page():
    run = runs.send(60)
    look = watched(run, page=2)
    assert ' #run-opened"' not in look.news()
    look.opened = 3
    assert 'data-i="3"' in look.news()
    assert look.news() == ""


@pytest.mark.django_db
def test_what_is_opened_while_the_news_is_gathered_is_for_the_next_call(monkeypatch):
    run = runs.send(2)
    look = watched(run)

    def opening(*args, **kwargs):
        view = run_view(*args, **kwargs)
        look.opened = 1
        return view

    monkeypatch.setattr(viewing, "run_view", opening)
    assert ' #run-opened"' not in look.news()
    assert 'data-i="1"' in look.news()


@pytest.mark.django_db(transaction=True)
async def test_another_page_keeps_what_is_open():
    run = await database_sync_to_async(runs.send)(60)
    page = viewers_page(run.actor)
    assert (await page.connect())[0]
    await page.send_json_to({"type": "watch", "run": run.pk, "status": "all", "page": 1})
    await page.send_json_to({"type": "open", "run": run.pk, "i": 3, "from": 0})
    await frame_with(page, 'id="i-3"')
    await page.send_json_to({"type": "watch", "run": run.pk, "status": "all", "page": 2})
    assert 'class="opened" data-i="3"' in await frame_with(page, 'id="i-50"')
    await page.disconnect()


async def frame_with(page, text):
    """Return the next frame that holds a text."""
    while text not in (frame := await page.receive_from()):
        pass
    return frame


@pytest.fixture(autouse=True)
def _sessions_live(monkeypatch):
    monkeypatch.setattr(consumers.members, "session_is_live", lambda *_: True)


def viewers_page(viewer):
    page = PatientSocket(consumers.ViewerConsumer.as_asgi(), "/ws/")
    page.scope |= {"user": viewer, "session": SimpleNamespace(session_key="any")}
    return page
