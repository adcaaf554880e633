"""Every message of the socket, from everybody, and what becomes of a socket whose owner loses a right meanwhile."""

import asyncio
import threading

import pytest
from channels.routing import URLRouter
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from console.members import services as members
from console.members.models import User
from console.routing import websocket_application
from console.runs import consumers, viewing
from console.runs.models import Invocation, Output, OutputKind, Run
from instances.access.models import Grant, Role
from instances.audit.models import AuditEntry
from instances.inventory.models import Instance
from tests.access import sockets
from tests.access import world as worlds
from tests.access.sockets import Socket, in_database
from tests.access.world import ACTORS, SECRET
from tests.support import factories
from tests.support.site import browser

pytestmark = pytest.mark.django_db(transaction=True)

# An answer is a close code, `gone` or `refused` for an error, `shown` for what was asked for, `-` for none; `!` acts.
TABLE = """
message  anonymous  former  roleless  elsewhere  inside  viewer   operator  admin

watch    4401       4401    gone      gone       shown   shown    shown     shown
open     4401       4401    gone      gone       shown   shown    shown     shown
ack      4401       4401    -         -          -       -        -         -
stop     4401       4401    gone      gone       -!      refused  -!        -!
answer   4401       4401    gone      gone       -!      refused  -!        -!
unwatch  4401       4401    -         -          -       -        -         -
"""
_HEADER, *_ROWS = [line.split() for line in TABLE.splitlines() if line]
EXPECTED = {message: dict(zip(ACTORS, answers, strict=True)) for message, *answers in _ROWS}
ORIGIN = settings.CSRF_TRUSTED_ORIGINS[0]


@pytest.fixture
def world():
    return worlds.build()


@pytest.fixture
def soon(monkeypatch):
    """Let the looks that are seconds apart come at once."""
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    monkeypatch.setattr(consumers, "LOOK_AGAIN_S", 0.1)


# ------------------------------------------------------------------ messages


def test_every_message_has_its_row_and_every_row_its_message():
    assert tuple(_HEADER[1:]) == ACTORS
    assert len(EXPECTED) == len(_ROWS)
    assert set(EXPECTED) == set(consumers.HANDLERS)


def test_every_socket_there_is_was_thought_of():
    layer = websocket_application
    while not isinstance(layer, URLRouter):
        layer = getattr(layer, "application", None) or layer.inner
    *known, last = [str(route.pattern) for route in layer.routes]
    assert known == ["ws/", "ws/terminals/<int:session_id>/"]
    # What is none of them.
    assert last == ""


@pytest.mark.parametrize("message", sorted(EXPECTED))
async def test_everybody_gets_the_answer_of_the_table(message, world):
    answers = {}
    for actor in ACTORS:
        cookie = await in_database(sockets.cookie_of)(actor, world)
        socket = await sockets.opened(cookie)
        if message == "answer":
            await in_database(worlds.prepare)("answer-run", world)
        before = await in_database(what_is_asked)(world)
        await socket.say(**MESSAGES[message](world))
        if EXPECTED[message][actor].startswith("-"):
            # Nothing can only be heard by what comes after it.
            await socket.say(type="what is this?")
        first = await socket.hear()
        answers[actor] = str(socket.code) if first is None else said(first)
        if actor in {"anonymous", "former", "roleless", "elsewhere"}:
            assert SECRET not in str(first)
        if await in_database(what_is_asked)(world) != before:
            answers[actor] += "!"
            await in_database(Run.objects.filter(pk=world.run.pk).update)(stop_requested_at=None)
        await socket.disconnect()
    assert answers == EXPECTED[message]


MESSAGES = {
    "watch": lambda world: {"type": "watch", "run": world.run.pk, "status": "all", "page": 1},
    "open": lambda world: {"type": "open", "run": world.run.pk, "i": 0, "from": 0},
    "ack": lambda world: {"type": "ack", "ch": 1, "upto": 10},
    "stop": lambda world: {"type": "stop", "run": world.run.pk},
    "answer": lambda world: {"type": "answer", "run": world.run.pk, "do": "continue", "batch": 0},
    "unwatch": lambda world: {"type": "unwatch"},
}


def said(frame):
    """The answer as the table writes it."""
    if isinstance(frame, dict) and frame["type"] == "error":
        if "not understood" in frame["message"]:
            return "-"
        return frame.get("code") or ("refused" if "not allowed" in frame["message"] else frame["message"])
    return "shown"


def what_is_asked(world):
    run = Run.objects.get(pk=world.run.pk)
    return run.stop_requested_at, AuditEntry.objects.count()


# ------------------------------------------------------------------ the handshake


def foreign_origins():
    scheme, rest = ORIGIN.split("://")
    host, port = rest.rsplit(":", 1)
    return {
        "none": None,
        "null": "null",
        "empty": "",
        "another scheme": f"https://{rest}",
        "another port": f"{scheme}://{host}:{int(port) + 1}",
        "no port": f"{scheme}://{host}",
        "a name below": f"{scheme}://evil.{rest}",
        "a name behind": f"{scheme}://{host}.evil.example:{port}",
        "a user name": f"{scheme}://{rest}@evil.example",
        "somewhere else": "https://evil.example",
    }


async def test_a_page_of_another_origin_gets_no_socket(world):
    cookie = await in_database(sockets.cookie_of)("admin", world)
    taken = {}
    for name, origin in foreign_origins().items():
        socket = Socket(cookie, origin)
        taken[name], _ = await socket.connect()
        await socket.disconnect()
    assert taken == dict.fromkeys(foreign_origins(), False)


async def test_an_address_that_is_no_socket_s_is_refused(world):
    cookie = await in_database(sockets.cookie_of)("admin", world)
    for path in ("/ws", "/ws/terminals/x/", "/ws/terminals/1/more/"):
        socket = Socket(cookie)
        socket.scope["path"] = path
        assert (await socket.connect())[0] is False


async def test_a_page_of_the_console_gets_one(world):
    cookie = await in_database(sockets.cookie_of)("viewer", world)
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        socket = Socket(cookie, origin)
        assert (await socket.connect())[0]
        await socket.say(**MESSAGES["open"](world))
        assert (await socket.hear())["type"] == "opened"
        await socket.disconnect()


# ------------------------------------------------------------------ what is taken away meanwhile


class Viewer:
    """Somebody with a role in the group of the run only, and an open socket."""

    def __init__(self, world):
        self.world = world
        self.user = worlds.make("inside", world)
        self.client = browser()
        self.client.force_login(self.user)
        self.cookie = f"{settings.SESSION_COOKIE_NAME}={self.client.cookies[settings.SESSION_COOKIE_NAME].value}"

    async def look(self, *messages):
        """Open the socket, send these messages, and return it once each was answered."""
        socket = await sockets.opened(self.cookie)
        for message in messages:
            await socket.say(**MESSAGES[message](self.world))
            frame = await socket.hear()
            assert said(frame) == "shown", frame
        return socket

    # What happens to them: the session ends.

    def deactivated(self):
        members.deactivate(self.world.administrator, member=self.user)

    def signed_out_everywhere(self):
        members.sign_out_everywhere(self.world.administrator, member=self.user)

    def signed_out_here(self):
        self.client.post("/sign-out/")

    def password_changed(self):
        members.use_link(members.find_link(self.link()), password="a long enough passphrase")

    def session_expired(self):
        Session.objects.update(expire_date=timezone.now())

    def account_removed(self):
        User.objects.filter(pk=self.user.pk).delete()

    # The right ends.

    def role_taken(self):
        Grant.objects.filter(user=self.user).delete()

    def role_moved(self):
        Grant.objects.filter(user=self.user).update(group=factories.GroupFactory())

    def instance_moved(self):
        Instance.objects.filter(pk=self.world.ids["instance_id"]).update(group=factories.GroupFactory())

    def link(self):
        return members.make_sign_in_link(self.user).strip("/").split("/")[-1]


LOOKS = {"idle": (), "watching": ("watch",), "open": ("open",), "both": ("watch", "open")}
SESSION_ENDS = (
    "deactivated",
    "signed_out_everywhere",
    "signed_out_here",
    "password_changed",
    "session_expired",
    "account_removed",
)
RIGHT_ENDS = ("role_taken", "role_moved", "instance_moved")


@pytest.fixture
def viewer(world):
    return Viewer(world)


@pytest.mark.parametrize("event", SESSION_ENDS)
@pytest.mark.parametrize("look", ["idle", "both"])
async def test_a_session_that_ends_closes_the_socket(event, look, viewer, soon):
    socket = await viewer.look(*LOOKS[look])
    await in_database(getattr(viewer, event))()
    assert await socket.hear_until_closed() == consumers.SIGNED_OUT
    await socket.disconnect()


async def test_who_is_removed_in_the_middle_of_a_look_is_signed_out(viewer, soon, monkeypatch):
    may_see = viewing.may_see

    def removed_first(*asked):
        viewer.account_removed()
        return may_see(*asked)

    monkeypatch.setattr(viewing, "may_see", removed_first)
    socket = await viewer.look("open")
    assert await socket.hear_until_closed() == consumers.SIGNED_OUT
    await socket.disconnect()


@pytest.mark.parametrize("event", RIGHT_ENDS)
@pytest.mark.parametrize("look", ["watching", "open", "both"])
async def test_a_right_that_ends_closes_the_socket(event, look, viewer, soon):
    socket = await viewer.look(*LOOKS[look])
    await in_database(getattr(viewer, event))()
    assert await socket.hear_until_closed() == consumers.NOT_ALLOWED
    await socket.disconnect()


async def test_a_lesser_role_still_sees_and_stops_nothing(viewer, world, soon):
    socket = await viewer.look("watch")
    await in_database(Grant.objects.filter(user=viewer.user).update)(role=Role.VIEWER)
    await socket.say(**MESSAGES["stop"](world))
    assert said(await socket.hear()) == "refused"
    assert (await in_database(what_is_asked)(world))[0] is None
    await socket.disconnect()


@pytest.mark.parametrize("message", sorted(set(EXPECTED) - {"ack"}))
async def test_a_message_after_the_end_of_the_session_is_not_obeyed(message, viewer, world, monkeypatch):
    """Within the seconds until the socket looks by itself."""
    monkeypatch.setattr(consumers, "RECHECK_S", 3600)
    socket = await viewer.look()
    await in_database(viewer.deactivated)()
    before = await in_database(what_is_asked)(world)
    await socket.say(**MESSAGES[message](world))
    assert await socket.hear() is None
    assert socket.code == consumers.SIGNED_OUT
    assert await in_database(what_is_asked)(world) == before
    await socket.disconnect()


async def test_a_person_has_so_many_sockets_and_no_more(viewer, world, monkeypatch):
    monkeypatch.setattr(consumers, "SOCKETS_PER_USER", 2)
    first, second = await viewer.look(), await viewer.look()
    third = sockets.Socket(viewer.cookie)
    await third.connect()
    assert await third.hear_until_closed() == consumers.TOO_MANY
    await first.disconnect()
    await (await viewer.look()).disconnect()
    await second.disconnect()
    assert not +consumers._sockets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "code", "asked"),
    [
        ("deactivated", consumers.SIGNED_OUT, "session_is_live"),
        ("role_taken", consumers.NOT_ALLOWED, "may_see"),
    ],
)
async def test_a_flood_ends_with_the_first_look(event, code, asked, viewer, world, monkeypatch):
    """While output pours in, and without any wake-up."""
    # Whoever loses a right sees nothing more after 5 s.
    assert consumers.RECHECK_S < 5
    monkeypatch.setattr(consumers, "RECHECK_S", 0.5)
    lost, looks = threading.Event(), []
    for module, name in ((members, "session_is_live"), (viewing, "may_see")):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name), lost, looks))
    # The world's run has ended; a viewer who saw that is sent nothing of what comes later.
    await in_database(append)(world.run, b"y")
    socket = await viewer.look("open")
    async with asyncio.TaskGroup() as tasks:
        flood = tasks.create_task(pour(world))
        received = [await socket.hear() for _ in range(3)]
        await in_database(getattr(viewer, event))()
        lost.set()
        assert await socket.hear_until_closed() == code
        assert (asked, True) not in looks
        assert len(looks) <= 3
        written = await in_database(Output.objects.count)()
        # The flood goes on; nothing of it is sent.
        while await in_database(Output.objects.count)() < written + 20:
            assert await socket.receive_nothing(0.05)
        flood.cancel()
    assert all(isinstance(frame, bytes) for frame in received)
    await socket.disconnect()


def noted(name, look, lost, answers):
    """Keep what a look says that begins after the loss."""

    def noting(*asked):
        is_after = lost.is_set()
        answer = look(*asked)
        if is_after:
            answers.append((name, answer))
        return answer

    return noting


async def pour(world):
    """Write output to the world's run, without end, and have the viewer's acknowledgements not matter."""
    piece = b"y" * 64
    while True:
        await in_database(append)(world.run, piece)
        await asyncio.sleep(0.01)


def append(run, piece):
    invocation = run.invocations.get()
    Output.objects.create(
        invocation=invocation,
        offset=invocation.size,
        kind=OutputKind.STDOUT,
        stream_offset=invocation.size,
        data=piece,
        at=timezone.now(),
    )
    Invocation.objects.filter(pk=invocation.pk).update(size=invocation.size + len(piece), status="running")
