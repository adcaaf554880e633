"""A real PostgreSQL in a temporary folder, on a unix socket there and on no port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian keeps the server's programs out of PATH, a folder for each version.
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
_PATH = os.pathsep.join([*map(str, reversed(_DEBIAN)), os.environ.get("PATH", "")])
# It may be lost with the machine; what the tests kill is processes.
_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=64MB"


class Cluster:
    """One server with an empty database; ``options`` are words of its command line, such as ``-c work_mem=64MB``."""

    def __init__(self, folder: Path, options: str = "") -> None:
        self.folder = folder
        self._options = f"{_OPTIONS} {options} -k {folder}"
        self._data = folder / "data"

    @property
    def url(self) -> str:
        """Its DATABASE_URL."""
        return f"postgres://muster@/muster?host={self.folder}"

    def start(self) -> None:
        """Make it if it is new, start it, wait until it answers."""
        is_new = not self._data.exists()
        if is_new:
            if os.geteuid() == 0:
                owner = pwd.getpwnam("postgres")
                os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.folder.chmod(0o755)
            self._run(
                "initdb", "-D", str(self._data), "-A", "trust", "-U", "muster", "-E", "UTF8", "--locale=C.UTF-8", "-N"
            )
        log = self.folder / "server.log"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(log), "-o", self._options, "start")
        if is_new:
            self._run("createdb", "-h", str(self.folder), "-U", "muster", "muster")

    def stop(self) -> None:
        """End it and everybody's connections with it."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop", check=False)

    def remove(self) -> None:
        """End it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        path = shutil.which(program, path=_PATH)
        assert path, f"{program} is missing: tests/support/install_tools.sh installs PostgreSQL."
        done = subprocess.run(
            [path, *arguments],
            # It refuses to run as root.
            user="postgres" if os.geteuid() == 0 else None,
            group="postgres" if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            # The server keeps what it is given open: no pipe of ours, or nobody would see its end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, f"{program} ended with status {done.returncode}."


@contextmanager
def running_postgres(options: str = "") -> Iterator[Cluster]:
    """A server for the block."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="muster-pg-")), options)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
