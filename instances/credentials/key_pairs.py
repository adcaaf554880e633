"""Owns the public halves of key credentials: shown to everybody who keeps credentials, and placed on instances."""

from typing import TYPE_CHECKING

from instances.credentials import services
from instances.credentials.models import Credential, CredentialKind
from instances.engine.errors import EngineError
from instances.engine.ssh_keys import generate_key

if TYPE_CHECKING:
    from console.members.models import User


def make_key_pair(actor: "User", *, name: str, user_name: str) -> Credential:
    """Make an ed25519 key and keep it as a credential; the private half is sealed at once and seen by nobody.

    Raises: NotAllowed, ValidationError.
    """
    secret = generate_key().decode()
    return services.add_credential(actor, name=name, kind=CredentialKind.KEY, user_name=user_name, secret=secret)


def public_key(credential: Credential) -> str:
    """Return the public half of a key credential, "ssh-ed25519 AAAA…", of several keys that of the first; else empty.

    Raises: VaultError when the stored secret does not open.
    """
    if credential.kind != CredentialKind.KEY:
        return ""
    try:
        return next(iter(services.public_lines_of(credential)), "")
    except EngineError:
        return ""
