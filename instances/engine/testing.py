"""Owns machines that only pretend: a scripted Transport for tests, without processes or network."""

import asyncio
import base64
import re
import shlex
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from instances.engine.errors import ConnectError, ConnectionLost, StartRefused
from instances.engine.sftp import no_sftp
from instances.engine.stop import Row
from instances.engine.transport import Connection, Exit, Files, Process, Size, Terminal
from instances.engine.types import Sink, Stream, Target


@dataclass(frozen=True)
class Say:
    """Some output; ``after_s`` counts from what came before, ``times`` repeats it without building it up."""

    data: bytes
    stream: Stream = Stream.STDOUT
    after_s: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Scene:
    """How a machine behaves.

    ``ends_after_s`` None: it runs until it is stopped. ``is_deaf``: TERM does nothing. ``is_immortal``: KILL neither.
    ``verdict``: what the bootstrap answers, such as "cwd_missing". ``drops_after_s``: the line breaks, and what runs
    goes on. ``bystanders``: child processes left when the command ends.
    """

    says: tuple[Say, ...] = ()
    exit_status: int | None = 0
    exit_signal: str = ""
    ends_after_s: float | None = 0.0
    connect_after_s: float = 0.0
    connect_error: ConnectError | None = None
    greeting: bytes = b""
    verdict: str = "ok"
    is_deaf: bool = False
    is_immortal: bool = False
    drops_after_s: float | None = None
    bystanders: int = 0


@dataclass
class Machine:
    """What a pretended machine has running and has been asked."""

    scene: Scene
    living: dict[int, "ScriptedProcess | None"] = field(default_factory=dict)
    markers: dict[int, str] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    scripts: list[bytes] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    next_pid: int = 1000

    def spawn(self, process: "ScriptedProcess | None", marker: str) -> int:
        """Add a process and return its pid."""
        self.next_pid += 1
        self.living[self.next_pid] = process
        self.markers[self.next_pid] = marker
        return self.next_pid

    def hit(self, pid: int, name: str) -> None:
        """Deliver a signal."""
        self.signals.append(name)
        is_spared = self.scene.is_immortal or (self.scene.is_deaf and name != "KILL")
        if pid not in self.living or is_spared:
            return
        process = self.living.pop(pid)
        if process is not None:
            process.end(Exit(signal=name))

    def sweep(self, words: list[str]) -> bytes:
        """Answer the engine's sweep as its shell script would."""
        marker, pid, _, signal = words[:4]
        rows = [Row(1, "S", 0, 1, 1, "1"), *(Row(number, "S", 1, number, number, "7") for number in self.living)]
        marked = [number for number in self.living if self.markers[number] == marker]
        lines = [f"{row.pid} {row.state} {row.parent} {row.group} {row.session} {row.start}" for row in rows]
        answer = "\n".join([*lines, "marked " + " ".join(map(str, marked)), "end", ""]).encode()
        if signal:
            for number in {*marked, int(pid)} & set(self.living):
                self.hit(number, signal)
        return answer

    def windows_sweep(self, asked: bytes) -> bytes:
        """Answer the engine's sweep of a Windows machine as its PowerShell program would."""
        traces, known = asked.decode().split("\n")[:2]
        verb, *pairs = known.split(" ")
        marked = [number for number in self.living if self.markers[number] in traces.split(" ")]
        rows = [(1, 0, 1, 0)]
        rows += [(number, self.parents.get(number, 1), 7, int(number in marked)) for number in self.living]
        if verb == "end":
            for number in {*marked, *(int(pair.split(":")[0]) for pair in pairs if pair)} & set(self.living):
                self.hit(number, "KILL")
        return "\r\n".join([*(" ".join(map(str, row)) for row in rows), "done", ""]).encode()


class ScriptedTransport:
    """Reaches pretended machines; ``machines`` shows per target key what happened on each."""

    def __init__(self, scene_of: Callable[[Target], Scene]) -> None:
        self._scene_of = scene_of
        self.machines: dict[Hashable, Machine] = {}

    async def connect(self, target: Target, through: Connection | None = None) -> "ScriptedConnection":
        """Connect as the scene says."""
        machine = self.machines.setdefault(target.key, Machine(self._scene_of(target)))
        await asyncio.sleep(machine.scene.connect_after_s)
        if machine.scene.connect_error is not None:
            raise machine.scene.connect_error
        return ScriptedConnection(machine)


class ScriptedConnection:
    """A pretended connection; implements ``transport.Connection``."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._processes: list[ScriptedProcess] = []
        self._is_closed = False

    @property
    def banner(self) -> str:
        """Say what it is."""
        return "scripted"

    @property
    def is_closed(self) -> bool:
        """Whether it was closed or dropped."""
        return self._is_closed

    async def start(self, exec_request: str, *, stdin: bytes, sink: Sink) -> Process:
        """Answer the engine's own requests; anything else ends at once without output."""
        await asyncio.sleep(0)
        if self._is_closed:
            raise ConnectionLost(is_sent=False)
        words = shlex.split(exec_request)
        if words[0] == "powershell.exe":
            return self._start_windows(words, stdin, sink)
        process = ScriptedProcess(self._machine, self, sink, marker=words[-1])
        if len(words) == 7 and "MUSTER_INVOCATION" in words[3]:
            self._processes.append(process)
            process.write(stdin)
        else:
            if "marked" in exec_request:
                process.emit(Stream.STDOUT, self._machine.sweep(words[5:]))
            process.end(Exit(status=0))
        return process

    def _start_windows(self, words: list[str], stdin: bytes, sink: Sink) -> Process:
        program = base64.b64decode(words[words.index("-EncodedCommand") + 1]).decode("utf-16-le")
        if "AnonymousPipeServerStream" in program:
            self._processes.append(ScriptedHost(self._machine, self, sink, marker=program[1:37], preamble_lines=4))
            self._processes[-1].write(stdin)
            return self._processes[-1]
        process = ScriptedProcess(self._machine, self, sink, marker=program[1:37], preamble_lines=6)
        if "taskkill" in program:
            process.emit(Stream.STDOUT, self._machine.windows_sweep(stdin))
            process.end(Exit(status=0))
        else:
            self._processes.append(process)
            process.write(stdin)
        return process

    async def open_terminal(self, size: Size, *, sink: Sink) -> Terminal:
        """Refuse: pretended machines have none.

        Raises: StartRefused.
        """
        raise StartRefused

    async def files(self) -> Files:
        """Refuse: files travel over SSH only.

        Raises: FileRefused.
        """
        raise no_sftp()

    def close(self) -> None:
        """Break the line for everything on it; what runs goes on."""
        self._is_closed = True
        for process in self._processes:
            process.lose()

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


class ScriptedProcess(Process):
    """A pretended command: speaks the bootstrap's protocol, then plays its scene.

    ``preamble_lines`` come before the script; without a number, as many as they say themselves (POSIX).
    """

    def __init__(
        self, machine: Machine, connection: ScriptedConnection, sink: Sink, marker: str, preamble_lines: int = 0
    ) -> None:
        super().__init__()
        self._machine = machine
        self._connection = connection
        self._sink = sink
        self._marker = marker
        self._preamble_lines = preamble_lines
        self._stdin = bytearray()
        self._pid = 0
        self._is_paused = False
        self._held: deque[tuple[Stream, bytes]] = deque()
        self._to_say: deque[Say] = deque()
        sink.attach(self)

    def write(self, data: bytes) -> None:
        """Read the preamble, and say the header once."""
        self._stdin += data
        if not self._pid and not self.is_over:
            self._pid = self._machine.spawn(self, self._marker)
            self.emit(Stream.STDOUT, self._machine.scene.greeting + self._nonce + b" %d 7\n" % self._pid)

    def write_eof(self) -> None:
        """Give the verdict and begin to play."""
        if not self._pid:
            return
        scene = self._machine.scene
        preamble, script = self._split()
        if scene.verdict != "ok" or not script.endswith(preamble[0]):
            verdict = scene.verdict if scene.verdict != "ok" else "incomplete"
            self.emit(Stream.STDOUT, self._nonce + b" " + verdict.encode() + b"\n")
            self._finish(Exit(status=126))
            return
        self._machine.scripts.append(script.removesuffix(preamble[0]))
        self.emit(Stream.STDOUT, self._nonce + b" ok\n")
        self.emit(Stream.STDERR, self._nonce + b"\n")
        self._to_say.extend(scene.says)
        if scene.drops_after_s is not None:
            asyncio.get_running_loop().call_later(scene.drops_after_s, self._connection.close)
        self._say_next(0)

    def signal(self, name: str) -> None:
        """Deliver it at once."""
        self._machine.hit(self._pid, name)

    def close(self) -> None:
        """Hear no more of it."""
        self._is_paused = True

    def pause(self) -> None:
        """Hold the output back."""
        self._is_paused = True

    def resume(self) -> None:
        """Let it come."""
        self._is_paused = False
        while self._held and not self._is_paused:
            self._sink.write(*self._held.popleft())
        if self.exit is not None and not self._held:
            self.is_output_complete = True
        self.changed.set()

    def emit(self, stream: Stream, data: bytes) -> None:
        """Print something."""
        if self._is_paused:
            self._held.append((stream, data))
        else:
            self._sink.write(stream, data)

    def end(self, exit_: Exit) -> None:
        """End as told, unless it has ended."""
        if self.is_over:
            return
        self.exit = exit_
        self.is_output_complete = not self._held
        self.changed.set()

    def lose(self) -> None:
        """Lose the line, unless it has ended."""
        if not self.is_over:
            self.is_lost = True
            self.changed.set()

    @property
    def _nonce(self) -> bytes:
        return bytes(self._stdin.partition(b"\n")[0])

    def _split(self) -> tuple[list[bytes], bytes]:
        if self._preamble_lines:
            *preamble, script = bytes(self._stdin).split(b"\n", self._preamble_lines)
            return preamble, script
        lines = bytes(self._stdin).split(b"\n", 5)
        # After the words comes the line of variables and arguments.
        words = lines[5].split(b"\n", int(lines[4]) + 1)
        return lines[:5], words[-1]

    def _say_next(self, said: int) -> None:
        """Say one piece; ``said`` counts how often the first one was said. Waits while it is held back."""
        loop = asyncio.get_running_loop()
        if self.is_over or self._pid not in self._machine.living:
            return
        if self._held:
            loop.call_later(0.001, self._say_next, said)
            return
        if self._to_say:
            say = self._to_say[0]
            if said == 0 and say.after_s:
                self._to_say[0] = Say(say.data, say.stream, times=say.times)
                loop.call_later(say.after_s, self._say_next, 0)
                return
            self.emit(say.stream, say.data)
            if said + 1 >= say.times:
                self._to_say.popleft()
                said = -1
            loop.call_soon(self._say_next, said + 1)
        elif self._machine.scene.ends_after_s is not None:
            scene = self._machine.scene
            loop.call_later(self._machine.scene.ends_after_s, self._finish, Exit(scene.exit_status, scene.exit_signal))

    def _finish(self, exit_: Exit) -> None:
        if self._machine.living.pop(self._pid, None) is None:
            return
        for _ in range(self._machine.scene.bystanders):
            self._machine.spawn(None, self._marker)
        if self._preamble_lines and exit_.status is not None:
            self.emit(Stream.STDOUT, b"\0%b exit %d\n" % (self._nonce, exit_.status))
        self.end(exit_)


class ScriptedHost(ScriptedProcess):
    """A pretended kept PowerShell: a command is a child that plays the scene; "exit N" and "while…" run in itself."""

    _child = 0
    _end_mark = ""

    def write(self, data: bytes) -> None:
        """Read the preamble, say the header, and evaluate line by line."""
        self._stdin += data
        while self.exit is None and (cut := self._stdin.find(b"\n", self._next_line())) >= 0:
            line = bytes(self._stdin[self._next_line() : cut])
            del self._stdin[self._next_line() : cut + 1]
            if not self._pid:
                self._report()
            if self.exit is None:
                self._evaluate(base64.b64decode(line).decode())

    def write_eof(self) -> None:
        """End, as a PowerShell without input does; not before a command has."""
        if not self._end_mark:
            self._leave(0)

    def end(self, exit_: Exit) -> None:
        """End as told; where the child alone was ended, the command has."""
        if self._pid in self._machine.living:
            self._finish(exit_)
        else:
            super().end(exit_)

    def _next_line(self) -> int:
        at = 0  # What comes after the preamble.
        for _ in range(self._preamble_lines):
            at = self._stdin.find(b"\n", at) + 1
        return at

    def _report(self) -> None:
        verdict = self._machine.scene.verdict
        self._pid = self._machine.spawn(self, self._marker)
        self.emit(Stream.STDOUT, self._nonce + b" %d 7 850\n" % self._pid)
        self.emit(Stream.STDOUT, self._nonce + b" " + verdict.encode() + b"\n")
        self.emit(Stream.STDERR, self._nonce + b"\n")
        if verdict != "ok":
            self._leave(126)

    def _evaluate(self, program: str) -> None:
        marks = re.findall(r"MusterMark ['\"]([0-9a-f]{32})", program)
        if len(marks) == 1:
            self.emit(Stream.STDOUT, f"\x1e{marks[0]} 5.1\n".encode())
            return
        texts = re.findall(r"MusterRead '([^']*)'", program)
        script = base64.b64decode(texts[-1])
        self._machine.scripts.append(script)
        self._end_mark = marks[2]
        self.emit(Stream.STDOUT, f"\x1e{marks[0]} {self._pid} 7\n".encode())
        self.emit(Stream.STDERR, f"\x1e{marks[0]}\n".encode())
        if script.startswith(b"exit "):
            self._leave(int(script.split()[1]))
        elif not script.startswith(b"while"):
            self._child = self._machine.spawn(self, "")
            self._machine.parents[self._child] = self._pid
            self._to_say.extend(self._machine.scene.says)
            self._say_next(0)

    def _finish(self, exit_: Exit) -> None:
        self._machine.living.pop(self._child, None)
        self._to_say.clear()
        mark, self._end_mark = self._end_mark, ""
        if mark:
            self.emit(Stream.STDOUT, f"\x1e{mark} {1 if exit_.status is None else exit_.status}\n".encode())
            self.emit(Stream.STDERR, f"\x1e{mark}\n".encode())

    def _leave(self, status: int) -> None:
        if self._machine.living.pop(self._pid, None) is not None:
            self.emit(Stream.STDOUT, b"\0%b exit %d\n" % (self._nonce, status))
            super().end(Exit(status=status & 255))
