"""Sessions and terminals of somebody at a running console, and the instance's own view of what they left there."""

import asyncio
import itertools
import json
import os
import pwd
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

from tests.support.console import Console
from tests.support.terminal_page import TerminalPage
from tests.support.until import until
from tests.support.visitor import Records, Visitor

WAIT_S = 90.0
_keys = itertools.count()


@dataclass
class Room:
    """A console and instances with an account on one machine; each of what is opened gets an instance to itself."""

    console: Console
    account: str
    instances: list[int]
    visitor: Visitor = None  # type: ignore[assignment]
    _free: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.visitor = self.visitor or Visitor(self.console)
        self.records = Records(self.console.folder)
        self.home = Path(pwd.getpwnam(self.account).pw_dir)

    def as_seen_by(self, visitor: Visitor) -> "Room":
        """The same for somebody else."""
        return Room(self.console, self.account, self.instances, visitor, self._free)

    async def session(self) -> int:
        """Open a session and return its number once it is ready."""
        instance = self.instances[next(self._free)]
        fields = {"ids": instance, "do": "press", "request_key": f"room-{next(_keys)}"}
        answer = await asyncio.to_thread(self.visitor.post, "/sessions/open/", **fields)
        assert answer.status == 302, answer
        pk = self.records.rows("SELECT max(id) AS pk FROM console_session WHERE instance_id = ?", instance)[0]["pk"]
        await self.when(lambda: self.row(pk)["state"] != "opening")
        assert self.row(pk)["state"] == "ready", dict(self.row(pk))
        return int(pk)

    async def terminal(self) -> TerminalPage:
        """Open a terminal and return a page of it that does not look yet."""
        path = f"/instances/{self.instances[next(self._free)]}/terminal/"
        answer = await asyncio.to_thread(self.visitor.post, path)
        return TerminalPage(self.console, self.visitor, int(answer.headers["Location"].strip("/").split("/")[-1]))

    async def send(self, session: int, command: str) -> int:
        """Send a command to a session and return its run once it has printed something."""
        run = await self.send_later(session, command)
        await self.when(lambda: self.invocation(run)["size"])
        return run

    async def send_later(self, session: int, command: str) -> int:
        """Send a command to a session that is at work, and return its run."""
        fields = {"command": command, "command_type": "shell", "sessions": session, "confirmed_count": 1}
        answer = await asyncio.to_thread(self.visitor.post, "/send/", request_key=f"room-{next(_keys)}", **fields)
        found = re.fullmatch(r"/runs/(\d+)/", answer.headers["Location"] or "")
        assert found is not None, answer
        return int(found[1])

    async def when(self, condition: Any) -> Any:
        """Wait until something holds."""
        return await asyncio.to_thread(until, condition, WAIT_S, every_s=0.1)

    def row(self, session: int) -> sqlite3.Row:
        return self.records.rows("SELECT * FROM console_session WHERE id = ?", session)[0]

    def invocation(self, run: int) -> sqlite3.Row:
        return self.records.invocations(run)[0]

    async def over(self, run: int) -> tuple[str, str, str, bytes]:
        """Wait for a run's end; return status, reason, message and what was printed."""
        await self.when(lambda: self.invocation(run)["finished_at"])
        row = self.invocation(run)
        return row["status"], row["reason"], row["message"], self.records.output(row["id"])

    async def ended(self, session: int) -> tuple[str, str, str]:
        """Wait until a session has ended with nothing of it on the instance; return state, reason and message."""
        await self.when(lambda: self.row(session)["closed_at"])
        await self.when(lambda: not self.processes(session))
        row = self.row(session)
        return row["state"], row["reason"], row["message"]

    async def assert_told(self, session: int) -> None:
        """The list tells why it ended, and so does the page of a terminal."""
        row = self.row(session)
        # The list says the state before it.
        told = {"/sessions/?show=ended&whose=all": row["message"].removeprefix("Closed").removeprefix(":").lstrip()}
        if row["kind"] == "terminal":
            told[f"/terminals/{session}/"] = row["message"]
        for path, message in told.items():
            answer = await asyncio.to_thread(self.visitor.get, path)
            assert message in unescape(answer.body.decode()), (path, message)

    def recorded(self, session: int) -> str:
        """What the recording of a terminal shows; it is complete."""
        row = self.records.rows("SELECT * FROM console_recording WHERE session_id = ?", session)[0]
        page = self.visitor.get(f"/recordings/{row['id']}/").body.decode()
        assert "still recording" not in page
        _, *events = self.visitor.get(f"/recordings/{row['id']}/data").body.decode().splitlines()
        return "".join(text for _, kind, text in map(json.loads, events) if kind == "o")

    def change(self, session: int, **limits: int) -> None:
        """Give one session other limits than the settings say."""
        for name, value in limits.items():
            self._write(f"{name} = ?", value, session)

    def backdate(self, by_s: int, *columns: str, sessions: Sequence[int]) -> None:
        """Let times of sessions have been earlier, as when nobody came for so long."""
        for session in sessions:
            for name in columns:
                self._write(f"{name} = strftime('%Y-%m-%d %H:%M:%f', {name}, ?)", f"-{by_s} seconds", session)

    def _write(self, setting: str, value: object, session: int) -> None:
        with closing(sqlite3.connect(self.records.path, timeout=20)) as database, database:
            database.execute(f"UPDATE console_session SET {setting} WHERE id = ?", (value, session))

    def processes(self, session: int) -> list[int]:
        """What lives on a session's instance of what came in over its address, the instance's own servers left out."""
        address, uid = self.row(session)["address"], pwd.getpwnam(self.account).pw_uid
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if not folder.name.isdigit() or folder.stat().st_uid != uid:
                    continue
                variables = (folder / "environ").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            came_over = next((one.split() for one in variables if one.startswith(b"SSH_CONNECTION=")), [])
            if state not in "ZX" and address.encode() in came_over:
                found.append(int(folder.name))
        return found

    def cut_off(self, session: int) -> None:
        """Kill what holds the connection of a session on its instance."""
        found = [stat for pid in self.processes(session) if (stat := _stat(pid))]
        oldest = min(found, key=lambda stat: int(stat[19]))
        os.kill(int(oldest[1]), 9)


def _stat(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
