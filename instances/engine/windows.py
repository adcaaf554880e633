"""Owns how a Bat or PowerShell script reaches a Windows machine: what is started there, and what is fed to it.

The exec request starts Windows PowerShell with one constant program, and nothing the user wrote is ever on a command
line. It reads the same under cmd.exe and powershell.exe, whichever the OpenSSH server has as its default shell:
Base64 needs no quotes, and the whole stays far below the 8,191 characters of cmd.exe. No program here names the
automatic variable for piped input: a PowerShell that sees it reads stdin away from what it starts
(PowerShell/PowerShell, ConsoleHost.cs).

``_SUPERVISE`` keeps the promise of ``shells``: it reports "<nonce> <pid> <start time> <OEM code page>", looks for the
working directory and the interpreter, reads the script to the end, and starts it only if it ends with the nonce. Its
child writes to the SSH server's own pipes, so that no byte is decoded on the way. When that has ended it says
"NUL <nonce> exit <code>", for the exit code has 32 bits: asyncssh keeps 8 of them, a PowerShell as default shell one.
- Bat: a file in the temporary folder, taken away afterwards, run by cmd.exe in code page 65001 (UTF-8).
- PowerShell: ``_EVALUATE`` reads it from stdin; nothing is on disk, and no execution policy applies to it.

Variables are a line of Base64 on stdin, set one by one in the environment that the script inherits: no value is ever
read as PowerShell or Bat. But ``%NAME%`` puts a value into a line before cmd.exe reads that line, so Bat takes only
values in which nothing means anything to it.
"""

import base64
import re
import secrets
from uuid import UUID

from instances.engine.delivery import Delivery
from instances.engine.environment import NAME_RULE, is_settable
from instances.engine.errors import CommandRefused
from instances.engine.types import Command, CommandType

BAT_RULE = "Bat takes letters from A to Z, digits, blanks and _ - . , : / \\ @ + = only, and no \\ at the end."
# No quote and no line end, no % ! ^ & | < > ( ), and nothing that a code page turns into one of them. A \ at the end
# would join a quote after it to the value.
_BAT_VALUE = re.compile(r"(?:[A-Za-z0-9 _\-.,:/\\@+=]*[A-Za-z0-9 _\-.,:/@+=])?")

# Windows PowerShell takes seconds to start on a machine that has not run it for a while.
SLACK_S = 20.0

# Text, or errors come as CLIXML: an encoded command is taken for a call from another PowerShell.
POWERSHELL = "-NoLogo -NoProfile -NonInteractive -InputFormat None -OutputFormat Text -EncodedCommand "

# /d: no AutoRun. /q: commands are not echoed. /s: only the outer quotes are taken away.
_CMD = '/d /q /s /c "chcp 65001>nul & "{}""'

# $i, $o and $e are the streams, Say writes a line to one of them, Line reads one of stdin.
STREAMS = r"""$ProgressPreference='SilentlyContinue'
$i=[Console]::OpenStandardInput();$o=[Console]::OpenStandardOutput();$e=[Console]::OpenStandardError()
$u=New-Object Text.UTF8Encoding $false
function Say($t,$s=$o){$b=$u.GetBytes("$t`n");$s.Write($b,0,$b.Length);$s.Flush()}
function Line{$m=New-Object IO.MemoryStream
while(($c=$i.ReadByte()) -ne 10){if($c -lt 0){exit 125};$m.WriteByte($c)};$u.GetString($m.ToArray())}
"""

# Goes on from lines with $n (the nonce), $d (the directory) and $w (the program) to the header; $g: the program found.
BEGIN = r"""
$c=[Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Nls\CodePage','OEMCP','')
Say "$n $PID $([Diagnostics.Process]::GetCurrentProcess().StartTime.ToFileTimeUtc()) $c"
if($d -match '^~([\\/]|$)'){$d=$HOME+$d.Substring(1)}
if($d){try{[IO.Directory]::SetCurrentDirectory($d)}catch{Say "$n cwd_missing";exit 126}}
$g=@(Get-Command $w -CommandType Application -ErrorAction SilentlyContinue)
if(!$g){Say "$n interpreter_missing";exit 127}
"""

_SUPERVISE = (
    STREAMS
    + "$n=Line;$k=Line;$d=Line;$w=Line;$a=Line;$x=Line;$v=Line"
    + BEGIN
    + r"""$m=New-Object IO.MemoryStream;$i.CopyTo($m);$b=$m.ToArray();$l=$b.Length-$n.Length
if($l -lt 0 -or $u.GetString($b,$l,$n.Length) -cne $n){Say "$n incomplete";exit 125}
if($x){$f=[IO.Path]::Combine([IO.Path]::GetTempPath(),"muster.$k");$y="$f\script$x"
try{[void][IO.Directory]::CreateDirectory($f);$h=[IO.File]::Create($y);$h.Write($b,0,$l);$h.Close()
}catch{Say "$n no_space";exit 126}
$a=$a.Replace('{}',$y)}
if($v){foreach($p in $v.Split(' ')){$j=$p.IndexOf(':')
[Environment]::SetEnvironmentVariable($p.Substring(0,$j),$u.GetString([Convert]::FromBase64String($p.Substring($j+1))))}}
$env:MUSTER_INVOCATION=$k
$s=New-Object Diagnostics.ProcessStartInfo
$s.FileName=$g[0].Definition;$s.Arguments=$a;$s.UseShellExecute=$false;$s.RedirectStandardInput=$true
Say "$n ok";Say $n $e
try{$p=[Diagnostics.Process]::Start($s)
try{if(!$x){$p.StandardInput.BaseStream.Write($b,0,$l)};$p.StandardInput.Close()}catch{}
$p.WaitForExit();$r=$p.ExitCode}catch{Say $_ $e;$r=126}
if($x){try{[IO.Directory]::Delete($f,$true)}catch{}}
Say "$([char]0)$n exit $r"
exit $r"""
)

# A syntax error must not end as 0. TrimStart: .NET may put a byte order mark before what is written to stdin.
_EVALUATE = r"""$ProgressPreference='SilentlyContinue'
try{[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false}catch{}
try{$MusterScript=[ScriptBlock]::Create((&{$m=New-Object IO.MemoryStream;[Console]::OpenStandardInput().CopyTo($m)
[Text.Encoding]::UTF8.GetString($m.ToArray()).TrimStart([char]65279)}))}
catch{[Console]::Error.WriteLine($_.Exception.GetBaseException().Message);exit 1}
& $MusterScript
exit $LASTEXITCODE"""


def deliver(command: Command) -> Delivery:
    """Return how this command reaches a Windows machine.

    Raises: CommandRefused for what cannot be sent to one.
    """
    if command.run_as or command.arguments:
        message = "Windows takes no other user and no arguments. The command did not run."
        raise CommandRefused(message, reason="command_invalid")
    is_bat = command.command_type is CommandType.BAT
    program = command.interpreter.strip()
    if is_bat and program:
        message = "cmd.exe runs Bat commands: leave the interpreter empty. The command did not run."
        raise CommandRefused(message, reason="command_invalid")
    if is_bat:
        program, arguments, suffix = "cmd.exe", _CMD, ".cmd"
    else:
        program, arguments, suffix = program or "powershell.exe", POWERSHELL + encoded(command.marker, _EVALUATE), ""
    nonce = secrets.token_hex(16)
    lines = [nonce, str(command.marker), command.working_directory, program, arguments, suffix, variables(command)]
    if any(character in line for line in lines for character in "\0\n\r"):
        message = "The working directory and the interpreter must be one line each. The command did not run."
        raise CommandRefused(message, reason="command_invalid")
    opening = "".join(line + "\n" for line in lines).encode() + _script(command)
    exec_request = request(command.marker, _SUPERVISE)
    return Delivery(exec_request, opening, nonce.encode(), nonce.encode(), SLACK_S, has_exit_line=True)


def is_bat_value(value: str) -> bool:
    """Say whether Bat can be given this value of a variable: see ``BAT_RULE``."""
    return bool(_BAT_VALUE.fullmatch(value))


def variables(command: Command) -> str:
    """Return names and values as ``_SUPERVISE`` reads them: NAME:Base64, separated by blanks."""
    words = []
    for name, value in command.environment:
        if not is_settable(name):
            raise CommandRefused(f"{NAME_RULE} The command did not run.", reason="command_invalid")
        if "\0" in value or (command.command_type is CommandType.BAT and not is_bat_value(value)):
            why = "A value cannot hold a NUL character." if "\0" in value else BAT_RULE
            raise CommandRefused(f"{why} The command did not run.", reason="command_invalid")
        try:
            words.append(f"{name}:{base64.b64encode(value.encode()).decode()}")
        except UnicodeEncodeError:
            message = "A value is not valid Unicode text. The command did not run."
            raise CommandRefused(message, reason="command_invalid") from None
    return " ".join(words)


def request(marker: UUID, program: str) -> str:
    """Return the exec request that runs a PowerShell program of the engine's own."""
    return f"powershell.exe {POWERSHELL}{encoded(marker, program)}"


def encoded(marker: UUID, program: str) -> str:
    """Return a PowerShell program as -EncodedCommand takes it, with the marker in front for Stop to find."""
    return base64.b64encode((_head(marker) + program).encode("utf-16-le")).decode()


def traces(marker: UUID) -> tuple[str, str]:
    """Return what the command lines of a command's own processes hold: the marker, or its encoded form."""
    return str(marker), encoded(marker, "")


def _head(marker: UUID) -> str:
    # 39 characters are 78 bytes, a multiple of 3: what follows does not change their Base64.
    return f"#{marker}\n "


def _script(command: Command) -> bytes:
    text = "" if command.is_dry_run else command.text
    if "\0" in text:
        raise CommandRefused("A script cannot contain NUL characters. It did not run.", reason="script_invalid")
    if command.command_type is CommandType.BAT:
        # cmd.exe loses its way to labels in files with the line ends of Unix.
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CommandRefused("The script is not valid Unicode text. It did not run.", reason="script_invalid") from None
