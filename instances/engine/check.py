"""Owns Check: sign in, look around, change nothing."""

from instances.engine.execute import Reconnect, execute
from instances.engine.transport import Collector, Connection, ask
from instances.engine.types import Command, Ended, Facts, Started, StopCause, StopSignal

CHECK_S = 20.0
_BEGIN = "muster facts"
_ASK = (
    f'echo "{_BEGIN}"; uname -s; uname -r; uname -n; echo "$SHELL"; id -un; '
    'if [ -r /etc/os-release ]; then . /etc/os-release; echo "$PRETTY_NAME"; fi'
)


async def check(connection: Connection) -> Facts:
    """Return what the machine says about itself; ``os`` is its own long name where it has one.

    Raises: as ``Connection.start``.
    """
    answer = await ask(connection, f"exec /bin/sh -c '{_ASK}'", timeout_s=CHECK_S)
    # A noisy ~/.bashrc may print before.
    text = answer.decode("utf-8", "replace").rpartition(_BEGIN + "\n")[2] if _BEGIN.encode() in answer else ""
    lines = [line.strip()[:200] for line in text.splitlines()]
    system, kernel, hostname, shell, user, name, *_ = [*lines, "", "", "", "", "", ""]
    if not system and "windows" in connection.banner.lower():
        system = "Windows"
    return Facts(connection.banner, name or system, kernel, hostname, shell, user)


async def try_out(connection: Connection, command: Command, reconnect: Reconnect) -> Ended:
    """Run a command that does nothing the way a real one is run, to see whether it would start there.

    Raises: as ``execute``.
    """

    async def nothing(_: Started | StopCause | None = None) -> None:
        pass

    return await execute(
        connection,
        command,
        sink=Collector(),
        before_start=nothing,
        started=nothing,
        stopping=nothing,
        stop=StopSignal(),
        reconnect=reconnect,
    )
