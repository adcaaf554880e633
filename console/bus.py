"""Owns wake-ups: "something was committed, look again". They carry nothing and may be lost without harm.

Between processes on one machine a wake-up is an empty datagram to the unix sockets in the data folder (the doorbell);
``PRAGMA data_version`` looked at every ``LOOK_AGAIN_S`` stands behind it. PostgreSQL has nothing so cheap: there a lost
wake-up is made up for by whoever waits, who looks again every second or two. Inside the web process the channel layer
passes it on to the consumers. Polling alone would cost 80 ms on the first byte of output.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from pathlib import Path

from channels.layers import get_channel_layer  # noqa: TID251  (the one place)
from django.conf import settings
from django.db import connection

WEB, WORKER = "web", "worker"
WAKE_GROUP = "wake"
LOOK_AGAIN_S = 0.3
# Wake-ups to viewers are coalesced: all viewers of a process together are woken this often, each between 20 and 100
# times a second. A few come at once: a run's first commits (claimed, started, first output) lie milliseconds apart,
# and the last of them is what people wait for.
WAKES_PER_S = 200
WAKE_GAP_S = (0.010, 0.050)
WAKES_AT_ONCE = 5
# sun_path holds 108 bytes on Linux and 104 on macOS.
_LONGEST_SOCKET_PATH = 100

# The channels of this process's viewers.
_viewers: set[str] = set()


def ring(*listeners: str) -> None:
    """Wake every process of the given kinds (``WEB``, ``WORKER``); all of them when none is named.

    Call it after the commit. Never blocks and never fails: a full or dead socket is passed over, because the
    listener looks again by itself.
    """
    kinds = listeners or (WEB, WORKER)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    with contextlib.closing(sender):
        for path in socket_folder().glob("*.bell"):
            if path.name.partition("-")[0] in kinds:
                _ring_one(sender, path)


def _ring_one(sender: socket.socket, path: Path) -> None:
    try:
        sender.sendto(b"", str(path))
    except ConnectionRefusedError:
        # Its process died without tidying up.
        path.unlink(missing_ok=True)
    except OSError:
        # Full: its owner is about to look anyway. Gone: nobody to wake.
        pass


class Bell:
    """One process's ear: tells when to look again.

    ``executor`` is where the database is asked. Give the worker's writer thread there: ``data_version`` does not
    change for a connection's own commits, so the worker is not woken by itself.
    """

    def __init__(self, kind: str, name: str, executor: Executor) -> None:
        self._path = socket_folder() / f"{kind}-{name}.bell"
        self._executor = executor
        self._rung = asyncio.Event()
        self._version: int | None = None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Bell"]:
        """Hold the socket for as long as the block runs. Side effects: a socket file in the data folder."""
        loop = asyncio.get_running_loop()
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.setblocking(False)
        self._path.unlink(missing_ok=True)
        ear.bind(str(self._path))
        loop.add_reader(ear, self._heard, ear)
        try:
            yield self
        finally:
            loop.remove_reader(ear)
            ear.close()
            self._path.unlink(missing_ok=True)

    def ring_myself(self) -> None:
        """Make the next ``changed`` return at once."""
        self._rung.set()

    async def changed(self, within_s: float) -> bool:
        """Return True as soon as something may have been committed, False when ``within_s`` has passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while True:
            rest = deadline - loop.time()
            if rest <= 0:
                return False
            try:
                async with asyncio.timeout(min(rest, LOOK_AGAIN_S)):
                    await self._rung.wait()
            except TimeoutError:
                if await loop.run_in_executor(self._executor, self._committed_by_others):
                    return True
                continue
            self._rung.clear()
            await loop.run_in_executor(self._executor, self._committed_by_others)
            return True

    def _heard(self, ear: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                ear.recv(1)
                self._rung.set()

    def _committed_by_others(self) -> bool:
        if connection.vendor != "sqlite":
            return False
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchone()
        before, self._version = self._version, version
        return before is not None and version != before


async def pass_on_to_viewers(bell: Bell) -> None:
    """Turn this process's wake-ups into channel-layer messages to ``WAKE_GROUP``, for ever.

    An empty message each time: a lost one costs a viewer at most its own look-again.
    """
    layer = get_channel_layer()
    loop = asyncio.get_running_loop()
    left, at = float(WAKES_AT_ONCE), loop.time()
    while True:
        if not await bell.changed(within_s=5):
            continue
        await layer.group_send(WAKE_GROUP, {"type": "wake"})
        now, gap_s = loop.time(), _wake_gap_s()
        left, at = min(WAKES_AT_ONCE, left + (now - at) / gap_s) - 1, now
        if left < 0:
            await asyncio.sleep(-left * gap_s)


def _wake_gap_s() -> float:
    shortest, longest = WAKE_GAP_S
    return min(longest, max(shortest, len(_viewers) / WAKES_PER_S))


async def listen_for_wakes(channel_name: str) -> None:
    """Add a consumer's channel to ``WAKE_GROUP``.

    Repeat it every few seconds: the in-memory layer removes a channel for good once one message to it expires.
    """
    _viewers.add(channel_name)
    await get_channel_layer().group_add(WAKE_GROUP, channel_name)


async def forget_wakes(channel_name: str) -> None:
    """Take a consumer's channel out of ``WAKE_GROUP``."""
    _viewers.discard(channel_name)
    await get_channel_layer().group_discard(WAKE_GROUP, channel_name)


def socket_folder() -> Path:
    """Return the folder of this data folder's unix sockets, 0700, with a path short enough for their names.

    Side effects: makes it. Raises: PermissionError when somebody else owns it.
    """
    folder = Path(settings.DATA_DIR) / "bells"
    if len(str(folder)) > _LONGEST_SOCKET_PATH - 45:
        digest = hashlib.sha256(str(settings.DATA_DIR).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"muster-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else.")
    return folder
