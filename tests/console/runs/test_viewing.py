from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from console.runs import consumers, viewing
from instances.access.models import Grant, Role
from tests.support import factories, runs


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


@pytest.mark.django_db(transaction=True)
async def test_open_output_ends_when_the_grant_is_taken_away(monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    monkeypatch.setattr(consumers.members, "session_is_live", lambda *_: True)
    viewer, run = await database_sync_to_async(viewer_and_run)()
    page = WebsocketCommunicator(consumers.ViewerConsumer.as_asgi(), "/ws/")
    page.scope |= {"user": viewer, "session": SimpleNamespace(session_key="any")}
    assert (await page.connect())[0]
    await page.send_json_to({"type": "open", "run": run.pk, "i": 0, "from": 0})
    assert (await page.receive_json_from())["type"] == "opened"
    await Grant.objects.filter(user=viewer).adelete()
    assert (await page.receive_json_from(timeout=5))["code"] == "gone"
    await page.disconnect()
