"""Owns the PowerShell that is kept on a Windows machine: how it is started, fed one command after the other, stopped.

``_HOST`` is what the exec request starts. It keeps the promise of ``windows``: it reports itself, looks for the working
directory and the interpreter, and starts ``_LOOP`` in that, which writes to the SSH server's own pipes. What it is fed
goes on through a pipe that only the two share, so that stdin is empty for a command. Each line is a program in Base64,
evaluated in the global scope: variables, functions and the working directory stay. ``exit`` ends the session.

A PowerShell cannot be interrupted from outside: Stop ends what the command started, and where the command goes on all
the same, the session. Never run on a real Windows machine.
"""

import base64
from collections.abc import Callable
from uuid import UUID

from instances.engine.delivery import Delivery
from instances.engine.errors import CommandRefused, SessionRefused
from instances.engine.kept_output import Marks, new_nonce
from instances.engine.kept_wish import ShellWish
from instances.engine.transport import Connection
from instances.engine.types import Command, Started
from instances.engine.windows import BEGIN, POWERSHELL, SLACK_S, STREAMS, encoded, request, variables
from instances.engine.windows_stop import Row, WindowsTree

_HOST = (
    STREAMS
    + "$n=Line;$d=Line;$w=Line;$a=Line"
    + BEGIN
    + r"""$q=New-Object IO.Pipes.AnonymousPipeServerStream('Out','Inheritable')
$env:MUSTER_PIPE=$q.GetClientHandleAsString()
$s=New-Object Diagnostics.ProcessStartInfo
$s.FileName=$g[0].Definition;$s.Arguments=$a;$s.UseShellExecute=$false;$s.RedirectStandardInput=$true
Say "$n ok";Say $n $e
try{$p=[Diagnostics.Process]::Start($s)}catch{Say $_ $e;exit 126}
$q.DisposeLocalCopyOfClientHandle();$p.StandardInput.Close();$t=$i.CopyToAsync($q)
while(!$p.WaitForExit(200)){if($t.IsCompleted){$q.Dispose()}}
$r=$p.ExitCode
Say "$([char]0)$n exit $r"
exit $r"""
)

_LOOP = r"""$ProgressPreference='SilentlyContinue'
$MusterText=New-Object Text.UTF8Encoding $false
try{[Console]::OutputEncoding=$MusterText}catch{}
$MusterOut=[Console]::OpenStandardOutput();$MusterError=[Console]::OpenStandardError()
function MusterMark($t,$s){$b=$MusterText.GetBytes("$([char]30)$t`n");$s.Write($b,0,$b.Length);$s.Flush()}
function MusterRead($t){$MusterText.GetString([Convert]::FromBase64String($t))}
$MusterPipe=New-Object IO.Pipes.AnonymousPipeClientStream('In',$env:MUSTER_PIPE);$env:MUSTER_PIPE=$null
$MusterLines=New-Object IO.StreamReader($MusterPipe,$MusterText)
while($null -ne ($MusterLine=$MusterLines.ReadLine())){. ([ScriptBlock]::Create((MusterRead $MusterLine)))}"""

# Doubled braces are PowerShell's own. A name or a value is never read as PowerShell: all is Base64.
_COMMAND = r"""$MusterLine=$null
foreach($MusterPair in '{variables}'.Split(' ')){{if($MusterPair){{
[Environment]::SetEnvironmentVariable($MusterPair.Split(':')[0],(MusterRead $MusterPair.Split(':')[1]))}}}}
$env:MUSTER_INVOCATION='{marker}';$MusterScript=$null;$MusterFault=''
try{{$MusterScript=[ScriptBlock]::Create((MusterRead '{text}'))}}
catch{{$MusterFault=$_.Exception.GetBaseException().Message}}
MusterMark "{begin} $PID $([DateTime]::UtcNow.ToFileTimeUtc())" $MusterOut;MusterMark '{begin}' $MusterError
$global:LASTEXITCODE=0
if($MusterScript){{try{{. $MusterScript|Out-Default}}catch{{$MusterFault=$_|Out-String}}}}
if($MusterFault){{$global:LASTEXITCODE=1;[Console]::Error.WriteLine($MusterFault)}}
[Console]::Out.Flush();[Console]::Error.Flush()
MusterMark "{end} $LASTEXITCODE" $MusterOut;MusterMark '{end}' $MusterError"""
_QUESTION = """MusterMark "{nonce} $($PSVersionTable.PSVersion)" $MusterOut"""


class WindowsShell:
    """The lines for one kept PowerShell."""

    def __init__(self, wish: ShellWish) -> None:
        self._wish = wish

    @property
    def interpreter(self) -> str:
        """What runs."""
        return self._wish.interpreter.strip() or "powershell.exe"

    def opening(self) -> Delivery:
        """Return how to start it; the last line is a question that ``greeted`` reads the answer of.

        Raises: SessionRefused for what cannot be started.
        """
        wish, nonce = self._wish, new_nonce()
        arguments = POWERSHELL + encoded(wish.marker, _LOOP)
        lines = [nonce, wish.working_directory, self.interpreter, arguments]
        if any(character in line for line in lines for character in "\0\n\r"):
            message = "The working directory and the interpreter must be one line each. The session was not opened."
            raise SessionRefused(message, reason="command_invalid")
        opening = "".join(line + "\n" for line in lines).encode() + _line(_QUESTION.format(nonce=nonce))
        exec_request = request(wish.marker, _HOST)
        return Delivery(exec_request, opening, b"", nonce.encode(), SLACK_S, has_exit_line=True)

    def greeted(self, answer: str) -> None:
        """Nothing depends on the version."""

    def settle(self, nonce: str) -> bytes:
        """It takes commands at once."""
        return b""

    def feed(self, command: Command, marks: Marks) -> bytes:
        """Return the line that runs one command.

        Raises: CommandRefused for what cannot be sent.
        """
        if command.arguments:
            raise CommandRefused("Windows takes no arguments. The command did not run.", reason="command_invalid")
        if "\0" in command.text:
            raise CommandRefused("A script cannot contain NUL characters. It did not run.", reason="script_invalid")
        try:
            text = base64.b64encode(command.text.encode()).decode()
        except UnicodeEncodeError:
            message = "The script is not valid Unicode text. It did not run."
            raise CommandRefused(message, reason="script_invalid") from None
        return _line(
            _COMMAND.format(
                variables=variables(command),
                marker=command.marker,
                text=text,
                begin=marks.begin,
                end=marks.end,
            )
        )

    def end(self, marks: Marks) -> bytes:
        """Return nothing: it drops no line, and none breaks a command off."""
        return b""

    def tree(self, marker: UUID, shell: Started, begun: str) -> "KeptWindowsTree":
        """Return the processes of a command; ``begun`` is the number of the shell and when the command began."""
        pid, _, began_at = begun.partition(" ")
        is_known = pid.isdecimal() and began_at.isdecimal()
        return KeptWindowsTree(marker, int(pid) if is_known else 0, int(began_at) if is_known else 0)


class KeptWindowsTree(WindowsTree):
    """What a command in a kept PowerShell has started: what descends from that and is younger than the command."""

    def __init__(self, marker: UUID, shell: int, began_at: int) -> None:
        super().__init__(marker, None)
        self._shell = shell
        self._began_at = began_at
        self.is_shell_there = True

    async def hit(
        self, connection: Connection, signal: str, may_interrupt: Callable[[], bool] = lambda: False
    ) -> tuple[int, ...]:
        """Return the living pids, and end them at once if a signal is given, whichever; the shell is not interrupted.

        Raises: as ``look``.
        """
        pids = await self.look(connection)
        return await self.look(connection, ends=True) if signal and pids else pids

    def _living(self, rows: dict[int, Row]) -> tuple[int, ...]:
        self.is_shell_there = self._shell in rows
        ours = {pid for pid, start in self._ever.items() if pid in rows and rows[pid].start == start}
        size = -1
        while size != len(ours):
            size = len(ours)
            self._ever |= {pid: rows[pid].start for pid in ours}
            ours |= {
                row.pid for row in rows.values() if self._is_young(row) and row.parent in {self._shell, *self._ever}
            }
        return tuple(sorted(ours - {self._shell}))

    def _is_young(self, row: Row) -> bool:
        return bool(self._shell) and row.start >= self._began_at


def _line(program: str) -> bytes:
    return base64.b64encode(program.encode()) + b"\n"
