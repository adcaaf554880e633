"""Owns Stop: which processes are a command's, ending them, and the proof that none is left.

What belongs to a command: every process whose environment holds its marker, every process of its session, what was
seen to descend from those, and whatever of that was seen before. A child that left the session, wiped its environment
and lost its parent before the first look cannot be found.

As another user everything is asked and done through sudo as that user: nobody else but root can read the marker of its
processes or end them. Where sudo refuses, what can be seen is named and nothing is proven.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from uuid import UUID
from weakref import WeakKeyDictionary

from instances.engine.errors import ConnectionLost
from instances.engine.run_as import REFUSED, question
from instances.engine.transport import Connection, Process, ask
from instances.engine.types import Started

SIGNAL_S = 0.3
GRACE_S = 5.0
KILL_S = 5.0
LOOK_S = 15.0
# More sweeps at once than this hold up everything else the worker does.
SWEEPS_AT_ONCE = 50
POLLS_S = (0.03, 0.07, 0.1, 0.2, 0.4)

_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

# Arguments: marker, pid or 0, its start time, signal or nothing, _TABLE, then pid:start of what was seen before.
# The table comes before the signal: once a parent is gone its children cannot be told any more.
# "same" is true for a pid that is gone: no pid is used again while a group of that number lives.
_SWEEP = (
    "m=$1; p=$2; t=$3; g=$4; k=$5; shift 5; "
    # A name may hold line ends: what is asked for is on the last line.
    "same() { [ -r /proc/$1/stat ] || return 0; l=; while IFS= read -r y; do l=$y; done </proc/$1/stat 2>/dev/null; "
    '[ -n "$l" ] || return 0; w=$2; f ${l##*) }; }; '
    'f() { shift 19; [ -z "$w" ] || [ "$w" = "$1" ]; }; '
    "if [ -r /proc/self/stat ]; then "
    # Names are made by printf: a pattern of paths looks at each file once more, and may be too long for a command.
    'a=$(cd /proc && printf "%s/environ " [0-9]* | xargs grep -lsF "MUSTER_INVOCATION=$m"); '
    'b=; for x in $a; do b="$b ${x%/environ}"; done; '
    'c=; for x in "$@"; do c="$c ${x%:*}"; done; '
    # Through grep: awk ends at the first file that is gone.
    '(cd /proc && printf "%s/stat " [0-9]* | LC_ALL=C xargs grep -sh "") | '
    'LC_ALL=C awk -v "session=$p" -v "wanted=$p$b$c" "$k" || exit 1; '
    "else "
    "ps -A -o pid= -o state= -o ppid= -o pgid= || exit 1; "
    "e=$(ps -axEww -o pid= -o command=) || exit 1; "
    'b=$(echo "$e" | grep -F "MUSTER_INVOCATION=$m" | while read -r x y; do echo "$x"; done); '
    "fi; "
    'echo "marked" $b; '
    'if [ -n "$g" ]; then '
    'for x in $b; do kill -s "$g" "$x" 2>/dev/null; done; '
    'if [ "$p" -gt 1 ] && same "$p" "$t"; then kill -s "$g" -- "-$p" 2>/dev/null; fi; '
    'for x in "$@"; do if same "${x%:*}" "${x#*:}"; then kill -s "$g" "${x%:*}" 2>/dev/null; fi; done; '
    "fi; "
    # A script's file stays behind when what would have taken it away was ended.
    'x=${TMPDIR:-/tmp}/muster.$m; if [ -z "$b" ] && [ -d "$x" ]; then rm -rf "$x"; fi; '
    "echo end"
)
# Of all processes only those that may be ours are printed (pid state parent group session start): the wanted ones,
# those of the session, and what descends from either. A large machine has thousands.
# A name is in brackets and may hold brackets, spaces and line ends; it is too short to hold all that follows it.
_TABLE = (
    '{ line = held $0; rest = line; sub(/.*\\) /, "", rest); '
    'if (split(rest, field, " ") < 20) { held = line " "; next } '
    'held = ""; pid = line + 0; parent[pid] = field[2]; '
    'row[pid] = pid " " field[1] " " field[2] " " field[3] " " field[4] " " field[20]; '
    "if (session > 1 && field[4] == session) ours[pid] } "
    'END { count = split(wanted, pids, " "); for (i = 1; i <= count; i++) if (pids[i] > 1) ours[pids[i] + 0]; '
    "do { more = 0; for (pid in parent) if ((parent[pid] + 0 in ours) && (pid in ours) == 0) { ours[pid]; more = 1 } } "
    'while (more); for (pid in ours) if (pid in row) print row[pid]; print "table " NR }'
)
_ROW = re.compile(r"\s*(\d+) +(\S+) +(\d+) +(\d+)(?: +(\d+) +(\d+))?\s*")


@dataclass(frozen=True)
class Survivors:
    """What a Stop left behind; ``is_verified`` says that a last look saw everything it needed.

    ``is_blind``: it did not, because sudo refused to look as the user the command runs as.
    """

    pids: tuple[int, ...] = ()
    is_verified: bool = True
    is_blind: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether nothing of the command is left, for certain."""
        return self.is_verified and not self.pids


@dataclass(frozen=True)
class Row:
    """One process of a machine."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: str


@dataclass(frozen=True)
class Snapshot:
    """One look at a machine."""

    rows: dict[int, Row]
    marked: frozenset[int]

    @classmethod
    def read(cls, answer: str) -> "Snapshot":
        """Read what the sweep printed.

        Raises: ValueError when the end is missing, so that half an answer never looks like a clean machine.
        """
        rows: dict[int, Row] = {}
        marked: frozenset[int] | None = None
        was_read = False
        lines = answer.splitlines()
        if not lines or lines[-1] != "end":
            raise ValueError("The answer is not complete.")
        for line in lines:
            if line.startswith("marked"):
                marked = frozenset(int(pid) for pid in line.split()[1:])
            elif line.startswith("table"):
                was_read = int(line.split()[1]) > 0
            elif match := _ROW.fullmatch(line):
                pid, state, parent, group, session, start = match.groups()
                rows[int(pid)] = Row(int(pid), state, int(parent), int(group), int(session or group), start or "")
        if marked is None or not (rows or was_read):
            raise ValueError("The answer is not complete.")
        return cls(rows, marked)


class Tree:
    """The processes of one command, as far as they were ever seen; ``run_as`` as the command had it."""

    takes_signals = True

    def __init__(self, marker: UUID, started: Started | None, run_as: str = "") -> None:
        self.is_blind = False
        self._run_as = run_as
        self._marker = marker
        self._started = started
        self._seen: dict[int, str] = {}

    @property
    def last_seen(self) -> tuple[int, ...]:
        """What the last look saw alive."""
        return tuple(sorted(self._seen))

    async def look(self, connection: Connection, signal: str = "") -> tuple[int, ...]:
        """Return the living pids of the command, and send them the signal, if one is given, right after.

        Raises: as ``Connection.start``; ConnectionLost also for an answer that makes no sense.
        """
        self._seen = self.living(await self.sweep(connection, signal, self._started, self._seen))
        return self.last_seen

    async def sweep(
        self, connection: Connection, signal: str, leader: Started | None, others: dict[int, str]
    ) -> Snapshot:
        """Ask for the processes; the signal goes to the leader's group, to the others, and to what has the marker.

        Raises: as ``look``.
        """
        pid, start = (leader.pid, leader.start_time) if leader else (0, "")
        seen = " ".join(f"{number}:{begun}" for number, begun in others.items())
        request = f"exec /bin/sh -c '{_SWEEP}' sh {self._marker} {pid} '{start}' '{signal}' '{_TABLE}' {seen}"
        async with sweep_limit():
            answer = await self._ask(connection, request)
        try:
            return Snapshot.read(answer.decode("utf-8", "replace"))
        except ValueError:
            raise ConnectionLost("The instance gave no usable list of its processes.") from None

    async def _ask(self, connection: Connection, request: str) -> bytes:
        if self._run_as and not self.is_blind:
            become, stdin = question(self._run_as, request)
            answer = await ask(connection, become, stdin=stdin, timeout_s=LOOK_S)
            if not answer.endswith(f"{REFUSED}\n".encode()):
                return answer
            # sudo reports each refusal to the administrator: it is asked once.
            self.is_blind = True
        return await ask(connection, request, timeout_s=LOOK_S)

    def survivors(self) -> Survivors:
        """Return what the last look saw, and whether it could see everything."""
        return Survivors(self.last_seen, is_verified=not self.is_blind, is_blind=self.is_blind)

    def living(self, snapshot: Snapshot) -> dict[int, str]:
        """Return pid → start time of what belongs to the command in this look."""
        rows = snapshot.rows
        ours = {pid for pid in snapshot.marked if pid in rows}
        ours |= {pid for pid, start in self._seen.items() if pid in rows and rows[pid].start == start}
        if self._started is not None:
            leader = rows.get(self._started.pid)
            if leader is None or leader.start == self._started.start_time or not self._started.start_time:
                ours |= {row.pid for row in rows.values() if row.session == self._started.pid}
                ours |= {self._started.pid} if leader else set()
        ours |= _descendants(ours, rows.values())
        return {pid: rows[pid].start for pid in ours if rows[pid].state[0] not in "ZXx"}

    async def stop(self, connection: Connection, *, grace_s: float = GRACE_S) -> Survivors:
        """TERM, wait for ``grace_s``, KILL, and look until nothing is left or nothing helps.

        Raises: as ``look``.
        """
        for signal, patience_s in (("TERM", grace_s), ("KILL", KILL_S)):
            turn = 0
            pids = await self.look(connection, signal)
            # The signal is the last thing of a look, which a busy machine takes its time for.
            began_at = monotonic()
            while pids and monotonic() - began_at < patience_s:
                await asyncio.sleep(POLLS_S[min(turn, len(POLLS_S) - 1)])
                turn += 1
                # A tree that still forks has to be killed again; TERM is said once.
                pids = await self.look(connection, "KILL" if signal == "KILL" else "")
            if not pids:
                break
        return self.survivors()


async def look(connection: Connection, marker: UUID, started: Started | None, *, run_as: str = "") -> Survivors:
    """Return what lives of a command; ends nothing.

    Raises: as ``Connection.start``.
    """
    tree = Tree(marker, started, run_as)
    await tree.look(connection)
    return tree.survivors()


async def stop_tree(
    connection: Connection,
    process: Process | None,
    marker: UUID,
    started: Started | None,
    *,
    run_as: str = "",
    grace_s: float = GRACE_S,
) -> Survivors:
    """End everything of a command and prove it.

    1. With a process: the server is asked to send TERM, and has 300 ms.
    2. TERM to the group and to all that is found; ``grace_s``; KILL.
    3. A last look decides.
    Raises: as ``Connection.start``; then nothing is known.
    """
    if process is not None:
        process.signal("TERM")
        await process.until(lambda: process.is_over, SIGNAL_S)
    return await Tree(marker, started, run_as).stop(connection, grace_s=grace_s)


def _descendants(ours: set[int], rows: Iterable[Row]) -> set[int]:
    children: dict[int, list[int]] = {}
    for row in rows:
        children.setdefault(row.parent, []).append(row.pid)
    found: set[int] = set()
    queue = list(ours)
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found


def sweep_limit() -> asyncio.Semaphore:
    """Return what keeps the sweeps of this loop to ``SWEEPS_AT_ONCE``."""
    return _sweeps.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SWEEPS_AT_ONCE))
