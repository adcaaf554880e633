"""Owns which processes are those of one command of a kept shell, and sending them signals; the shell itself is not one.

A command's are: every process whose environment holds its marker, what descends from those, and what was forked in the
shell's session after the command began. A fork that never called exec still shows the marker of the session, so it is
told by its start: the shell forks once right before each command, and what came later is the command's, unless it
descends from something older. An orphan of an older background process cannot be told from one of the command.
"""

from collections.abc import Callable
from uuid import UUID

from instances.engine.stop import LOOK_S, Row, Snapshot, Tree
from instances.engine.transport import Connection, ask
from instances.engine.types import Started

# Arguments: signal, the shell or 0, its children of former commands, then pid:start of what gets the signal.
# A shell that waits takes INT for a wish to what it waits for, and goes on with the next line unless INT ended that:
# both get it at once, and in a quick loop that is a process which no look before could have seen.
_HIT = (
    "g=$1; p=$2; o=$3; shift 3; "
    "f() { shift 19; t=$1; }; "
    'if [ "$p" -gt 1 ]; then '
    "c=; if [ -r /proc/$p/task/$p/children ]; then IFS= read -r c </proc/$p/task/$p/children; "
    "else c=$(pgrep -P $p); fi; w=; "
    'for x in $c; do case $o in *" $x "*) ;; *) w="$w $x";; esac; done; '
    "kill -s INT $p $w; fi 2>/dev/null; "
    # A name may hold line ends: what is asked for is on the last line.
    'for x in "$@"; do t=${x#*:}; x=${x%:*}; w=$t; l=; '
    "while IFS= read -r y; do l=$y; done </proc/$x/stat; "
    'if [ -n "$l" ]; then f ${l##*) }; fi; '
    'if [ "$w" = "$t" ]; then kill -s "$g" "$x"; fi; done 2>/dev/null'
)


class KeptTree(Tree):
    """The processes of one command in a kept shell; ``first`` is the fork right before it, where that is known."""

    def __init__(self, marker: UUID, shell: Started, first: Started | None) -> None:
        super().__init__(marker, shell)
        self._shell = shell
        self._first = first
        self._older: list[int] = []
        self.is_shell_there = True

    def living(self, snapshot: Snapshot) -> dict[int, str]:
        """Return pid → start time of what belongs to the command in this look."""
        rows = snapshot.rows
        shell = rows.get(self._shell.pid)
        self.is_shell_there = shell is not None and shell.start == self._shell.start_time and shell.state[0] not in "ZX"
        ours = {pid for pid in snapshot.marked if pid in rows}
        ours |= {pid for pid, start in self._seen.items() if pid in rows and rows[pid].start == start}
        if self.is_shell_there or shell is None:
            ours |= {row.pid for row in rows.values() if self._is_fork(row, rows)}
        # Not even by its marker: all that former commands left would descend from it.
        ours.discard(self._shell.pid)
        size = 0
        while size != len(ours):
            size = len(ours)
            ours |= {row.pid for row in rows.values() if row.parent in ours}
        self._older = [row.pid for row in rows.values() if row.parent == self._shell.pid and row.pid not in ours]
        return {pid: rows[pid].start for pid in ours if rows[pid].state[0] not in "ZXx"}

    async def look(self, connection: Connection, signal: str = "") -> tuple[int, ...]:
        """Return the living pids, and send the signal, if one is given, to them.

        Raises: as ``Tree.look``.
        """
        return await self.hit(connection, signal)

    async def hit(
        self, connection: Connection, signal: str, may_interrupt: Callable[[], bool] = lambda: False
    ) -> tuple[int, ...]:
        """Look, and send the signal; INT alone to the shell and what it waits for, if it still may be interrupted then.

        Raises: as ``look``.
        """
        pids = await super().look(connection)
        shell = self._shell.pid if signal and self.is_shell_there and may_interrupt() else 0
        if signal and (pids or shell):
            hits = " ".join(f"{pid}:{start}" for pid, start in self._seen.items())
            older = " ".join(map(str, self._older))
            request = f"exec /bin/sh -c '{_HIT}' sh {signal} {shell} ' {older} ' {hits}"
            await ask(connection, request, timeout_s=LOOK_S)
        return pids

    def _is_fork(self, row: Row, rows: dict[int, Row]) -> bool:
        """Say whether a process was forked in the shell's session by this command."""
        while row.pid != self._shell.pid:
            if not self._is_later(row):
                return False
            parent = rows.get(row.parent)
            if parent is None:
                return row.session == self._shell.pid
            row = parent
        return True

    def _is_later(self, row: Row) -> bool:
        """Say whether it began after ``first``; in the same clock tick the pid tells."""
        first = self._first
        if first is None or not (row.start.isdecimal() and first.start_time.isdecimal()):
            return False
        return (int(row.start), row.pid) > (int(first.start_time), first.pid)
