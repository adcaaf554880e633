"""Private keys as people have them, made by OpenSSH's and PuTTY's own tools."""

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
    if form.startswith("PPK"):
        return _putty(kind, form[-1], passphrase)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        bits = ["-b", "2048"] if kind == "rsa" else []
        command = ["ssh-keygen", "-q", "-t", kind, *bits, "-m", form, "-N", passphrase, "-C", "test", "-f", str(path)]
        subprocess.run(command, check=True)
        told = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True)
        return KeyPair(path.read_text(), Path(f"{path}.pub").read_text(), told.stdout.split()[1])


def _putty(kind: str, version: str, passphrase: str) -> KeyPair:
    pair = key_pair(kind)
    with tempfile.TemporaryDirectory() as folder:
        path, secret, file = Path(folder, "key"), Path(folder, "passphrase"), Path(folder, "key.ppk")
        path.write_text(pair.private)
        path.chmod(0o600)
        # The first line counts.
        secret.write_text(f"{passphrase}\n")
        options = ["--ppk-param", f"version={version}", "--new-passphrase", str(secret), "-O", "private"]
        subprocess.run(["puttygen", str(path), *options, "-o", str(file)], check=True, capture_output=True)
        return KeyPair(file.read_text(), pair.public, pair.fingerprint)


def certificate(public: str, *, kind: str = "user", valid: str = "-1h:+1h", principals: str = "") -> str:
    """A certificate for a public key by an authority of its own; its public half is lost."""
    return signed(public, key_pair("ecdsa").private, kind=kind, valid=valid, principals=principals)


def signed(public: str, authority: str, *, kind: str = "user", valid: str = "-1h:+1h", principals: str = "") -> str:
    """A certificate for a public key, signed with the authority's private key; one line, as in id_…-cert.pub."""
    with tempfile.TemporaryDirectory() as folder:
        path, ca = Path(folder, "key.pub"), Path(folder, "ca")
        path.write_text(public)
        ca.write_text(authority)
        ca.chmod(0o600)
        options = [*(["-h"] if kind == "host" else []), *(["-n", principals] if principals else [])]
        command = ["ssh-keygen", "-q", "-s", str(ca), "-I", "test", "-V", valid, *options, str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return Path(folder, "key-cert.pub").read_text().strip()
