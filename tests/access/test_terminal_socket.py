"""The socket of a terminal, from everybody; and what becomes of it when its visitor loses a right meanwhile."""

import asyncio
import uuid
from contextlib import asynccontextmanager, suppress

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session as Login
from django.db import OperationalError

from console.asgi import application
from console.members import services as members
from console.members.models import User
from console.sessions import consumers, rights
from console.sessions.host import TerminalHost
from console.sessions.models import Session
from console.sessions.recorder import NoRecorder
from console.sessions.relay import Record, RelayBroken, parsed, serving
from console.worker import terminals, worker
from instances.access.models import Grant
from instances.audit.models import AuditEntry
from instances.engine.local import LocalConnection
from instances.engine.transport import Size
from instances.engine.types import Stream
from instances.inventory.models import Instance
from tests.access import sockets
from tests.access import world as worlds
from tests.access.sockets import Socket, in_database
from tests.access.world import ACTORS
from tests.support.site import browser
from tests.support.sockets import is_waiting, slow_to_read
from tests.support.until import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
ANSWERS = dict(zip(ACTORS, (4401, 4401, 4404, 4404, None, 4404, 4404, None), strict=True))


class Terminal(Socket):
    """A socket of the world's terminal."""

    def __init__(self, cookie, session_id, **how):
        super().__init__(cookie, **how)
        path = f"/ws/terminals/{session_id}/"
        WebsocketCommunicator.__init__(self, application, path, headers=self.scope["headers"])

    async def hear_until(self, kind):
        while (heard := await self.hear()) is not None:
            if isinstance(heard, dict) and heard["type"] == kind:
                return heard
        return None


@pytest.fixture
def world(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return worlds.build()


@pytest.fixture
def soon(monkeypatch):
    """Let the looks that are seconds apart come at once."""
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    monkeypatch.setattr(rights, "FRESH_S", 0.0)


@asynccontextmanager
async def open_terminal(world):
    """Hold the world's terminal as a worker does: a shell of this machine."""
    worker = uuid.uuid4()
    host = TerminalHost(Size(80, 24), recorder=NoRecorder(), is_recorded=False, watched=lambda _: None)

    async def show(line):
        with suppress(RelayBroken, ValueError, KeyError):
            await host.serve(line, parsed(await line.receive()))

    await in_database(Session.objects.filter(pk=world.ids["session_id"]).update)(worker=worker)
    async with serving(worker, show):
        terminal = await LocalConnection().open_terminal(Size(80, 24), sink=host)
        typing = asyncio.get_running_loop().create_task(host.type_into(terminal))
        try:
            yield host
        finally:
            typing.cancel()
            terminal.close()
            await terminal.until(lambda: terminal.exit is not None, 60)


async def attached(cookie, world, session_id=None, tab="t"):
    socket = Terminal(cookie, session_id or world.ids["session_id"])
    assert (await socket.connect())[0]
    await socket.say(type="attach", tab=tab, columns=80, rows=24, **{"from": None})
    return socket


@pytest.mark.parametrize("actor", ACTORS)
async def test_who_may_look_at_a_terminal(actor, world):
    async with open_terminal(world) as host:
        cookie = await in_database(sockets.cookie_of)(actor, world)
        socket = await attached(cookie, world)
        told = await socket.hear_until("attached")
        assert (socket.code if told is None else None) == ANSWERS[actor]
        # Only whoever may manage sessions may look at somebody else's; and that is written down.
        if told is not None:
            assert host.viewers == 1
            assert await in_database(AuditEntry.objects.filter(action="watch_terminal").count)() == 1
            await socket.disconnect()
        else:
            assert host.viewers == 0


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
async def test_no_other_site_opens_one(origin, world):
    cookie = await in_database(sockets.cookie_of)("admin", world)
    assert not (await Terminal(cookie, world.ids["session_id"], origin=origin).connect())[0]


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (lambda user: members.deactivate(worlds_administrator(), member=user), 4401),
        (lambda user: Login.objects.all().delete(), 4401),
        (lambda user: members.sign_out_everywhere(user, member=user), 4401),
        (lambda user: Grant.objects.filter(user=user).delete(), 4404),
        (lambda user: Session.objects.all().delete(), 4404),
        (lambda user: Instance.objects.update(is_disabled=True), 4403),
    ],
    ids=["deactivated", "signed out", "signed out everywhere", "right lost", "removed", "disabled"],
)
async def test_a_lost_right_ends_the_socket(loss, code, world, soon):
    async with open_terminal(world) as host:
        socket = await attached(await in_database(sockets.cookie_of)("admin", world), world)
        await socket.hear_until("attached")
        user = await in_database(lambda: User.objects.order_by("pk").last())()
        await in_database(loss)(user)
        with suppress(TimeoutError):
            await socket.hear_until_closed()
        assert socket.code in {code, 4403}
        # What is typed now goes nowhere.
        await socket.send_to(bytes_data=Record(0, b"touch nothing\r").pack())
        assert host._taken == 0


def test_a_lost_right_is_found_within_five_seconds():
    assert consumers.RECHECK_S + rights.FRESH_S < 5
    # Without anybody at the page, its worker looks.
    assert worker.LOOK_AGAIN_S + terminals.HANG_UP_S < 5


async def test_a_page_is_told_that_its_connection_lives(world):
    async with open_terminal(world):
        socket = await attached(await in_database(sockets.cookie_of)("admin", world), world)
        await socket.hear_until("attached")
        await socket.say(type="ping")
        assert await socket.hear_until("pong") == {"type": "pong"}
        await socket.disconnect()


def worlds_administrator():
    return User.objects.get(username=f"{worlds.SECRET}-administrator")


async def owners_cookie():
    owner = await in_database(worlds_administrator)()
    client = browser()
    await in_database(client.force_login)(owner)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


async def close_requested_by(world):
    return (await in_database(Session.objects.get)(pk=world.ids["session_id"])).close_requested_by


async def test_who_signs_out_where_the_terminal_is_only_watched_goes_on_elsewhere(world, soon):
    async with open_terminal(world):
        types = await attached(await owners_cookie(), world)
        await types.hear_until("attached")
        logins = set(await in_database(lambda: list(Login.objects.values_list("pk", flat=True)))())
        watches = await attached(await owners_cookie(), world, tab="other")
        assert not (await watches.hear_until("attached"))["writer"]
        await in_database(Login.objects.exclude(pk__in=logins).delete)()
        assert await watches.hear_until_closed() == 4401
        assert await close_requested_by(world) == ""
        await types.disconnect()


async def test_who_signs_out_and_leaves_the_page_at_once_has_the_terminal_closed(world):
    async with open_terminal(world):
        socket = await attached(await owners_cookie(), world)
        await socket.hear_until("attached")
        await in_database(Login.objects.all().delete)()
        await socket.disconnect(code=1001)
        assert await close_requested_by(world) == "the console: its owner signed out"


async def test_a_page_that_is_closed_while_the_terminal_prints_leaves_its_place(world, monkeypatch):
    """What a worker writes to a page that is gone must not cost it what was said, and typed, before that."""
    monkeypatch.setattr(consumers, "LEAVE_S", 60.0)
    async with open_terminal(world) as host:
        socket = await attached(await owners_cookie(), world)
        await socket.hear_until("attached")
        line = host._viewers[0].line
        reads_on = slow_to_read(line)
        for offset, key in enumerate((b"a", b"b", b"c")):
            await socket.send_to(bytes_data=Record(offset, key).pack())
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await is_waiting(line, b"leave")
        host.write(Stream.STDOUT, b"printed meanwhile\r\n")
        await asyncio.sleep(0.1)
        reads_on.set()
        await wait_until(lambda: not host.viewers)
        assert (host._taken, host._writer_tab) == (3, "")
        await socket.wait()


async def test_an_owner_who_signs_out_has_the_terminal_closed(world, soon):
    async with open_terminal(world):
        socket = await attached(await owners_cookie(), world)
        await socket.hear_until("attached")
        await in_database(Login.objects.all().delete)()
        assert await socket.hear_until_closed() == 4401
        assert await close_requested_by(world) == "the console: its owner signed out"
        assert await in_database(AuditEntry.objects.filter(action="close_session").count)() == 1


async def test_taking_over_is_written_down(world):
    async with open_terminal(world):
        socket = await attached(await in_database(sockets.cookie_of)("admin", world), world)
        await socket.hear_until("attached")
        await socket.say(type="take_over")
        await socket.say(type="nothing of the sort")
        await socket.hear_until("error")
        assert await in_database(AuditEntry.objects.filter(action="take_over_terminal").count)() == 1
        await socket.disconnect()


NONSENSE = {
    "blank": " ",
    "cut short": '{"type": "attach"',
    "a list": "[]",
    "too early": '{"type": "resize"}',
    "unknown": '{"type": "close"}',
    "endless": '{"type": "attach", "columns": Infinity, "rows": 24}',
    "a fraction": '{"type": "attach", "columns": 1e400, "rows": 24}',
    "too deep": '{"type": ' + "[" * 30_000 + "]" * 30_000 + "}",
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_before_attaching_is_answered(said, world):
    socket = Terminal(await in_database(sockets.cookie_of)("admin", world), world.ids["session_id"])
    assert (await socket.connect())[0]
    await socket.send_to(text_data=said)
    assert (await socket.hear())["type"] == "error"
    await socket.disconnect()


async def test_a_number_that_is_too_large_for_the_database_is_nobodys(world):
    socket = await attached(await in_database(sockets.cookie_of)("admin", world), world, session_id=10**30)
    assert await socket.hear_until_closed() == 4404


async def test_whose_rights_cannot_be_asked_for_sees_nothing_more(world, soon, monkeypatch):
    def unanswered(*_):
        raise OperationalError("the database is gone")

    async with open_terminal(world):
        socket = await attached(await in_database(sockets.cookie_of)("admin", world), world)
        await socket.hear_until("attached")
        monkeypatch.setattr(rights, "answer_for", unanswered)
        assert await socket.hear_until_closed() == 1011


async def test_a_flood_ends_the_socket(world, monkeypatch):
    monkeypatch.setattr(consumers, "MESSAGES_PER_S", 5)
    socket = Terminal(await in_database(sockets.cookie_of)("admin", world), world.ids["session_id"])
    assert (await socket.connect())[0]
    for _ in range(30):
        await socket.send_to(text_data="{}")
    assert await socket.hear_until_closed() == 4429
