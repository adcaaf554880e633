"""Owns Check: sign in, look around, change nothing."""

from uuid import uuid4

from instances.engine.contact import Reconnect
from instances.engine.errors import ConnectionLost
from instances.engine.execute import execute
from instances.engine.transport import Collector, Connection, ask
from instances.engine.types import Command, Ended, Facts, Started, StopCause, StopSignal
from instances.engine.windows import request

CHECK_S = 20.0
_BEGIN = "muster facts"
_ASK = (
    f'echo "{_BEGIN}"; uname -s; uname -r; uname -n; echo "$SHELL"; id -un; '
    'if [ -r /etc/os-release ]; then . /etc/os-release; echo "$PRETTY_NAME"; fi'
)
# The same lines in the same order. Windows 11 calls itself 10 in the registry.
_ASK_WINDOWS = rf"""$ProgressPreference='SilentlyContinue'
$k='HKEY_LOCAL_MACHINE\SOFTWARE\';$r=[Microsoft.Win32.Registry]
$v=[Environment]::OSVersion.Version;$n="$($r::GetValue($k+'Microsoft\Windows NT\CurrentVersion','ProductName',''))"
if($v.Build -ge 22000){{$n=$n.Replace('Windows 10','Windows 11')}}
$s=$r::GetValue($k+'OpenSSH','DefaultShell','');if(!$s){{$s=$env:ComSpec}}
$u=[Environment]::UserDomainName+'\'+[Environment]::UserName
$t='{_BEGIN}','Windows',$v,[Environment]::MachineName,$s,$u,$n -join "`n"
$b=[Text.Encoding]::UTF8.GetBytes("$t`n");[Console]::OpenStandardOutput().Write($b,0,$b.Length)"""


async def check(connection: Connection) -> Facts:
    """Return what the machine says about itself; ``os`` is its own long name where it has one.

    Raises: as ``Connection.start``.
    """
    is_windows = "windows" in connection.banner.lower()
    question = request(uuid4(), _ASK_WINDOWS) if is_windows else f"exec /bin/sh -c '{_ASK}'"
    try:
        answer = await ask(connection, question, timeout_s=CHECK_S)
    except ConnectionLost:
        # What cannot start PowerShell is still Windows that was signed in to.
        if not is_windows or connection.is_closed:
            raise
        answer = b""
    # A noisy ~/.bashrc may print before.
    text = answer.decode("utf-8", "replace").rpartition(_BEGIN + "\n")[2] if _BEGIN.encode() in answer else ""
    lines = [line.strip()[:200] for line in text.splitlines()]
    system, kernel, hostname, shell, user, name, *_ = [*lines, "", "", "", "", "", ""]
    if not system and is_windows:
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
