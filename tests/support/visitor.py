"""Somebody at a running console: sends what a browser sends, over plain HTTP, and reads what the console stored."""

import hashlib
import http.cookiejar
import itertools
import re
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.console import PASSWORD, Console
from tests.support.until import WITHIN_S, until

_keys = itertools.count()
GAP = 3


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are answers to look at, not to follow."""

    def redirect_request(self, *args: Any) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes


class Visitor:
    """One signed-in person."""

    def __init__(self, console: Console, name: str = "admin", password: str = PASSWORD) -> None:
        self._console = console
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(_Stay, urllib.request.HTTPCookieProcessor(self._jar))
        self.get("/sign-in/")
        answer = self.post("/sign-in/", username=name, password=password)
        assert answer.status == 302, answer

    @property
    def cookie(self) -> str:
        """The Cookie header of this person."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask(urllib.request.Request(self._console.url + path, headers=headers))

    def post(self, path: str, **fields: object) -> Answer:
        token = next((cookie.value for cookie in self._jar if cookie.name == "csrftoken"), "")
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        request = urllib.request.Request(self._console.url + path, data=data)
        request.add_header("Origin", self._console.url)
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=WITHIN_S) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            return Answer(answer.code, answer.headers, answer.read())

    def send(self, command: str, ids: list[int], **options: object) -> int:
        """Send a command as the form does; return the run's number."""
        run = self.try_to_send(command, ids, **options)
        assert run is not None, "The database was busy."
        return run

    def try_to_send(self, command: str, ids: list[int], **options: object) -> int | None:
        """As ``send``; None when the database was busy, so that it was not done."""
        answer = self.post(
            "/send/",
            command=command,
            ids=",".join(map(str, ids)),
            request_key=f"visitor-{next(_keys)}",
            confirmed_count=str(len(ids)),
            **({"command_type": "shell", "max_concurrency": 1000} | options),
        )
        if answer.status == 503 and b"was not done" in answer.body:
            return None
        assert answer.status == 302, answer
        found = re.fullmatch(r"/runs/(\d+)/", answer.headers["Location"])
        assert found is not None, answer.headers["Location"]
        return int(found[1])

    def stop(self, run: int, ordinal: int | None = None) -> None:
        answer = self.post(f"/runs/{run}/stop/", **({} if ordinal is None else {"i": ordinal}))
        assert answer.status == 302, answer


def marker_of(row: sqlite3.Row | dict[str, Any]) -> str:
    """What the processes of an invocation carry as ``MUSTER_INVOCATION``."""
    return str(uuid.UUID(row["marker"]))


def contents_in(folder: Path) -> dict[str, bytes]:
    """What is in every file below a folder that is still there when it is read, by its path."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                found[str(path)] = path.read_bytes()
    return found


def run_on(console: Console, command: str, *names: str) -> int:
    """Send a command to the instances of these names as ``admin``, and wait for the end; return the run's number."""
    records = Records(console.folder)
    ids = {row["name"]: row["id"] for row in records.rows("SELECT id, name FROM instances_instance")}
    run = Visitor(console).send(command, [ids[name] for name in names])
    until(lambda: records.run(run)["finished_at"], within_s=120)
    return run


class Records:
    """What a console has stored, read beside it: the judge does not go through the code it judges."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "muster.sqlite3"

    def rows(self, statement: str, *params: object) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self.path, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(statement, params).fetchall()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody is in the middle of a write for the block, nor begins one."""
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
            database.execute("ROLLBACK")

    def invocations(self, run: int) -> list[sqlite3.Row]:
        return self.rows("SELECT * FROM console_invocation WHERE run_id = ? ORDER BY ordinal", run)

    def statuses(self, run: int) -> list[str]:
        return [row["status"] for row in self.invocations(run)]

    def run(self, run: int) -> sqlite3.Row:
        return self.rows("SELECT * FROM console_run WHERE id = ?", run)[0]

    def unresolved(self) -> list[tuple[int, str]]:
        """Invocations a worker holds, or should."""
        wanted = "('connecting', 'running', 'stopping', 'disconnected')"
        return [tuple(row) for row in self.rows(f"SELECT id, status FROM console_invocation WHERE status IN {wanted}")]

    def output(self, invocation: int) -> bytes:
        """The stored bytes; asserts that offsets are contiguous from 0."""
        at, kept = 0, []
        for row in self.rows(
            'SELECT "offset", kind, data FROM console_output WHERE invocation_id = ? ORDER BY "offset"', invocation
        ):
            assert row["offset"] == at, (invocation, row["offset"], at)
            if row["kind"] == GAP:
                at += int(row["data"])
            else:
                at += len(row["data"])
                kept.append(bytes(row["data"]))
        return b"".join(kept)

    def assert_sound(self) -> None:
        """Nothing in the database is torn, and what ended carries the hash of what is stored."""
        assert self.rows("PRAGMA integrity_check")[0][0] == "ok"
        for row in self.rows("SELECT * FROM console_invocation"):
            stored = self.output(row["id"])
            assert len(stored) == row["stdout_bytes"] + row["stderr_bytes"], dict(row)
            if row["sha256"]:
                assert hashlib.sha256(stored).hexdigest() == row["sha256"], dict(row)
