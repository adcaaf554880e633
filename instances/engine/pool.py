"""Owns kept connections: who uses which, how many at once, and when they are closed."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar
from weakref import WeakValueDictionary

from instances.engine.errors import ChannelRefused, ConnectError, ConnectionLost, ServerClosed
from instances.engine.hops import places
from instances.engine.transport import Connection, Files, Process, Size, Terminal, Transport
from instances.engine.types import Sink, Target

RETRY_WINDOW_S = 60.0
_RETRIES_S = (1.0, 2.0, 4.0)
_MOVES = 3
Opened = TypeVar("Opened")
# One connection to a jump host carries this many others; sshd's MaxSessions does not count them, but all share one
# TCP connection and one sshd process there.
TUNNELS_PER_CONNECTION = 100


@dataclass(eq=False)
class _Kept:
    """A connection in the pool; a retired one is closed when its last user gives it back.

    ``hop`` is the jump host's that it runs through. It counts there as one of ``tunnels`` until it is closed.
    """

    key: Hashable
    connection: Connection
    hop: "_Kept | None" = None
    used: int = 0
    tunnels: int = 0
    is_retired: bool = False
    idle_timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything depends on it."""
        return bool(self.used or self.tunnels)


@dataclass(eq=False)
class _Connecting:
    """A connect on its way and how many wait for it; nobody waiting any more ends it."""

    task: asyncio.Task[_Kept]
    waiting: int = 0


class Pool:
    """Kept connections per target, within the limits of the servers.

    ``handshakes`` bounds all connects in progress, ``handshakes_per_host`` those to one address and port (sshd drops
    some from its tenth on). ``channels_per_connection`` stays below sshd's MaxSessions; where a server allows fewer,
    that is learnt from its refusal. ``channels_kept_for_stop`` of them are given to ``for_stop`` only.
    A jump host's connection is shared by what is behind it, ``tunnels_per_connection`` at most; then comes another.
    """

    def __init__(
        self,
        transport_for: Callable[[Target], Transport],
        *,
        idle_close_s: float = 60,
        handshakes: int = 100,
        handshakes_per_host: int = 6,
        channels_per_connection: int = 8,
        channels_kept_for_stop: int = 2,
        tunnels_per_connection: int = TUNNELS_PER_CONNECTION,
        retry_window_s: float = RETRY_WINDOW_S,
    ) -> None:
        self._transport_for = transport_for
        self._idle_close_s = idle_close_s
        self._handshakes = asyncio.Semaphore(handshakes)
        self._handshakes_per_host = handshakes_per_host
        self._channels = channels_per_connection
        self._kept_for_stop = channels_kept_for_stop
        self._tunnels = tunnels_per_connection
        self._retry_window_s = retry_window_s
        self._kept: defaultdict[Hashable, list[_Kept]] = defaultdict(list)
        self._is_closed = False
        self._learnt_channels: dict[Hashable, int] = {}
        self._hosts: WeakValueDictionary[tuple[tuple[str, int], ...], asyncio.Semaphore] = WeakValueDictionary()
        self._connecting: dict[Hashable, _Connecting] = {}

    @asynccontextmanager
    async def borrow(
        self, target: Target, *, for_stop: bool = False, on_retry: Callable[[int], None] | None = None
    ) -> AsyncIterator[Connection]:
        """Lend a connection for one command at a time; it goes back when the block ends.

        Connects when none has room: one connect per key at a time, and who waits for it shares its failure. A server
        that closes before sign-in is tried again after 1, 2, 4, 4 … s within a minute (``on_retry`` gets the number
        of the attempt), anything else never.
        Raises: ConnectError.
        """
        lent = _Lent(self, target, await self._acquire(target, for_stop, on_retry), for_stop)
        try:
            yield lent
        finally:
            lent.give_back()

    @asynccontextmanager
    async def through(self, target: Target) -> AsyncIterator[Connection | None]:
        """Lend the connection to a target's jump host, None where it has none; the target itself is not dialled.

        Raises: ConnectError.
        """
        hop = await self._hop_of(target, None)
        try:
            yield hop.connection if hop is not None else None
        finally:
            self._leave(hop)

    def keys(self) -> list[Hashable]:
        """Return the keys of the kept connections."""
        return list(self._kept)

    def close_unless(self, is_current: Callable[[Hashable], bool]) -> None:
        """Close connections with an outdated key: idle ones now, used ones when they come back."""
        for key in [key for key in self._kept if not is_current(key)]:
            self._learnt_channels.pop(key, None)
            for kept in list(self._kept.get(key, ())):
                self._retire(kept)

    async def close(self) -> None:
        """Close everything at once."""
        self._is_closed = True
        # What runs through another says goodbye before that is closed; it was always opened later.
        everything = [kept for group in self._kept.values() for kept in group][::-1]
        self._kept.clear()
        for kept in everything:
            self._close(kept)
        await asyncio.gather(*(kept.connection.wait_closed() for kept in everything))

    async def move(self, target: Target, kept: _Kept, for_stop: bool, *, is_full: bool) -> _Kept:
        """Give back a connection that refused a channel or died, and get another.

        Raises: ConnectError; ChannelRefused when it refused its only channel.
        """
        if is_full:
            if kept.used <= 1:
                raise ChannelRefused
            self._learnt_channels[target.key] = min(self._learnt(target.key), kept.used - 1)
        else:
            self._retire(kept)
        self.give_back(kept)
        return await self._acquire(target, for_stop, None)

    def give_back(self, kept: _Kept) -> None:
        """Take back one use of a connection."""
        kept.used -= 1
        self._rest(kept)

    def _leave(self, hop: _Kept | None) -> None:
        """Take back one tunnel of a jump host's connection."""
        if hop is not None:
            hop.tunnels -= 1
            self._rest(hop)

    def _rest(self, kept: _Kept) -> None:
        if kept.is_busy or self._is_closed:
            return
        if kept.is_retired or kept.connection.is_closed:
            self._drop(kept)
            return
        self._start_idling(kept)

    def _start_idling(self, kept: _Kept) -> None:
        kept.idle_timer = asyncio.get_running_loop().call_later(self._idle_close_s, self._drop, kept)

    async def _acquire(self, target: Target, for_stop: bool, on_retry: Callable[[int], None] | None) -> _Kept:
        kept = self._with_room(target.key, for_stop)
        while kept is None:
            made = await self._connected(target, on_retry)
            # The first to wake takes it as it is: one that closed at once must not be replaced for ever.
            kept = self._with_room(target.key, for_stop) if made.used else made
        kept.used += 1
        self._wake(kept)
        return kept

    async def _hop_of(self, target: Target, on_retry: Callable[[int], None] | None) -> _Kept | None:
        """Return a connection to the target's jump host with one more tunnel counted on it, or None without one."""
        via = target.via
        if via is None:
            return None
        try:
            hop = self._with_tunnel(via.key)
            while hop is None:
                made = await self._connected(via, on_retry)
                hop = self._with_tunnel(via.key) if made.tunnels else made
        except ConnectError as error:
            raise error.at(via) from None
        hop.tunnels += 1
        self._wake(hop)
        return hop

    async def _connected(self, target: Target, on_retry: Callable[[int], None] | None) -> _Kept:
        """Wait for the connect to a target that is on its way, or start it."""
        connecting = self._connecting.get(target.key)
        if connecting is None:
            task = asyncio.get_running_loop().create_task(self._connect_and_keep(target, on_retry))
            connecting = self._connecting[target.key] = _Connecting(task)
            task.add_done_callback(lambda task: self._forget_connect(target.key, task))
        connecting.waiting += 1
        try:
            return await asyncio.shield(connecting.task)
        finally:
            connecting.waiting -= 1
            if not connecting.waiting and connecting.task.cancel():
                # Who comes now must not wait for what is being given up.
                self._forget_connect(target.key, connecting.task)

    def _forget_connect(self, key: Hashable, task: asyncio.Task[_Kept]) -> None:
        connecting = self._connecting.get(key)
        if connecting is not None and connecting.task is task:
            del self._connecting[key]
        if task.done() and not task.cancelled():
            # Whoever waited was told; a failure nobody waited for is no news.
            task.exception()

    async def _connect_and_keep(self, target: Target, on_retry: Callable[[int], None] | None) -> _Kept:
        kept = await self._connect(target, on_retry)
        self._kept[target.key].append(kept)
        self._start_idling(kept)
        return kept

    def _wake(self, kept: _Kept) -> None:
        if kept.idle_timer is not None:
            kept.idle_timer.cancel()
            kept.idle_timer = None

    def _with_room(self, key: Hashable, for_stop: bool) -> _Kept | None:
        limit = self._learnt(key)
        if not for_stop and limit == self._channels:
            limit -= self._kept_for_stop
        for kept in list(self._kept.get(key, ())):
            if kept.connection.is_closed:
                self._retire(kept)
            elif kept.used < limit and not kept.is_retired:
                return kept
        return None

    def _with_tunnel(self, key: Hashable) -> _Kept | None:
        for kept in list(self._kept.get(key, ())):
            if kept.connection.is_closed:
                self._retire(kept)
            elif kept.tunnels < self._tunnels and not kept.is_retired:
                return kept
        return None

    def _learnt(self, key: Hashable) -> int:
        return self._learnt_channels.get(key, self._channels)

    async def _connect(self, target: Target, on_retry: Callable[[int], None] | None) -> _Kept:
        limit = self._hosts.setdefault(places(target), asyncio.Semaphore(self._handshakes_per_host))
        ends_at = monotonic() + self._retry_window_s
        attempt = 1
        while True:
            # Before the limits are taken: a jump host's own handshake must not wait for those it holds up.
            hop = await self._hop_of(target, on_retry)
            try:
                return await self._connect_once(target, hop, limit)
            except ServerClosed as closed:
                pause_s = _RETRIES_S[min(attempt - 1, len(_RETRIES_S) - 1)] * random.uniform(0.5, 1.5)  # noqa: S311
                if closed.is_signing_in or monotonic() + pause_s > ends_at:
                    raise
            attempt += 1
            if on_retry is not None:
                on_retry(attempt)
            await asyncio.sleep(pause_s)

    async def _connect_once(self, target: Target, hop: _Kept | None, limit: asyncio.Semaphore) -> _Kept:
        transport = self._transport_for(target)
        try:
            async with limit, self._handshakes:
                connection = await transport.connect(target, hop.connection if hop else None)
            if self._is_closed:
                connection.close()
                raise ConnectionLost("The console is shutting down. The command did not run.", is_sent=False)
        except BaseException:
            self._leave(hop)
            raise
        return _Kept(target.key, connection, hop)

    def _retire(self, kept: _Kept) -> None:
        kept.is_retired = True
        if not kept.is_busy:
            self._drop(kept)

    def _drop(self, kept: _Kept) -> None:
        group = self._kept.get(kept.key)
        if group is not None and kept in group:
            group.remove(kept)
            if not group:
                del self._kept[kept.key]
        self._close(kept)

    def _close(self, kept: _Kept) -> None:
        if kept.idle_timer is not None:
            kept.idle_timer.cancel()
        kept.connection.close()
        hop, kept.hop = kept.hop, None
        self._leave(hop)


class _Lent:
    """What a borrower holds: moves to another connection while nothing has been started for it."""

    def __init__(self, pool: Pool, target: Target, kept: _Kept, for_stop: bool) -> None:
        self._pool = pool
        self._target = target
        self._kept: _Kept | None = kept
        self._for_stop = for_stop

    @property
    def banner(self) -> str:
        """What the server calls itself."""
        return self._current.connection.banner

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._current.connection.is_closed

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        """Start on this connection, or on another one if this one has no room or is dead and nothing was sent.

        Raises: as ``Connection.start``; ConnectError.
        """
        return await self._with_a_channel(lambda: self._current.connection.start(exec_request, stdin=stdin, sink=sink))

    async def open_terminal(self, size: Size, *, sink: Sink) -> Terminal:
        """Open on this connection or on another one, as ``start`` does.

        Raises: as ``start``.
        """
        return await self._with_a_channel(lambda: self._current.connection.open_terminal(size, sink=sink))

    async def _with_a_channel(self, open_one: Callable[[], Awaitable[Opened]]) -> Opened:
        for _ in range(_MOVES):
            try:
                return await open_one()
            except ChannelRefused:
                await self._move(is_full=True)
            except ConnectionLost as lost:
                if lost.is_sent:
                    raise
                await self._move(is_full=False)
        return await open_one()

    async def files(self) -> Files:
        """Open the files of the machine on this connection.

        Raises: as ``Connection.files``.
        """
        return await self._current.connection.files()

    def close(self) -> None:
        """Do not lend this connection to anybody else."""
        self._current.is_retired = True

    async def wait_closed(self) -> None:
        """Nothing to wait for: the pool closes."""

    def give_back(self) -> None:
        """Return it to the pool, once."""
        if self._kept is not None:
            self._pool.give_back(self._kept)
            self._kept = None

    @property
    def _current(self) -> _Kept:
        if self._kept is None:
            raise ConnectionLost("This connection was given back.", is_sent=False)
        return self._kept

    async def _move(self, *, is_full: bool) -> None:
        kept = self._current
        if not is_full or kept.used > 1:
            self._kept = None
        self._kept = await self._pool.move(self._target, kept, self._for_stop, is_full=is_full)
