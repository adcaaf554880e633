"""Owns Check: sign in, look around, change nothing."""

from instances.engine.transport import Connection, ask
from instances.engine.types import Facts

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
