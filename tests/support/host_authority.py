"""A host authority made with ssh-keygen, and OpenSSH servers that show its certificates."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instances.engine.types import HostKey
from tests.support.sshd import Sshd


class HostAuthority:
    """A key that signs host keys."""

    def __init__(self, folder: Path, name: str = "authority", kind: str = "ed25519") -> None:
        self._file = folder / name
        keygen("-t", kind, "-N", "", "-C", "", "-f", str(self._file))
        self.key = HostKey.parse(self._file.with_suffix(".pub").read_text())

    def sign(self, public: Path, *, names: str = "127.1.0.2", validity: str = "-1d:+1d") -> Path:
        """Certify a host key for these names, comma-separated, or for every one; return the certificate's path."""
        named = ["-n", names] if names else []
        keygen("-s", str(self._file), "-h", "-I", "a test", *named, "-V", validity, str(public))
        return public.with_name(public.stem + "-cert.pub")


def keygen(*words: str) -> None:
    """Run ssh-keygen."""
    subprocess.run(["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)


@contextmanager
def certified_sshd(authority: HostAuthority, **signed: object) -> Iterator[Sshd]:
    """Start a server that shows a certificate, as ``sign`` makes it, beside its plain host key."""
    folder = Path(tempfile.mkdtemp(prefix="muster-certified-"))
    folder.chmod(0o755)
    certificate = folder / "host_key-cert.pub"
    server = Sshd(folder, HostCertificate=str(certificate))
    authority.sign(folder / "host_key.pub", **signed)  # type: ignore[arg-type]
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
