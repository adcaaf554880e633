"""Commands in kept shells, for the tests of them."""

from instances.engine.kept_shell import KeptShell
from instances.engine.types import Command, Ended, Outcome
from tests.instances.engine.conftest import Going

SHELLS = {"bash": "bash", "dash": "/bin/dash", "ash": "busybox ash"}


async def run(shell: KeptShell, text: str, going: Going | None = None, **fields: object) -> tuple[Ended, Going]:
    going = going or Going()
    ended = await shell.execute(
        Command(text, going.marker, **fields),  # type: ignore[arg-type]
        sink=going.sink,
        before_start=going.before_start,
        started=going.started,
        stopping=going.stopping,
        stop=going.stop,
        grace_s=0.3,
    )
    return ended, going


async def printed(shell: KeptShell, text: str) -> str:
    ended, going = await run(shell, text)
    assert ended.outcome is Outcome.EXITED, ended
    return going.stdout.decode() + going.stderr.decode()
