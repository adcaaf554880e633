"""Who may run a command in a kept shell."""

import uuid

import pytest
from channels.db import database_sync_to_async

from console.sessions.models import State
from console.worker.shells import Shells
from instances.engine.errors import CommandRefused
from tests.support import factories


@pytest.mark.django_db(transaction=True)
async def test_a_command_whose_session_ended_since_it_was_taken_is_told_why():
    def end():
        made = factories.session(factories.InstanceFactory(), factories.UserFactory(), state=State.CLOSED)
        made.message = "A command ended the shell of the session with exit status 9."
        made.save()
        return made

    async def in_database(call, *args):
        return await database_sync_to_async(call)(*args)

    session = await in_database(end)
    lent = Shells(uuid.uuid4(), in_database).lender(session.pk)
    with pytest.raises(CommandRefused, match=r"exit status 9\. The command did not run\.") as refused:
        async with lent():
            pass
    assert refused.value.reason == "session_closed"
    await in_database(session.delete)
    with pytest.raises(CommandRefused, match="The session is gone"):
        async with lent():
            pass
