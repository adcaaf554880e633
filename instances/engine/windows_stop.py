"""Owns Stop on Windows: which processes are a command's, ending them with taskkill, and the proof that none is left.

What belongs to a command: every process whose command line holds its marker, what it reported as its first process,
what was seen to descend from those, and whatever of that was seen before. A process number is only ours together with
its start time. A process that lost its parent before the first look, and was not started by name, cannot be found.
"""

from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from instances.engine.errors import ConnectionLost
from instances.engine.stop import GRACE_S, KILL_S, LOOK_S, Survivors, sweep_limit
from instances.engine.transport import Connection, ask
from instances.engine.types import Started
from instances.engine.windows import request, traces

# Listed before anything is ended: once a parent is gone its children cannot be told any more.
# Start times come from one source only, here and in the header, so that they can be compared as they are; unreadable
# ones (of other users) are 0. A row: pid parent start marked.
_SWEEP = r"""$ProgressPreference='SilentlyContinue'
$w=[Console]::In.ReadLine().Split(' ');$k=[Console]::In.ReadLine().Split(' ')
$t=@{};foreach($p in [Diagnostics.Process]::GetProcesses()){try{$t[$p.Id]=$p.StartTime.ToFileTimeUtc()}catch{}}
$e='';$all=@();try{$all=@(Get-CimInstance Win32_Process -ErrorAction Stop)}catch{$e="$_"}
$x=@()
foreach($p in $all){$i=[int]$p.ProcessId;$f=0
foreach($n in $w){if("$($p.CommandLine)".Contains($n)){$f=1}}
if($f){$x+=$i};"{0} {1} {2} {3}" -f $i,$p.ParentProcessId,[long]$t[$i],$f}
if($k[0] -eq 'end'){foreach($s in $k){$i,$b=$s.Split(':');if($b -and "$($t[[int]$i])" -eq $b){$x+=[int]$i}}
foreach($i in $x){taskkill.exe /T /F /PID $i 2>&1|Out-Null}}
elseif(!$x){$d=[IO.Path]::Combine([IO.Path]::GetTempPath(),"muster.$($w[0])")
if($all -and [IO.Directory]::Exists($d)){try{[IO.Directory]::Delete($d,$true)}catch{}}}
if($e){"denied $e"}else{'done'}"""


@dataclass(frozen=True)
class Row:
    """One process of a Windows machine; ``start`` is a FILETIME, 0 where it may not be read."""

    pid: int
    parent: int
    start: int
    is_marked: bool


class WindowsTree:
    """The processes of one command on Windows, as far as they were ever seen."""

    # The server ends the shell alone on a signal, and reports 0; taskkill must find the whole tree.
    takes_signals = False

    def __init__(self, marker: UUID, started: Started | None) -> None:
        self._marker = marker
        # Of every process that ever was ours: children are told by it when it is gone.
        self._ever: dict[int, int] = {}
        if started is not None and started.start_time.isdecimal():
            self._ever[started.pid] = int(started.start_time)
        self._seen: tuple[int, ...] = ()

    @property
    def last_seen(self) -> tuple[int, ...]:
        """What the last look saw alive."""
        return self._seen

    def survivors(self) -> Survivors:
        """Return what the last look saw."""
        return Survivors(self._seen)

    async def look(self, connection: Connection, *, ends: bool = False) -> tuple[int, ...]:
        """Return the living pids of the command, and end them right after if told to.

        Raises: as ``Connection.start``; ConnectionLost also for an answer that makes no sense.
        """
        known = " ".join(f"{pid}:{start}" for pid, start in self._ever.items())
        asked = f"{' '.join(traces(self._marker))}\n{'end' if ends else 'look'} {known}\n".encode("ascii")
        async with sweep_limit():
            answer = await ask(connection, request(self._marker, _SWEEP), stdin=asked, timeout_s=LOOK_S)
        try:
            rows = _read(answer.decode("utf-8", "replace"))
        except ValueError as error:
            raise ConnectionLost(f"The instance gave no usable list of its processes. {error}".strip()) from None
        self._seen = self._living(rows)
        return self._seen

    async def stop(self, connection: Connection, *, grace_s: float = GRACE_S) -> Survivors:
        """End the tree at once, and look until nothing is left or nothing helps.

        Windows has no way to ask a process without a window to end, so there is no grace.
        Raises: as ``look``.
        """
        pids = await self.look(connection, ends=True)
        began_at = monotonic()
        while pids and monotonic() - began_at < KILL_S + grace_s:
            pids = await self.look(connection, ends=True)
        return Survivors(pids)

    def _living(self, rows: dict[int, Row]) -> tuple[int, ...]:
        ours = {row.pid for row in rows.values() if row.is_marked}
        ours |= {pid for pid, start in self._ever.items() if pid in rows and rows[pid].start == start}
        is_growing = True
        while is_growing:
            self._ever |= {pid: rows[pid].start for pid in ours}
            more = {row.pid for row in rows.values() if row.pid not in ours and self._is_child(row, rows)}
            is_growing = bool(more)
            ours |= more
        return tuple(sorted(ours))

    def _is_child(self, row: Row, rows: dict[int, Row]) -> bool:
        """Say whether a process was started by one of ours, and not by one that got its number later."""
        start = self._ever.get(row.parent)
        if start is None:
            return False
        parent = rows.get(row.parent)
        is_same = parent is None or parent.start == start
        return is_same and (row.start == 0 or row.start >= start)


def _read(answer: str) -> dict[int, Row]:
    """Read what the sweep printed.

    Raises: ValueError when the end is missing, so that half an answer never looks like a clean machine.
    """
    lines = answer.split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    if lines and lines[-1].startswith("denied"):
        raise ValueError(lines[-1].removeprefix("denied").strip()[:200])
    if len(lines) < 2 or lines[-1] != "done":
        raise ValueError
    rows = {}
    for line in lines[:-1]:
        words = line.split()
        if len(words) == 4 and all(word.isdecimal() for word in words):
            pid, parent, start, marked = map(int, words)
            rows[pid] = Row(pid, parent, start, bool(marked))
    if not rows:
        raise ValueError
    return rows
