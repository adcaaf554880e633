"""A model of what the engine's programs do on a Windows machine, and Wine's cmd.exe to run Bat in.

No PowerShell runs here: there is none for the tests. ``Received`` takes a delivery apart exactly as far as a Windows
OpenSSH server and its shell would, and ``supervise`` does in Python what ``windows._SUPERVISE`` says. What cmd.exe is
given, command line and file, comes from the delivery alone.
"""

import base64
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WINE = shutil.which("wine")
# What CreateProcess gives cmd.exe at most, and what the server puts around a request.
CMD_CHARACTERS = 8191
AROUND = r'"c:\windows\system32\cmd.exe" /c ""'


@dataclass(frozen=True)
class Received:
    """A delivery as the machine reads it."""

    program: str
    nonce: str
    marker: str
    working_directory: str
    interpreter: str
    arguments: str
    suffix: str
    variables: dict[str, str]
    script: bytes
    is_whole: bool

    @classmethod
    def read(cls, exec_request: str, stdin: bytes) -> "Received":
        """Take apart what arrived, whole or not."""
        assert len(AROUND + exec_request) < CMD_CHARACTERS
        # Nothing that cmd.exe, PowerShell or the server's own quoting would read in a way of its own.
        assert not set(exec_request) & set("\"'`$&|<>^%!();{}@#,\\\r\n")
        words = exec_request.split(" ")
        assert words[0] == "powershell.exe"
        nonce, marker, directory, interpreter, arguments, suffix, variables, body = stdin.split(b"\n", 7)
        return cls(
            decoded(words[1:]),
            nonce.decode(),
            marker.decode(),
            directory.decode(),
            interpreter.decode(),
            arguments.decode(),
            suffix.decode(),
            {
                name: base64.b64decode(value, validate=True).decode()
                for name, _, value in (word.partition(":") for word in variables.decode().split())
            },
            body.removesuffix(nonce),
            body.endswith(nonce),
        )


def decoded(words: list[str]) -> str:
    """The program of a PowerShell command line of the engine's, whose options are checked on the way."""
    *options, name, text = words
    assert name == "-EncodedCommand"
    assert options == ["-NoLogo", "-NoProfile", "-NonInteractive", "-InputFormat", "None", "-OutputFormat", "Text"]
    return base64.b64decode(text, validate=True).decode("utf-16-le")


class Wine:
    """A Windows folder tree and registry of its own, in which Wine's cmd.exe runs."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.environment = {
            "HOME": str(prefix),
            "PATH": "/usr/bin:/bin",
            "WINEPREFIX": str(prefix / "wine"),
            "WINEDEBUG": "-all",
            # Neither is needed, and Wine would offer to download both.
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }

    @classmethod
    def prepared(cls) -> "Wine":
        """One for all tests of this machine, made once: that takes some 15 seconds."""
        prefix = Path(tempfile.gettempdir(), f"muster-tests-wine-{os.geteuid()}")
        prefix.mkdir(mode=0o700, exist_ok=True)
        wine = cls(prefix)
        with (prefix / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (prefix / "ready").exists():
                shutil.rmtree(prefix / "wine", ignore_errors=True)
                wine.start("wineboot", "-i").wait(180)
                assert (prefix / "wine/drive_c/windows/system32/cmd.exe").exists()
                (prefix / "ready").touch()
        # It takes seconds to start: it stays for half a minute after the last program, then it ends by itself.
        subprocess.run(["wineserver", "-p30"], env=wine.environment, check=False)
        return wine

    def start(
        self,
        *words: str,
        stdin: int = subprocess.DEVNULL,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a Windows program."""
        environment = {**self.environment, **(variables or {})}
        return subprocess.Popen([str(WINE), *words], env=environment, stdin=stdin, cwd=cwd)

    def cmd(
        self, arguments: str, name: str, script: bytes, suffix: str, variables: Mapping[str, str] | None = None
    ) -> int:
        """Run cmd.exe with a command line as delivered, on a script file, and return its 32-bit exit code.

        Wine escapes the quotes of its own command line, so the line is put into a batch file; and Linux would cut the
        exit code down to 8 bits, so that file writes it down.
        """
        folder = self.prefix / "wine/drive_c" / name
        folder.mkdir()
        try:
            (folder / f"script{suffix}").write_bytes(script)
            line = arguments.replace("{}", rf"C:\{name}\script{suffix}").replace("%", "%%")
            # In front: a digit right before the > would be the number of a stream.
            ending = rf"@>C:\{name}\code echo %errorlevel%"
            (folder / "outer.cmd").write_bytes(f"@cmd.exe {line}\r\n{ending}\r\n".encode())
            self.start("cmd.exe", "/d", "/c", rf"C:\{name}\outer.cmd", cwd=folder, variables=variables).wait(120)
            return int((folder / "code").read_text())
        finally:
            shutil.rmtree(folder)
