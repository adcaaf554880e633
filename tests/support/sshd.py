"""A real OpenSSH server in a temporary folder: one server, many instances, as every 127.x.y.z reaches it."""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instances.engine.types import HostKey, KeyAuth, Target
from tests.support.until import until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
WITHIN_S = 60.0
# Debian's bash reads ~/.bashrc in the first shell of a command only. That of whoever runs the tests may be slow, and
# hold a lock that stays behind when a test stops it (pyenv's then holds up every login for a minute).
_OWN_LOGIN = f"Match User {pwd.getpwuid(os.geteuid()).pw_name}\nSetEnv SHLVL=1\n"


class Sshd:
    """One running server; options are sshd_config words, such as ``MaxStartups="2:100:3"``.

    ``prefix`` is put in front of its command line, such as ``ip netns exec NAME``.
    """

    def __init__(self, folder: Path, *, prefix: tuple[str, ...] = (), **options: str) -> None:
        self.folder = folder
        self._prefix = prefix
        self.port = free_port()
        self.log_path = folder / "sshd.log"
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)], check=True
            )
        self.host_key = HostKey.parse((folder / "host_key.pub").read_text())
        self.user_key = (folder / "user_key").read_bytes()
        self._process: subprocess.Popen[bytes] | None = None
        self._options = {
            "PidFile": "none",
            "HostKey": str(folder / "host_key"),
            "AuthorizedKeysFile": str(folder / "user_key.pub"),
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "LogLevel": "INFO",
            "MaxStartups": "500:30:1000",
        } | options

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until the port answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in self._options.items()) + _OWN_LOGIN)
        assert SSHD is not None
        before = self.log().count("Server listening") if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    SSHD,
                    "-D",
                    "-e",
                    "-f",
                    str(config),
                    "-p",
                    str(self.port),
                    "-o",
                    "ListenAddress=0.0.0.0",
                ],
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        process = self._process
        until(lambda: process.poll() is not None or self.log().count("Server listening") > before, WITHIN_S)
        if process.poll() is not None:
            raise RuntimeError(f"sshd did not start: {self.log()}")

    def stop(self) -> None:
        """End the server and the connections it still has; what was started over these goes on."""
        if self._process is None:
            return
        server, pid = self._process, self._process.pid
        # It must not take anybody in while its connections are counted.
        server.send_signal(signal.SIGSTOP)
        until(lambda: server.poll() is not None or _is_stopped(pid), WITHIN_S)
        seen, ours = _processes(), {pid}
        # Of an ordinary user each has two.
        for _ in range(2):
            ours |= {child for child, process in seen.items() if process.parent in ours and process.is_sshd}
        connections = ours - {pid}
        for each in connections:
            _signal(each, signal.SIGTERM)
        server.terminate()
        server.send_signal(signal.SIGCONT)
        server.wait(WITHIN_S)
        self._process = None
        until(lambda: not any(one.is_sshd for number, one in _processes().items() if number in connections), WITHIN_S)

    def log(self) -> str:
        """Everything the server wrote."""
        return self.log_path.read_text(errors="replace")

    @property
    def accepted(self) -> int:
        """How many sign-ins succeeded; one is counted only after the client knows, at the latest with its command."""
        return self.log().count("Accepted ")

    @property
    def connections(self) -> list[int]:
        """The connections it has now: each has a process, whose child is the rest of it."""
        return _children(self.pid)

    @property
    def open_connections(self) -> int:
        """How many connections it has now."""
        return len(self.connections)

    def target(self, number: int = 1, *, user: str = "", **changes: Any) -> Target:
        """The number-th instance; changes replace fields of the target."""
        address = f"127.1.{number // 250}.{number % 250 + 1}"
        user = user or pwd.getpwuid(os.geteuid()).pw_name
        fields: dict[str, Any] = {
            "key": (self.port, address, user),
            "name": f"instance-{number}",
            "address": address,
            "port": self.port,
            "auth": KeyAuth(user, self.user_key),
            "host_keys": (self.host_key,),
        }
        return Target(**(fields | changes))


@contextmanager
def running_sshd(*, prefix: tuple[str, ...] = (), **options: str) -> Iterator[Sshd]:
    """Start a server for the block."""
    folder = Path(tempfile.mkdtemp(prefix="muster-sshd-"))
    # Ordinary users must be able to read the authorized key.
    folder.chmod(0o755)
    server = Sshd(folder, prefix=prefix, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ordinary_user(name: str, shell: str = "/bin/bash") -> Iterator[str]:
    """Make a user with a home of its own for the block; needs root.

    The name gets the number of the test process, of which there may be several.
    """
    name += os.environ.get("PYTEST_XDIST_WORKER", "")
    _remove_user(name)
    # "*" is no password, yet not a locked account, which sshd would refuse without PAM.
    change_accounts("useradd", "-m", "-K", "UMASK=022", "-s", shell, "-p", "*", name)
    try:
        yield name
    finally:
        _remove_user(name)


def _remove_user(name: str) -> None:
    """Remove a user, if there is one, with all that runs as it: its number goes to the next user."""
    try:
        number = pwd.getpwnam(name).pw_uid
    except KeyError:
        return

    def is_rid() -> bool:
        left = [pid for pid, process in _processes().items() if process.user == number]
        for pid in left:
            _signal(pid, signal.SIGKILL)
        return not left

    until(is_rid, WITHIN_S)
    change_accounts("userdel", "-r", "-f", name, may_fail=True)


def set_password(name: str, password: str) -> None:
    """Give a user a password, as PAM and sshd check it; needs root."""
    change_accounts("chpasswd", stdin=f"{name}:{password}")


def change_accounts(*words: str, stdin: str = "", may_fail: bool = False) -> None:
    """Change the accounts of this machine; two processes cannot at once."""
    with Path(tempfile.gettempdir(), "muster-tests-accounts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(words, input=stdin, text=True, check=not may_fail, capture_output=True)


def marked_by(name: str, value: str) -> list[int]:
    """The living processes whose environment has this variable: the host's own view, without the engine's code."""
    found = []
    wanted = f"{name}={value}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if wanted in environment.split(b"\0") and state not in "ZX":
            found.append(int(folder.name))
    return found


def free_port() -> int:
    """A port nobody listens on, and nobody else is given as long as this process lives.

    It is kept by a socket that does not listen: a server takes it with SO_REUSEADDR, as servers do, also again later.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("0.0.0.0", 0))
    _held.append(held)
    return int(held.getsockname()[1])


_held: list[socket.socket] = []


@dataclass(frozen=True)
class _Process:
    """What /proc says of one that is not a zombie; ``user`` is the real one, who it runs as."""

    parent: int
    user: int
    state: str
    is_sshd: bool


def _processes() -> dict[int, _Process]:
    """Everything that lives on this machine."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            lines = (folder / "status").read_text(errors="replace").splitlines()
        except OSError:
            continue
        said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if said["State"][0] not in "ZX":
            found[int(folder.name)] = _Process(
                int(said["PPid"]), int(said["Uid"].split()[0]), said["State"][0], said["Name"].startswith("sshd")
            )
    return found


def _is_stopped(pid: int) -> bool:
    process = _processes().get(pid)
    return process is not None and process.state == "T"


def _children(pid: int) -> list[int]:
    return [child for child, process in _processes().items() if process.parent == pid]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
