"""Owns reaching a machine once more, to look at or stop what a command left there."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from instances.engine.errors import AuthFailed, EngineError, HostKeyError
from instances.engine.stop import Survivors
from instances.engine.transport import Connection
from instances.engine.trees import ProcessTree

CONTACT_S = 30.0
_RETRIES_S = (1.0, 2.0, 4.0)

Reconnect = Callable[[], AbstractAsyncContextManager[Connection]]
AnyTree = TypeVar("AnyTree", bound=ProcessTree)


async def contact(
    reconnect: Reconnect, tree: AnyTree, act: Callable[[AnyTree, Connection], Awaitable[Survivors]]
) -> Survivors:
    """Act on the processes over a second channel, or a new connection, within 30 s.

    Where that fails, what was seen last is returned and not verified.
    """
    try:
        async with asyncio.timeout(CONTACT_S):
            for turn in range(100):
                try:
                    async with reconnect() as connection:
                        return await act(tree, connection)
                except (AuthFailed, HostKeyError):
                    # Asking again would only lock the account.
                    break
                except EngineError:
                    await asyncio.sleep(_RETRIES_S[min(turn, len(_RETRIES_S) - 1)])
    except TimeoutError:
        pass
    return Survivors(tree.last_seen, is_verified=False)


def named(pids: tuple[int, ...]) -> str:
    """Name up to twenty processes in brackets, for a message; nothing where there are none."""
    if not pids:
        return ""
    return f" (process {', '.join(str(pid) for pid in pids[:20])}{'…' if len(pids) > 20 else ''})"
