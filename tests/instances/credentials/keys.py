"""Private keys as people have them, made by OpenSSH's own tool."""

import functools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PASSPHRASE = "a pass phrase"


@dataclass(frozen=True)
class KeyPair:
    private: str
    public: str
    fingerprint: str


@functools.cache
def key_pair(kind: str = "ed25519", *, form: str = "RFC4716", passphrase: str = "") -> KeyPair:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        bits = ["-b", "2048"] if kind == "rsa" else []
        command = ["ssh-keygen", "-q", "-t", kind, *bits, "-m", form, "-N", passphrase, "-C", "test", "-f", str(path)]
        subprocess.run(command, check=True)
        told = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True)
        return KeyPair(path.read_text(), Path(f"{path}.pub").read_text(), told.stdout.split()[1])
