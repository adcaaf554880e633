"""A real OpenSSH server in a temporary folder: one server, many instances, as every 127.x.y.z reaches it."""

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instances.engine.types import HostKey, KeyAuth, Target

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
START_S = 10.0


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
        config.write_text("".join(f"{name} {value}\n" for name, value in self._options.items()))
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
        ends_at = time.monotonic() + START_S
        while self.log().count("Server listening") <= before:
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"sshd did not start: {self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server and the connections it still has."""
        if self._process is None:
            return
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                continue
        self._process.wait(10)
        self._process = None

    def log(self) -> str:
        """Everything the server wrote."""
        return self.log_path.read_text(errors="replace")

    @property
    def accepted(self) -> int:
        """How many sign-ins succeeded."""
        return self.log().count("Accepted ")

    @property
    def open_connections(self) -> int:
        """How many connections it has now."""
        return len(_children(self.pid))

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
    _account("userdel", "-r", "-f", name, may_fail=True)
    # "*" is no password, yet not a locked account, which sshd would refuse without PAM.
    _account("useradd", "-m", "-K", "UMASK=022", "-s", shell, "-p", "*", name)
    try:
        yield name
    finally:
        for process in marked_by("USER", name):
            try:
                os.kill(process, 9)
            except ProcessLookupError:
                continue
        _account("userdel", "-r", "-f", name, may_fail=True)


def set_password(name: str, password: str) -> None:
    """Give a user a password, as PAM and sshd check it; needs root."""
    subprocess.run(["chpasswd"], input=f"{name}:{password}", text=True, check=True)


def _account(*words: str, may_fail: bool = False) -> None:
    """Change the accounts of this machine; two processes cannot at once."""
    with Path(tempfile.gettempdir(), "muster-tests-accounts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(words, check=not may_fail, capture_output=True)


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
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])


def _children(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]
